"""`nightcart recommend --say`: the catalogue only, the model's words, for people and programs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.cli.main import main as nightcart
from pipeline.lake import Lake, Run
from pipeline.model.champion import ChampionRecord, write_champion
from pipeline.model.query_language import query_language
from pipeline.settings import load_settings
from pipeline.training.fine_tune import fine_tune
from tests.lake_rows import write_rows
from tests.small_shop import NIGHT, RUN, catalogue_row, fill, quick

Say = Callable[..., int]
TITLES = {0: "Teapot", 1: "手机 Phone", 2: "Kettle\x1b[31m red"}


@pytest.fixture(scope="module")
def say(tmp_path_factory: pytest.TempPathFactory) -> Say:
    """A champion that has learned four items' names; the last of them is not sold."""
    home = tmp_path_factory.mktemp("recommend")
    lake = Lake(home / "lake")
    config = home / "nightcart.toml"
    config.write_text('[paths]\nlake = "lake"\n[shop]\ncurrency = "CHF"\n', encoding="utf-8")
    fill(lake)
    rows = [catalogue_row(n) for n in range(24)]
    for n, title in TITLES.items():
        rows[n] = {**rows[n], "title": title, "category": title.split()[0]}
    rows[3] = {**rows[3], "title": "Teapot", "category": "Teapot", "sellable": False}
    write_rows(lake, "catalogue", RUN, rows)
    # Wide enough to tell words apart, and kept at what it ranks best: words must not come second.
    chosen = quick(
        load_settings(config, {}), max_epochs=16, patience=16, learning_rate=0.01, text_weight=3.0
    )
    wide = dataclasses.replace(chosen, model=dataclasses.replace(chosen.model, n_embd=48))
    made = fine_tune(lake, RUN, wide)
    version = made.checkpoint.model_version
    write_champion(
        lake.begin("champions", RUN),
        ChampionRecord(NIGHT.isoformat(), RUN.run_id, version, True, "it won"),
    )
    lake.commit("champions", RUN, rows=1)
    return lambda *words: nightcart(["recommend", "--config", str(config), "--say", *words])


def as_json(say: Say, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert say(*words, "--json") == 0
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    return value


def test_words_of_the_catalogue_find_their_item(
    say: Say, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, item in (("Teapot", "i00"), ("手机", "i01")):
        answer = as_json(say, capsys, words, "--count", "3")
        assert [entry["rank"] for entry in answer["items"]] == [1, 2, 3]
        assert answer["items"][0]["item_id"] == item, words
        assert answer["items"][0]["price"] == 9.5


def test_only_what_is_sold_and_shares_of_it(say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    answer = as_json(say, capsys, "Teapot", "--count", "100")
    assert len(answer["items"]) == 23
    assert "i03" not in {entry["item_id"] for entry in answer["items"]}
    scores = [entry["score"] for entry in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert sum(map(math.exp, scores)) == pytest.approx(1, abs=0.01)


def test_a_table_for_people(say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    assert say("我想买一款新的手机", "--count", "24") == 0
    out = capsys.readouterr().out
    assert "heard as zh, answered by model 2026-03-01-" in out
    assert "9.50 CHF" in out
    assert "手机 Phone" in out
    assert "\x1b[31m" not in out  # a title does not command the terminal


def test_what_cannot_be_answered(
    say: Say, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert say("  ") == 65
    assert "the sentence is empty" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        say("Teapot", "--count", "0")
    config = tmp_path / "nightcart.toml"
    config.write_text('[paths]\nlake = "lake"\n', encoding="utf-8")
    assert nightcart(["recommend", "--config", str(config), "--say", "Teapot"]) == 65
    assert "no night" in capsys.readouterr().err
    nobody = Run(NIGHT + dt.timedelta(days=1), "nobody")
    lake = Lake(tmp_path / "lake")
    write_champion(
        lake.begin("champions", nobody), ChampionRecord(None, None, None, False, "too weak")
    )
    lake.commit("champions", nobody, rows=1)
    assert nightcart(["recommend", "--config", str(config), "--say", "Teapot"]) == 65
    assert "no model was promoted up to 2026-03-02: too weak" in capsys.readouterr().err


def test_a_language_of_the_model_s_or_none() -> None:
    tags = ["de", "de-at", "en", "es", "zh"]
    for text, tag in (
        ("我想买一款新的手机", "zh"),
        ("手机", "zh"),
        ("running shoes for winter", "en"),
        ("leise Kopfhörer für unterwegs", "de"),
        ("una cafetera pequeña", "es"),
    ):
        assert query_language(text, tags) == tag
    assert query_language("手机", ["en"]) == "en"
    assert query_language("12 34", tags) is None
    assert query_language("phone", []) is None
