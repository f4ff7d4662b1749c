"""A lake of some nights by hand: every dataset, tiny files, and what each was made from."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.datasets import (
    ACTED,
    ACTS,
    CATALOGUE,
    CATALOGUE_CHANGES,
    CHAMPIONS,
    CLEANED_EVENTS,
    CLEANED_ITEMS,
    CLEANED_REVIEWS,
    CLEANED_USERS,
    GENERATED,
    HISTORIES,
    ITEM_WORDS,
    LEDGER,
    METRICS,
    MODELS,
    PROFILES,
    QUARANTINE,
    RECOMMENDATIONS,
    REMOVED_EVENTS,
    RETRACTIONS,
    REVIEW_PHRASES,
    USER_ATTRIBUTES,
)
from pipeline.histories.increment import increment_of
from pipeline.lake import Lake, Partition, Run
from pipeline.lineage import Lineage, inputs_of, inputs_upto
from pipeline.model.champion import ChampionRecord, write_champion
from pipeline.publishing.views import views_beside

FIRST = dt.date(2026, 3, 1)
DELIVERED = (
    CLEANED_EVENTS,
    CLEANED_REVIEWS,
    CLEANED_ITEMS,
    CLEANED_USERS,
    QUARANTINE,
    REMOVED_EVENTS,
    RETRACTIONS,
    REVIEW_PHRASES,
    PROFILES,
    CATALOGUE_CHANGES,
)
REMEMBERED = (*ACTED, RETRACTIONS)


def day(number: int) -> dt.date:
    """The day of a number, from `FIRST` on."""
    return FIRST + dt.timedelta(days=number)


@dataclass
class Nights:
    """Writes deliveries and nights; `champion` is the model that generates."""

    lake: Lake
    champion: Partition | None = None
    _runs: int = 0
    made: list[Run] = field(default_factory=list)

    def deliver(self, number: int) -> None:
        """A delivery in all of its datasets."""
        run = self._run(number)
        for name in DELIVERED:
            self._put(name, run)

    def night(self, number: int, *, promoted: bool = True, published: bool = True) -> Run:
        """A night from the deliveries so far."""
        lake, run = self.lake, self._run(number)
        date = run.run_date
        acts = increment_of(lake, ACTS, REMEMBERED, date, code="1", settings={})
        read = {
            ACTS: self._put(ACTS, run, **acts.facts()),
            USER_ATTRIBUTES: self._put(
                USER_ATTRIBUTES,
                run,
                **Lineage(inputs_upto(lake, [CLEANED_USERS], date)).facts(),
            ),
        }
        inputs = {**inputs_of(read), **inputs_upto(lake, ACTED, date)}
        self._put(ITEM_WORDS, run)
        made = {
            HISTORIES: self._put(HISTORIES, run, **Lineage(inputs).facts()),
            CATALOGUE: self._put(CATALOGUE, run),
        }
        model = self._put(MODELS, run)
        self.champion = model if promoted or self.champion is None else self.champion
        self._put(METRICS, run)
        self._decide(run)
        lineage = Lineage(inputs_of(made)).facts()
        self._put(GENERATED, run, **lineage)
        records = lake.records(run)
        records.mkdir(parents=True)
        (records / "clean.json").write_text('{"status": "done"}')
        ledger = lake.run_directory(LEDGER, run)
        ledger.mkdir(parents=True)
        (ledger / "clean.jsonl").write_text("{}\n")
        if published:
            lists = self._closed(RECOMMENDATIONS, run, k=1, **lineage)
            lake.publish(
                RECOMMENDATIONS, lists, lambda newest: views_beside(lake, newest, adding=lists)
            )
        self.made.append(run)
        return run

    def _run(self, number: int) -> Run:
        self._runs += 1
        return Run(day(number), f"r{self._runs}")

    def _decide(self, run: Run) -> None:
        assert self.champion is not None
        champion = self.champion
        directory = self.lake.begin(CHAMPIONS, run)
        record = ChampionRecord(
            champion.run_date.isoformat(), champion.directory_id, "v", promoted=True, why="best"
        )
        write_champion(directory, record)
        self.lake.commit(CHAMPIONS, run, rows=1)

    def _put(self, name: str, run: Run, **facts: Any) -> Partition:
        partition = self._closed(name, run, **facts)
        self.lake.point(partition)
        return partition

    def _closed(self, name: str, run: Run, **facts: Any) -> Partition:
        directory = self.lake.begin(name, run)
        (directory / "part-00000.parquet").write_text(f"{name} {run.run_date} {run.run_id}")
        return self.lake.close(name, run, rows=1, **facts)


def tree(lake: Lake) -> set[str]:
    """Every file and directory but locks, scratch and records; what a kill left aside is none."""
    return {
        path.relative_to(lake.root).as_posix()
        for path in lake.root.rglob("*")
        if path.relative_to(lake.root).parts[0] not in {"work", "expired"}
        and path.suffix not in {".lock", ".tmp"}
    }


def named_by_views(lake: Lake) -> set[Path]:
    """Every file that views.sql names."""
    words = (lake.root / "views.sql").read_text().split("'")
    return {Path(word) for word in words if word.endswith((".parquet", ".jsonl"))}


def pointed(lake: Lake, name: str) -> dict[dt.date, str]:
    """Date -> directory."""
    return lake.pointers(name, dt.date.max)


def manifest(lake: Lake, name: str, date: dt.date, directory_id: str) -> dict[str, Any]:
    """What a directory's manifest says."""
    path = lake.date_directory(name, date) / f"run_id={directory_id}" / "manifest.json"
    return dict(json.loads(path.read_text()))
