"""What a day delivered of a file that is overwritten: what differs from the snapshot before it.

Reads kept snapshots (`pipeline.sources.snapshots`) and the manifests of cleaned days, each of which
names the snapshot that its items or users are known from (`SNAPSHOT`). A day is compared with the
newest day before it that is in the lake or cleaned in the same pass. Where there is none, the day
delivers the whole file; so the first day does, also one before the first snapshot.

Rows are compared by item or user: one whose rows are others now, in any column that an expression
reads, is delivered with all its rows. A row without a key of its own is compared as a whole. An
item or user that is gone has no row; `pipeline.cleaning.withdrawn` says so to the lake.

Users are compared by the keyed hash of their id: only hashes leave the readers.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.arrow_columns import compute as pc
from pipeline.cleaning.deliveries.raw_files import (
    COMPARED_WITH,
    RAW_FILES,
    SNAPSHOT,
    SNAPSHOT_CONTENT,
)
from pipeline.cleaning.rows.pseudonym_column import pseudonym_column
from pipeline.contracts.spark import quoted
from pipeline.datasets import cleaned
from pipeline.errors import InputError
from pipeline.lake import Lake
from pipeline.pseudonym import KeyFile
from pipeline.sources.expressions import mapped_values
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.reader_columns import DAY, FILE, LINE, UNKNOWN_KEY
from pipeline.sources.snapshots import Snapshot
from pipeline.sources.source import KEY_COLUMN, SourceDataset

log = logging.getLogger("nightcart")

_SNAPSHOT, _KEY, _HASH, _ROWS = "__snapshot", "__key", "__hash", "__rows"
_NO_KEY = "\x00"  # begins what stands for the key of a row without one


@dataclass(frozen=True)
class DayChanges:
    """What one day delivered.

    Attributes:
        seen: the snapshot that the day is known from; none where the source brought none.
        before: the one that it is compared with; none: the day delivers all of `seen`.
        read: whether the night of the day has read it, so that the ledger counts its rows.
        delivered: keys whose rows are new or others now, and how many rows each has.
        new: how many of these keys were not there before.
        gone: keys that are not there any more.
    """

    day: dt.date
    seen: Snapshot | None
    before: Snapshot | None
    read: bool
    delivered: Mapping[str, int] = field(default_factory=dict)
    new: int = 0
    gone: Collection[str] = ()

    @property
    def whole(self) -> bool:
        """Whether everything is delivered."""
        return self.seen is not None and self.before is None

    @property
    def delivers(self) -> int:
        """Rows that the day has to clean."""
        if self.whole:
            assert self.seen is not None
            return int(self.seen.manifest["kept"])
        return sum(self.delivered.values())

    @property
    def rows(self) -> int:
        """Rows that the ledger accounts for: those of the file, where a night has read it."""
        if self.seen is not None and (self.read or self.whole):
            return self.seen.rows
        return self.delivers

    def removed(self) -> Counter[str]:
        """Rows of the file that the day need not clean, by rule."""
        if self.seen is None or self.rows == self.delivers:
            return Counter()
        erased = int(self.seen.manifest["erased"])
        unchanged = self.seen.rows - erased - self.delivers
        return Counter({rule: n for rule, n in (("erased", erased), ("unchanged", unchanged)) if n})

    def said(self) -> str:
        """For the log; empty where the day's night has read nothing."""
        if self.seen is None:
            return ""
        if not (self.delivers or self.gone):
            return "unchanged"
        if self.whole:
            return f"all {self.delivers:,} rows of the snapshot {self.seen.name}"
        changed = len(self.delivered) - self.new
        return f"{self.new:,} new, {changed:,} changed, {len(self.gone):,} gone"


