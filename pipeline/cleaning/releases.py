"""Refused rows are released by cleaning their delivery days again, once what was wrong is put right.

A release is a mark, `<lake>/releases/run_date=D.json`: which rows were meant, and which quarantine
directory held them. The next night (or `--now`) cleans a marked day again from its raw files, as it
does a day whose files changed: rows that now pass go into the day's cleaned partition, the others
stay in its new quarantine, and the ledger balances over both. Nothing is moved from one dataset to
another, so no row can be lost on the way or come twice.

A mark counts as long as the day's pointer names the directory that it was made for. The commit of
the new quarantine, the last of a day, so spends it; a night that dies before leaves it in force.

A row with an item that the catalogue did not know (`item_unknown`) may be released once a later
delivery brought the item: the day is then cleaned with what the catalogue knows on the night that
does it. The quarantine manifest keeps that night (`items_known_on`), so that the rows stay when the
day is cleaned once more. It says nothing of the other rows of that day: their fate depends on the
item alone.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.cleaning.refused_rows import QUARANTINE, Refusal
from pipeline.lake import Lake, storage_errors, write_json
from pipeline.sources.dialect import COMPRESSED
from pipeline.sources.source import DATASETS

RELEASES = "releases"
ITEM_UNKNOWN = "item_unknown"


@dataclass(frozen=True)
class Plan:
    """Which days a release would have cleaned again, and which it cannot."""

    days: dict[dt.date, dict[str, list[str]]]  # day -> dataset -> reasons
    gone: dict[dt.date, str]  # day -> a raw file that is not there any more


def plan_release(lake: Lake, raw_root: Path | str, found: Iterable[Refusal]) -> Plan:
    """The days that hold the rows; a day whose raw files are gone cannot be cleaned again."""
    days: dict[dt.date, dict[str, list[str]]] = {}
    gone: dict[dt.date, str] = {}
    for refusal in found:
        for day in refusal.days:
            if (missing := missing_raw_file(lake, raw_root, day)) is not None:
                gone[day] = missing
            else:
                days.setdefault(day, {}).setdefault(refusal.dataset, []).append(refusal.reason)
    return Plan(dict(sorted(days.items())), dict(sorted(gone.items())))


def mark(lake: Lake, plan: Plan) -> None:
    """Leave a mark on each of the plan's days, beside what an earlier release asked of it."""
    pointers = lake.pointers(QUARANTINE, max(plan.days, default=dt.date.min))
    for day, asked in plan.days.items():
        before = _live(lake, day, pointers.get(day)) or {}
        datasets: dict[str, list[str]] = {**before.get("datasets", {})}
        for dataset, reasons in asked.items():
            datasets[dataset] = sorted({*datasets.get(dataset, []), *reasons})
        path = _path(lake, day)
        with storage_errors(f"cannot write {path}"):
            write_json(path, {"quarantine": pointers[day], "datasets": datasets})


def marked_days(
    lake: Lake, raw_root: Path | str, days: Iterable[dt.date]
) -> dict[dt.date, dict[str, list[str]]]:
    """Of these days, those that a release waits for: dataset -> reasons."""
    marks = {
        day: found
        for day in sorted({*_days_with_a_mark(lake)} & {*days})
        if (partition := lake.current(QUARANTINE, day)) is not None
        and (found := _live(lake, day, partition.directory_id)) is not None
    }
    return {
        day: found["datasets"]
        for day, found in marks.items()
        if missing_raw_file(lake, raw_root, day) is None
    }


def _days_with_a_mark(lake: Lake) -> Iterator[dt.date]:
    """From the names of the marks: a night must not open a file of each day of its past."""
    for path in lake.dataset(RELEASES).glob("run_date=*.json"):
        yield dt.date.fromisoformat(path.stem.removeprefix("run_date="))


def items_known_on(lake: Lake, day: dt.date, night: dt.date) -> dt.date:
    """The day whose catalogue says whether an item is known, for rows that `day` delivered."""
    partition = lake.current(QUARANTINE, day)
    if partition is None:
        return day
    found = _live(lake, day, partition.directory_id)
    released = found is not None and any(
        ITEM_UNKNOWN in reasons for reasons in found["datasets"].values()
    )
    kept = partition.manifest.get("items_known_on")
    before = dt.date.fromisoformat(kept) if kept else day
    # A night that is run again knows no more than it did.
    return max(day, min(before, night), night if released else day)


def missing_raw_file(lake: Lake, raw_root: Path | str, day: dt.date) -> str | None:
    """A raw file that a day in the lake was cleaned from and that is gone, or none.

    A file that was compressed since, or the other way round, is still there.
    """
    for dataset in DATASETS:
        partition = lake.current(f"cleaned_{dataset}", day)
        for name in partition.manifest.get("raw_files", ()) if partition is not None else ():
            plain = next((name.removesuffix(end) for end in COMPRESSED if name.endswith(end)), name)
            names = {name, *(plain + ending for ending in ("", *COMPRESSED))}
            if not any((Path(raw_root) / other).exists() for other in names):
                return str(name)
    return None


def _live(lake: Lake, day: dt.date, directory_id: str | None) -> dict[str, Any] | None:
    """A day's mark, if it was made for the directory that its pointer names."""
    try:
        found: dict[str, Any] = json.loads(_path(lake, day).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found if found["quarantine"] == directory_id else None


def _path(lake: Lake, day: dt.date) -> Path:
    return lake.dataset(RELEASES) / f"run_date={day.isoformat()}.json"
