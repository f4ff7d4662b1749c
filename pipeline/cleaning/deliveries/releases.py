"""Refused rows are released by cleaning their delivery days again, once the fault is mended.

A release is a mark, `<lake>/releases/run_date=D.json`: for each dataset, the reasons and the
directory of its cleaned rows. The next night (or `--now`) cleans a marked day again from its raw
files, as it does a day whose files changed: rows that now pass go into the day's cleaned partition,
the others stay in its new quarantine, and the ledger balances over both. Nothing is moved from one
dataset to another, so no row can be lost on the way or come twice.

A mark counts as long as the day's pointer names the directory that it was made for. So the commit
of the cleaned rows, the last of a day, ends it; a night that dies before leaves it in force.

Rows that were refused as `item_unknown` need no release when a later delivery brings their item:
that delivery takes them in by itself (`late.rows_of_new_items`).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.cleaning.deliveries.joined_state import JOINED_FILES, gone_table
from pipeline.cleaning.deliveries.raw_files import RAW_FILES, SNAPSHOT
from pipeline.cleaning.deliveries.refused_rows import Refusal
from pipeline.datasets import cleaned
from pipeline.lake import Lake, storage_errors, write_json
from pipeline.sources.dialect import COMPRESSED, without_compression
from pipeline.sources.source import DATASETS, Source, SourceDataset

RELEASES = "releases"


@dataclass(frozen=True)
class Plan:
    """Which days a release would have cleaned again, and which it cannot."""

    days: dict[dt.date, dict[str, list[str]]]  # day -> dataset -> reasons
    gone: dict[dt.date, str]  # day -> a raw file that is not there any more


def plan_release(
    lake: Lake, raw_root: Path | str, source: Source, found: Iterable[Refusal]
) -> Plan:
    """The days that hold the rows; a day whose raw files are gone cannot be cleaned again."""
    days: dict[dt.date, dict[str, list[str]]] = {}
    gone: dict[dt.date, str] = {}
    for refusal in found:
        for day in refusal.days:
            if (missing := missing_raw_file(lake, raw_root, source, day)) is not None:
                gone[day] = missing
            else:
                days.setdefault(day, {}).setdefault(refusal.dataset, []).append(refusal.reason)
    return Plan(dict(sorted(days.items())), dict(sorted(gone.items())))


def mark(lake: Lake, plan: Plan) -> None:
    """Write a mark on each of the plan's days; reasons of an earlier mark stay."""
    for day, datasets in plan.days.items():
        marks = _live(lake, day)
        for dataset, reasons in datasets.items():
            before = marks.get(dataset, {}).get("reasons", [])
            made_for = lake.require(cleaned(dataset), day).directory_id
            marks[dataset] = {"reasons": sorted({*before, *reasons}), "cleaned": made_for}
        path = _path(lake, day)
        with storage_errors(f"cannot write {path}"):
            write_json(path, marks)


def marked_days(
    lake: Lake, raw_root: Path | str, source: Source, days: Iterable[dt.date]
) -> dict[dt.date, dict[str, list[str]]]:
    """The days that are marked for a release: dataset -> reasons."""
    found = {day: _live(lake, day) for day in sorted({*_days_with_a_mark(lake)} & {*days})}
    return {
        day: {dataset: mark["reasons"] for dataset, mark in marks.items()}
        for day, marks in found.items()
        if marks and missing_raw_file(lake, raw_root, source, day) is None
    }


def _days_with_a_mark(lake: Lake) -> Iterator[dt.date]:
    """From the names of the marks: a night must not open a file of each day of its past."""
    for path in lake.dataset(RELEASES).glob("run_date=*.json"):
        yield dt.date.fromisoformat(path.stem.removeprefix("run_date="))


def missing_raw_file(
    lake: Lake, raw_root: Path | str, source: Source, day: dt.date, *, of_dumps: bool = True
) -> str | None:
    """A raw file that a day in the lake was cleaned from and that is gone, or none.

    A file that was compressed since, or the other way round, is still there. One that the source's
    pattern does not find any more is as good as gone: the day would be cleaned without its rows.

    Args:
        of_dumps: also ask for the files of dumps, which later ones of another name may replace.
    """
    for dataset in DATASETS:
        asked = source.datasets.get(dataset)
        if asked and asked.delivery == "dump" and not of_dumps:
            continue
        partition = lake.whole(cleaned(dataset), day)
        if partition is not None and (name := partition.manifest.get(SNAPSHOT)):
            if partition.manifest.get(RAW_FILES) and not _can_be_read(asked, day):
                return str(name)
            continue
        for name in partition.manifest.get(RAW_FILES, ()) if partition is not None else ():
            plain = without_compression(name)
            names = {name, *(plain + ending for ending in ("", *COMPRESSED))}
            is_there = any((Path(raw_root) / other).exists() for other in names)
            if not is_there or not _is_asked_for(asked, name, day):
                return str(name)
        if asked and asked.joins and partition is not None:
            before = partition.manifest.get(JOINED_FILES, {})
            if gone := gone_table(before, asked, raw_root):
                return gone
    return None


def _can_be_read(dataset: SourceDataset | None, day: dt.date) -> bool:
    """Whether what a day would see now is kept, with all columns that the source has now."""
    if dataset is None:
        return True
    seen = dataset.snapshots.as_of(day) if dataset.delivery == "snapshot" else None
    return seen is not None and {*dataset.columns_that_count} <= {*seen.manifest["columns"]}


def _is_asked_for(dataset: SourceDataset | None, name: str, day: dt.date) -> bool:
    if dataset is None:
        return True  # its rows stay as they are, whatever is cleaned again
    return dataset.pattern.matches(name, None if dataset.delivery == "dump" else day)


def _live(lake: Lake, day: dt.date) -> dict[str, dict[str, Any]]:
    """A day's marks by dataset, without those whose day was cleaned again since."""
    try:
        found = json.loads(_path(lake, day).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {
        dataset: mark
        for dataset, mark in found.items()
        if (partition := lake.whole(cleaned(dataset), day)) is not None
        and partition.directory_id == mark["cleaned"]
    }


def _path(lake: Lake, day: dt.date) -> Path:
    return lake.dataset(RELEASES) / f"run_date={day.isoformat()}.json"