@dataclass(frozen=True)
class Changes:
    """What the days of a pass delivered of one dataset, ascending."""

    dataset: SourceDataset
    days: tuple[DayChanges, ...]
    key: KeyFile = field(repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether no day has a row to clean."""
        return not any(one.delivers for one in self.days)

    def of(self, day: dt.date) -> DayChanges:
        """What a day delivered."""
        return next(one for one in self.days if one.day == day)

    def files(self) -> list[DeliveredFile]:
        """The kept files of the days that deliver rows."""
        return [
            DeliveredFile(f"{one.seen.name}/{path.name}", path, one.day)
            for one in self.days
            if one.seen is not None and one.delivers
            for path in one.seen.files
        ]

    def rows(self, spark: SparkSession) -> DataFrame:
        """The rows to clean, as a reader gives them, each with its day."""
        frames = []
        parts = [one for one in self.days if one.delivers and not one.whole]
        if parts:
            wanted = [
                (one.seen.name, key, one.day) for one in parts if one.seen for key in one.delivered
            ]
            keys = spark.createDataFrame(
                pa.table(
                    {
                        "snapshot": pa.array([row[0] for row in wanted], pa.string()),
                        "key": pa.array([row[1] for row in wanted], pa.string()),
                        DAY: pa.array([row[2] for row in wanted], pa.date32()),
                    }
                )
            )
            kept = _with_key(_read(spark, self.dataset, [one.seen for one in parts]), self)
            same = (F.col(_SNAPSHOT) == F.col("snapshot")) & (F.col(_KEY) == F.col("key"))
            # Broadcast, so that no row with an id in clear lies in Spark's scratch.
            frames.append(kept.drop(DAY).join(F.broadcast(keys), same, "inner"))
        for one in self.days:
            if one.whole:
                rows = _read(spark, self.dataset, [one.seen])
                frames.append(rows.withColumn(DAY, F.lit(one.day)))
        columns = [*(quoted(name) for name in self.dataset.columns), FILE, DAY, LINE, UNKNOWN_KEY]
        return reduce(DataFrame.unionByName, [frame.select(*columns) for frame in frames])


def snapshot_changes(
    spark: SparkSession,
    lake: Lake,
    dataset: SourceDataset,
    days: Collection[dt.date],
    key: KeyFile,
    *,
    emptied: Collection[dt.date] = (),
) -> Changes:
    """What each of some days delivered, compared with the day before it that is known.

    Args:
        spark: the session.
        lake: whose cleaned days name the snapshots that they are known from.
        dataset: of the source.
        days: which the pass cleans.
        key: of the hash.
        emptied: those of the days that are none any more (`Calendar.emptied`): they bring nothing.

    Raises:
        InputError: a snapshot was kept without a column that the source reads now.
        DamagedError: a snapshot cannot be read.
    """
    store = dataset.snapshots
    taken, seen_by = {*store.dates()}, store.seen_by()
    pairs: list[DayChanges] = []
    for day in sorted(days):
        if day in emptied:
            pairs.append(DayChanges(day, None, None, read=False))
            continue
        seen = seen_by(day)
        before = _before(lake, dataset, day, pairs, emptied)
        pairs.append(DayChanges(day, seen, before, read=day in taken))
    changes = Changes(dataset, tuple(pairs), key)
    for one in pairs:
        _refuse_missing_columns(dataset, one)
    different = [
        one for one in pairs if one.seen and one.before and one.seen.name != one.before.name
    ]
    if different:
        named = {of.name: of for one in different for of in (one.seen, one.before) if of}
        rows = _digests(spark, dataset, [*named.values()], changes)
        found = {one.day: _compared(one, rows) for one in different}
        changes = Changes(dataset, tuple(found.get(one.day, one) for one in pairs), key)
    for one in changes.days:
        if one.delivers or one.gone:
            log.info("%s of %s: %s", dataset.name, one.day, one.said())
    return changes


def _before(
    lake: Lake,
    dataset: SourceDataset,
    day: dt.date,
    pass_days: Collection[DayChanges],
    emptied: Collection[dt.date],
) -> Snapshot | None:
    """The snapshot that the newest day before a day is known from."""
    in_pass = {one.day: one for one in pass_days}
    committed = lake.dates(cleaned(dataset.name), day - dt.timedelta(days=1))
    earlier = sorted({*in_pass, *committed} - {*emptied}, reverse=True)
    for date in earlier:
        if date in in_pass:
            return in_pass[date].seen
        partition = lake.whole(cleaned(dataset.name), date)
        if partition is None:
            continue
        name = str(partition.manifest.get(SNAPSHOT) or "")
        if name and dataset.snapshots.has(name):
            return dataset.snapshots.named(name)
        # It was taken again since, and is not kept any more: of the same bytes, the new one serves.
        now = dataset.snapshots.as_of(date)
        content = partition.manifest.get(SNAPSHOT_CONTENT)
        return now if now and content == now.content else None
    return None


def _refuse_missing_columns(dataset: SourceDataset, one: DayChanges) -> None:
    if one.seen is None:
        return
    missing = {*dataset.columns_that_count} - {*one.seen.manifest["columns"]}
    if missing:
        raise InputError(
            f"{dataset.where}: the snapshot {one.seen.name}, which {one.day} sees, was kept without "
            f"the column {', '.join(sorted(missing))}, which no expression read then. Leave this "
            "day and those before it aside (cleaning.first_day), or write the expression without it"
        )


def _read(
    spark: SparkSession, dataset: SourceDataset, snapshots: Collection[Snapshot | None]
) -> DataFrame:
    """Kept rows with all raw columns, null where they were not kept, and their snapshot."""
    paths = sorted({str(path) for one in snapshots if one for path in one.files})
    names = [*dataset.columns_that_count, FILE, LINE, UNKNOWN_KEY]
    schema = T.StructType([T.StructField(name, T.StringType()) for name in names])
    rows = spark.read.schema(schema).parquet(*paths)
    name = F.regexp_extract(F.col("_metadata.file_path"), "([^/]+)/[^/]+$", 1)
    return rows.select(
        *(_value(name, dataset).alias(name) for name in dataset.columns),
        FILE,
        F.lit(None).cast("date").alias(DAY),
        LINE,
        UNKNOWN_KEY,
        name.alias(_SNAPSHOT),
    )


def _value(name: str, dataset: SourceDataset) -> Column:
    if name not in dataset.columns_that_count:
        return F.lit(None).cast("string")
    value = F.col(quoted(name))
    return F.when(~value.isin(*dataset.null_words), value) if dataset.null_words else value


def _with_key(rows: DataFrame, changes: Changes) -> DataFrame:
    """`__key` (an item's id, the keyed hash of a user's) and `__hash` of all that counts."""
    dataset = changes.dataset
    values, _ = mapped_values(rows, dataset)
    key = values[KEY_COLUMN[dataset.name]]
    if dataset.name == "users":
        key = pseudonym_column(key, changes.key)
    counts = [F.col(quoted(name)) for name in dataset.columns_that_count]
    # Spark's hash skips nulls, so their places are hashed too.
    hashed = F.xxhash64(*counts, LINE, *(F.isnull(value) for value in counts))
    return (
        rows.withColumn(_HASH, hashed)
        .withColumn(
            _KEY,
            F.when(F.col(LINE).isNull(), key),
        )
        .withColumn(_KEY, F.coalesce(_KEY, F.concat(F.lit(_NO_KEY), F.col(_HASH).cast("string"))))
    )


def _digests(
    spark: SparkSession, dataset: SourceDataset, snapshots: list[Snapshot], changes: Changes
) -> dict[str, pa.Table]:
    """Of each snapshot `__key`, `__hash` (the sum over its rows) and `__rows`."""
    rows = _with_key(_read(spark, dataset, snapshots), changes)
    by_key = rows.groupBy(_SNAPSHOT, _KEY).agg(
        # A sum knows no order and, other than xor, two copies; a bigint could overflow.
        F.sum(F.col(_HASH).cast("decimal(38,0)")).cast("string").alias(_HASH),
        F.count("*").alias(_ROWS),
    )
    table = by_key.toArrow()
    return {
        one.name: table.filter(pc.equal(table[_SNAPSHOT], one.name)).drop_columns([_SNAPSHOT])
        for one in snapshots
    }


def _compared(one: DayChanges, rows: Mapping[str, pa.Table]) -> DayChanges:
    assert one.seen is not None
    assert one.before is not None
    now, before = rows[one.seen.name], rows[one.before.name]
    both = now.join(before, keys=[_KEY], join_type="full outer", right_suffix="_before")
    is_new = pc.is_null(both[f"{_ROWS}_before"])
    is_gone = pc.is_null(both[_ROWS])
    differs = pc.or_(
        pc.not_equal(both[_HASH], both[f"{_HASH}_before"]),
        pc.not_equal(both[_ROWS], both[f"{_ROWS}_before"]),
    )
    found = both.filter(pc.and_(pc.invert(is_gone), pc.or_(is_new, pc.fill_null(differs, False))))
    keys: list[Any] = found[_KEY].to_pylist()
    n_rows: list[Any] = found[_ROWS].to_pylist()
    delivered: dict[str, int] = dict(zip(keys, n_rows, strict=True))
    gone: list[Any] = both.filter(is_gone)[_KEY].to_pylist()
    return DayChanges(
        one.day,
        one.seen,
        one.before,
        one.read,
        delivered,
        int(pc.sum(pc.and_(is_new, pc.invert(is_gone))).as_py() or 0),
        [key for key in gone if not key.startswith(_NO_KEY)],
    )


def raw_files_of(changes: Changes, day: dt.date) -> dict[str, object]:
    """What the manifest of a cleaned day says of the files that it was cleaned from."""
    one = changes.of(day)
    files = one.seen.manifest["files"] if one.seen is not None and one.delivers else {}
    name = one.seen.name if one.seen else None
    return {
        RAW_FILES: {f"{name}/{file}": said for file, said in files.items()},
        SNAPSHOT: name,
        SNAPSHOT_CONTENT: one.seen.content if one.seen else None,
        COMPARED_WITH: one.before.content if one.before else None,
        "gone": len(one.gone),
    }
