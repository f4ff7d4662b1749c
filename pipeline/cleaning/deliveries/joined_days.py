"""Which days in the lake were joined with other rows than they would be now.

A line whose order comes a day later, a customer whose entry was corrected: the day's own files are
as they were, and its rows are not. The manifest of a cleaned day remembers the joined files and a
digest of its rows with all that was joined (`look_ups`). Only where a joined file is another are
the past days read again, in one pass, and only those of another digest are cleaned again; so a file
of customers that is written anew each night costs that pass, and not the cleaning of all days.
What the pass found is kept in `<lake>/work/joined_<dataset>.json` for nights with the same files.

A day stays as it is where a file that it was joined with is gone, or one of its own: nothing could
make it again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipeline.cleaning.deliveries.joined_state import (
    JOINED_DIGEST,
    JOINED_FILES,
    gone_table,
    state_of,
)
from pipeline.cleaning.deliveries.look_ups import day_counts
from pipeline.cleaning.deliveries.raw_files import RAW_FILES, RawFiles
from pipeline.cleaning.rows.mapping import Calendar
from pipeline.datasets import cleaned
from pipeline.lake import Lake, Partition, storage_errors, write_json
from pipeline.sources.dialect import without_compression
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.joined_files import joined_files
from pipeline.sources.source import SourceDataset


def days_joined_otherwise(
    spark: SparkSession,
    lake: Lake,
    dataset: SourceDataset,
    raw_root: Path | str,
    calendar: Calendar,
) -> list[dt.date]:
    """Days before the night whose rows are joined with other ones now, ascending."""
    if not dataset.joins:
        return []
    night = calendar.open_days[-1]
    own = dataset.pattern.files(raw_root)
    parts = [
        part
        for part in _with_other_files(lake, dataset, raw_root, night, calendar.open_days[:-1])
        if not _are_gone(part.manifest.get(RAW_FILES, {}), own)
    ]
    if not parts:
        return []
    days = {part.run_date for part in parts}
    files = [file for file in own if file.date is None or file.date in days]
    digests = _digests(spark, lake, dataset, raw_root, files, calendar)
    return [
        part.run_date
        for part in parts
        if digests.get(part.run_date, "") != part.manifest[JOINED_DIGEST]
    ]


def moved_days(
    lake: Lake,
    dataset: SourceDataset,
    raw_root: Path | str,
    night: dt.date,
    days: Iterable[dt.date],
) -> list[dt.date]:
    """Of days without a row now, those that had some and were joined with other files."""
    if not dataset.joins:
        return []
    parts = _with_other_files(lake, dataset, raw_root, night, days)
    return [part.run_date for part in parts if part.manifest.get("raw_rows")]


def _with_other_files(
    lake: Lake,
    dataset: SourceDataset,
    raw_root: Path | str,
    night: dt.date,
    days: Iterable[dt.date],
) -> list[Partition]:
    """The cleaned days that were joined with other files, all of which are still there."""
    name = cleaned(dataset.name)
    parts = [part for day in days if (part := lake.whole(name, day)) is not None]
    with RawFiles(lake) as raw_files:
        now = state_of(joined_files(dataset, raw_root, night), raw_files)
    return [
        part
        for part in parts
        if (before := part.manifest.get(JOINED_FILES)) is not None
        and before != now
        and not any(now[name]["last"] < before[name]["last"] for name in now.keys() & before)
        and not gone_table(before, dataset, raw_root)
    ]


def _are_gone(before: Iterable[str], files: Iterable[DeliveredFile]) -> bool:
    there = {without_compression(file.relative) for file in files}
    return any(without_compression(name) not in there for name in before)


def _digests(  # noqa: PLR0917
    spark: SparkSession,
    lake: Lake,
    dataset: SourceDataset,
    raw_root: Path | str,
    files: list[DeliveredFile],
    calendar: Calendar,
) -> dict[dt.date, str]:
    """The digest of each day's rows as they are joined now."""
    path = lake.root / "work" / f"joined_{dataset.name}.json"
    tables = joined_files(dataset, raw_root, calendar.days[-1])
    stamps = [
        (file.relative, file.path.stat().st_size, file.path.stat().st_mtime_ns)
        for file in [*files, *(file for table in tables for file in table.whole)]
    ]
    asked = json.dumps(
        [stamps, repr(dataset), [day.isoformat() for day in calendar.days], calendar.exact]
    )
    key = hashlib.sha256(asked.encode()).hexdigest()
    if (kept := _read(path)).get("of") == key:
        return {dt.date.fromisoformat(day): digest for day, digest in kept["digests"].items()}
    counts = day_counts(spark, dataset, raw_root, files, calendar)
    digests = {day: one.digest for day, one in counts.items() if day is not None}
    with storage_errors(f"cannot write {path}"):
        write_json(
            path,
            {"of": key, "digests": {day.isoformat(): one for day, one in digests.items()}},
        )
    return digests


def _read(path: Path) -> dict[str, Any]:
    """What was kept; nothing where it cannot be read, for it can be made again."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
