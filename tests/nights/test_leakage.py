"""What happened later, and what the catalogue became later, moves nothing of an earlier night.

The same nights are run twice, as of the same date: once when nothing later was there, once after
the next day's delivery and the next night were added to the same inputs. Every byte and number of
the earlier night's training, evaluation and generation must be the same, except the clock's.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.evaluation.evaluate import evaluate
from pipeline.generation.night import Night
from pipeline.intact import file_sha256
from pipeline.lake import Lake, Run
from pipeline.model.champion import ChampionRecord, write_champion
from pipeline.settings import Settings, load_settings
from pipeline.training.fine_tune import fine_tune
from tests.lake_rows import read_rows, write_rows
from tests.small_shop import (
    NIGHT,
    RUN,
    START,
    catalogue_row,
    fill,
    history_row,
    item,
    quick,
    review_row,
    unchanged,
)

TOMORROW = Run(NIGHT + dt.timedelta(days=1), "later")


def plant(lake: Lake) -> None:
    """Tomorrow everything is different: other walks, titles, stock, reviews, and a champion."""
    backwards = [
        {**row, "item_ids": row["item_ids"][::-1], "queries": ["future wish"] * len(row["queries"])}
        for row in map(history_row, range(60))
    ]
    write_rows(lake, "histories", TOMORROW, backwards)
    renamed = [
        {**catalogue_row(n), "title": f"FUTURE {n}", "category": "Future", "sellable": n % 2 == 0}
        for n in range(24)
    ]
    newcomer = {**catalogue_row(0), "item_id": "i99", "title": "FUTURE", "sellable": True}
    write_rows(lake, "catalogue", TOMORROW, [*renamed, newcomer])
    reviews = [{**review_row(n), "text": "FUTURE review, really bad."} for n in range(60)]
    write_rows(lake, "cleaned_reviews", TOMORROW, reviews)
    write_rows(lake, "item_words", TOMORROW, [])
    write_champion(
        lake.begin("champions", TOMORROW),
        ChampionRecord(str(NIGHT), RUN.run_id, "the future's", True, "tomorrow's word"),
    )
    lake.commit("champions", TOMORROW, rows=1)


def night(home: Path, settings: Settings, before: Callable[[Lake], None]) -> dict[str, Any]:
    """Everything that a night makes of its inputs."""
    lake = Lake(home)
    settings = dataclasses.replace(
        settings, paths=dataclasses.replace(settings.paths, lake=str(home))
    )
    fill(lake)
    before(lake)
    made = fine_tune(lake, RUN, quick(settings, text_epochs=2))
    judged = evaluate(lake, RUN, settings)
    # Whatever the gate thinks of so small a model, it generates: its lists are to be compared.
    record = ChampionRecord(str(NIGHT), RUN.run_id, made.checkpoint.model_version, True, "")
    write_champion(lake.begin("champions", RUN), record)
    lake.commit("champions", RUN, rows=1)
    lists = Night(lake, RUN, settings).generate().partition
    told = {name: value for name, value in made.report.items() if name != "cost"}
    return {
        "weights": file_sha256(made.partition.path / "model.safetensors"),
        "vocabulary": file_sha256(made.partition.path / "items.json"),
        "tokenizer": file_sha256(made.partition.path / "tokenizer.json"),
        "training": told,
        "losses": [
            {name: value for name, value in line.items() if name != "seconds"}
            for line in json.loads((made.partition.path / "training_log.json").read_text())
        ],
        "metrics": read_rows(lake, "metrics", NIGHT),
        "decision": judged.champion,
        "lists": [file_sha256(path) for path in lists.files],
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The night when nothing later is there."""
    home = tmp_path_factory.mktemp("leakage") / "lake"
    return night(home, load_settings(None, {}), lambda _lake: None)


def test_an_earlier_night_does_not_see_a_later_one(
    tmp_path: Path, settings: Settings, alone: dict[str, Any]
) -> None:
    beside = night(tmp_path / "beside", settings, plant)
    for name, value in alone.items():
        assert beside[name] == value, name


def test_what_comes_after_the_held_out_event_moves_no_weight(
    tmp_path: Path, settings: Settings
) -> None:
    """The last purchase is held out: it and what follows it may be anything."""

    def another_end(row: dict[str, Any]) -> dict[str, Any]:
        kept, index = row["item_ids"][:5], row["holdout_index"]
        assert index == 5
        later = [START + dt.timedelta(hours=99, minutes=n) for n in range(2)]
        return row | {
            "item_ids": [*kept, item(7), item(11)],
            "event_types": ["purchase"] * 5 + ["purchase", "view"],
            "event_times": [*row["event_times"][:5], *later],
            "owned_item_ids": sorted([*kept, item(7)]),
        }

    weights = []
    for n, change in enumerate((unchanged, another_end)):
        lake = Lake(tmp_path / str(n))
        # Validation chooses the epoch that is kept: nobody is in that half here.
        fill(lake, user=lambda row, change=change: {**change(row), "holdout_split": "test"})
        made = fine_tune(lake, RUN, quick(settings))
        weights.append(file_sha256(made.partition.path / "model.safetensors"))
    assert weights[0] == weights[1]


def test_the_comparison_is_not_blind(
    tmp_path: Path, settings: Settings, alone: dict[str, Any]
) -> None:
    """A night that does read tomorrow's rows differs in everything that is compared."""

    def leak(lake: Lake) -> None:
        plant(lake)
        for dataset in ("histories", "catalogue"):
            write_rows(lake, dataset, RUN, read_rows(lake, dataset, TOMORROW.run_date))

    leaked = night(tmp_path / "leaked", settings, leak)
    for name in ("weights", "vocabulary", "tokenizer", "losses", "metrics", "lists"):
        assert leaked[name] != alone[name], name
