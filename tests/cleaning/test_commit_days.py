"""Days are closed together and pointed at one after the other; no Spark."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cleaning.commit_days import commit_days
from pipeline.cleaning.late.late_counts import LateRows
from pipeline.cleaning.late.late_dependencies import DEPENDENCIES, LateDependencies
from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.lake import Lake, Run
from pipeline.ledger import LedgerLine
from pipeline.sources.source_yaml import parse_source
from tests.power_cut import power_cuts

FIRST = dt.date(2026, 3, 1)
DAYS = [FIRST + dt.timedelta(days=n) for n in range(40)]  # several batches
SOURCE = parse_source(
    """
source: shop
description: Events alone.
datasets:
  events:
    files: "events_{date}.csv"
    format: csv
    columns: [at, who, sku]
    map: {event_time: at, event_type: "'view'", user_id: who, item_id: sku}
""",
    "shop.yaml",
)


def commit(lake: Lake, run_id: str) -> None:
    """Each day has one row, and late rows of the day before it."""
    scratch = lake.root / "work" / run_id
    schema = arrow_schema(load_contract("cleaned_events"))
    schema = pa.schema([field.with_nullable(True) for field in schema])
    for day in DAYS:
        folder = scratch / "events" / f"run_date={day}" / f"own_date={day}"
        folder.mkdir(parents=True)
        table = pa.Table.from_pylist([{"event_id": f"{run_id} {day}"}], schema=schema)
        pq.write_table(table, folder / "part-00000.parquet")
    events = SOURCE.datasets["events"]
    delivery: Any = SimpleNamespace(
        dataset=events,
        looked_up=SimpleNamespace(facts=lambda _day: {}),
        raw_files_of=lambda _day: {"raw_files": {}},
        rows_in_damaged=lambda _night: Counter[dt.date](),
    )
    night: Any = SimpleNamespace(
        lake=lake,
        run=Run(DAYS[-1], run_id),
        scratch=scratch,
        days=DAYS,
        made_by={},
        source=SOURCE,
    )
    lines = [
        LedgerLine(
            run_date=day, run_id=run_id, stage="clean", dataset="events", rows_in=1, rows_out=1
        )
        for day in DAYS
    ]
    late = LateRows(oldest={day: day - dt.timedelta(days=2) for day in DAYS[2:]})
    commit_days(night, [delivery], lines, {"events": late})


def test_days_are_on_the_disk_and_name_what_they_were_judged_with(lake: Lake) -> None:
    for run_id in ("one", "two"):  # the second over days that are there
        with power_cuts(lake.root.parent) as disk:
            commit(lake, run_id)
        assert disk.cuts >= 4 * len(DAYS), "manifests and pointers of two datasets"
    dependencies = LateDependencies(lake)
    assert lake.dates("cleaned_events") == DAYS
    for day in DAYS[2:]:
        manifest = lake.require("cleaned_events", day).manifest
        assert manifest["run_id"] == "two"
        assert len(manifest[DEPENDENCIES]["deliveries"]) == 2, day
        assert not dependencies.is_out("events", day), day


def killed_at(lake: Lake, run_id: str, most: int, patch: pytest.MonkeyPatch) -> None:
    """A commit that dies when the pointer of a cleaned day is put, behind so many others."""
    replace, done = Path.replace, 0

    def killed(self: Path, target: Path) -> Path:
        nonlocal done
        if target.name == "current.json" and target.parents[1].name == "cleaned_events":
            done += 1
            if done > most:
                raise KeyboardInterrupt
        return replace(self, target)

    with patch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            commit(lake, run_id)


def test_a_kill_leaves_whole_days_the_oldest(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_at(lake, "one", 21, monkeypatch)
    assert lake.dates("cleaned_events") == DAYS[:21]
    assert {*lake.dates("quarantine")} >= {*DAYS[:21]}
    assert all(lake.require("cleaned_events", day).rows == 1 for day in DAYS[:21])
    assert not list(lake.root.glob("*/*/.current*")), "what was written aside"

    # Of days that are there, at most one has refused rows of another run than its good ones.
    commit(lake, "two")
    killed_at(lake, "three", 5, monkeypatch)

    def of(name: str) -> list[str]:
        return [lake.require(name, day).run_id for day in DAYS]

    assert of("cleaned_events") == ["three"] * 5 + ["two"] * 35
    assert of("quarantine") == ["three"] * 6 + ["two"] * 34
