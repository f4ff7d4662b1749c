"""Which days in the lake were cleaned from less than is delivered now.

Reads the manifests of the cleaned datasets, which name the raw files (`raw_files`) and rows
(`raw_rows`) that they were made from, and the files that are there now. A day has changed if a file
of it is new (an optional one that came late) or holds other bytes, or if a dump has more rows of it
than before. A file that is gone changes nothing: the retailer cleared up. What is delivered as a
snapshot is read once, by its own night, so that a file that is overwritten changes no past day. Its
day has changed if it sees another content now, because the night that it is known from was run
again since; and if it was compared with another content than the day before it is known from now,
so that what it delivered is not all that changed.

Gives up: a dump whose rows are dated, and that was corrected without getting more rows of a day.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from pyspark.sql import SparkSession

from pipeline.cleaning.deliveries.raw_files import (
    COMPARED_WITH,
    RAW_FILES,
    SNAPSHOT,
    SNAPSHOT_CONTENT,
    RawFiles,
)
from pipeline.cleaning.rows.mapping import Calendar, delivery_day_of_dump
from pipeline.datasets import cleaned
from pipeline.lake import Lake, Partition
from pipeline.sources.dialect import without_compression
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.readers import read_rows
from pipeline.sources.snapshots import Snapshots
from pipeline.sources.source import SourceDataset


def changed_days(
    spark: SparkSession,
    lake: Lake,
    dataset: SourceDataset,
    raw_root: Path | str,
    calendar: Calendar,
    *,
    without_lost: Callable[[Iterable[dt.date]], set[dt.date]] = lambda days: {*days},
) -> list[dt.date]:
    """Days before the night that are in the lake and have changed, ascending.

    Args:
        without_lost: the days without those that have lost a raw file. These keep the snapshot
            that they saw.
    """
    committed = [
        partition
        for day in calendar.open_days[:-1]
        if (partition := lake.whole(cleaned(dataset.name), day)) is not None
        and RAW_FILES in partition.manifest
    ]
    if dataset.delivery == "snapshot":
        days = {part.run_date for part in committed}
        upto = calendar.open_days[-1] - dt.timedelta(days=1)
        while found := _known_otherwise(lake, dataset, days, upto):
            lost = {*found} - without_lost(found)
            if not lost:
                break
            days -= lost
        return found
    with RawFiles(lake) as raw_files:
        if dataset.delivery == "dump":
            return _days_that_grew(spark, dataset, raw_root, calendar, committed, raw_files)
        delivered: defaultdict[dt.date, list[DeliveredFile]] = defaultdict(list)
        for file in dataset.pattern.files(raw_root):
            if file.date is not None:
                delivered[file.date].append(file)
        return [
            part.run_date
            for part in committed
            if _changed(part, delivered[part.run_date], raw_files)
        ]


def _known_otherwise(
    lake: Lake, dataset: SourceDataset, days: Collection[dt.date], upto: dt.date
) -> list[dt.date]:
    """Days that see another content now than they were cleaned from, or than was compared with.

    Args:
        days: which may be cleaned again; days before them are as the lake has them.
        upto: the last day that counts.
    """
    store, found = dataset.snapshots, []
    seen_by = store.seen_by()
    before: str | None = None
    for day in lake.dates(cleaned(dataset.name), upto):
        partition = lake.whole(cleaned(dataset.name), day)
        if partition is None:
            continue  # cleaned again in any case
        known = _content(partition, store)
        if day not in days or known is None:
            before = known
            continue
        seen = seen_by(day)
        now = known if seen is None else seen.content
        compared = partition.manifest.get(COMPARED_WITH, before)
        if known != now or before not in {compared, now, None}:
            found.append(day)
        before = now
    return found


def _content(partition: Partition, store: Snapshots) -> str | None:
    """What a day was cleaned from; none where it has seen no snapshot."""
    name = partition.manifest.get(SNAPSHOT)
    if not name:
        return None
    content = partition.manifest.get(SNAPSHOT_CONTENT)
    if content is None and store.has(name):  # of an older version
        content = store.named(name).content
    return str(content or name)


def _changed(partition: Partition, files: Iterable[DeliveredFile], raw_files: RawFiles) -> bool:
    before = partition.manifest[RAW_FILES]
    return any(
        not raw_files.is_same(file, before[file.relative])
        if file.relative in before
        # The same file, compressed since to save space.
        else without_compression(file.relative) not in before
        for file in files
    )


def _days_that_grew(  # noqa: PLR0917
    spark: SparkSession,
    dataset: SourceDataset,
    raw_root: Path | str,
    calendar: Calendar,
    committed: list[Partition],
    raw_files: RawFiles,
) -> list[dt.date]:
    files = dataset.pattern.files(raw_root)
    names = {file.relative for file in files}
    older = [
        part
        for part in committed
        if part.manifest[RAW_FILES].keys() != names or _changed(part, files, raw_files)
    ]
    if not older:
        return []
    if not dataset.own_time:
        return [part.run_date for part in older if part.run_date == calendar.open_days[0]]
    day = delivery_day_of_dump(dataset, calendar).alias("day")
    upto = calendar.days[-1]
    rows = read_rows(spark, dataset, raw_root, files, upto=upto).groupBy(day).count().collect()
    now = Counter({row["day"]: row["count"] for row in rows})
    return [part.run_date for part in older if now[part.run_date] > part.manifest["raw_rows"]]
