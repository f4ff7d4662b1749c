"""Which days in the lake were cleaned from less than is delivered now.

Reads the manifests of the cleaned datasets, which remember the raw files (`raw_files`: path below
the raw root -> bytes) and rows (`raw_rows`) they were made from, and the files that are there now.
A day has changed where a file of it is new (an optional one that came late) or has another size,
or where a dump has more rows of it than before. A file that is gone changes nothing: the retailer
cleared up. Gives up: a file that was changed and kept its size is not noticed.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from pyspark.sql import SparkSession

from pipeline.cleaning.mapping import Calendar, delivery_day_of_dump
from pipeline.lake import Lake, Partition
from pipeline.sources.dialect import without_compression
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.readers import read_rows
from pipeline.sources.source import SourceDataset


def file_sizes(files: Iterable[DeliveredFile]) -> dict[str, int]:
    """Path below the raw root -> bytes, as a manifest remembers them."""
    return {file.relative: file.path.stat().st_size for file in files}


def changed_days(
    spark: SparkSession,
    lake: Lake,
    dataset: SourceDataset,
    raw_root: Path | str,
    calendar: Calendar,
) -> list[dt.date]:
    """Days before the night that are in the lake and have changed, ascending."""
    committed = [
        partition
        for day in calendar.days[:-1]
        if (partition := lake.current(f"cleaned_{dataset.name}", day)) is not None
        and "raw_files" in partition.manifest
    ]
    if dataset.delivery == "dump":
        return _days_that_grew(spark, dataset, raw_root, calendar, committed)
    delivered: defaultdict[dt.date, dict[str, int]] = defaultdict(dict)
    for file in dataset.pattern.files(raw_root):
        if file.date is not None:
            delivered[file.date][file.relative] = file.path.stat().st_size
    return [part.run_date for part in committed if _changed(part, delivered[part.run_date])]


def _changed(partition: Partition, files: Mapping[str, int]) -> bool:
    before = partition.manifest["raw_files"]
    return any(
        before[name] != size
        if name in before
        # The same file, compressed since to save space.
        else without_compression(name) not in before
        for name, size in files.items()
    )


def _days_that_grew(
    spark: SparkSession,
    dataset: SourceDataset,
    raw_root: Path | str,
    calendar: Calendar,
    committed: list[Partition],
) -> list[dt.date]:
    files = dataset.pattern.files(raw_root)
    sizes = file_sizes(files)
    older = [part for part in committed if part.manifest["raw_files"] != sizes]
    if not older:
        return []
    if not dataset.own_time:
        return [part.run_date for part in older if part.run_date == calendar.days[0]]
    day = delivery_day_of_dump(dataset, calendar).alias("day")
    rows = read_rows(spark, dataset, raw_root, files).groupBy(day).count().collect()
    now = Counter({row["day"]: row["count"] for row in rows})
    return [part.run_date for part in older if now[part.run_date] > part.manifest["raw_rows"]]
