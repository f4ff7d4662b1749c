"""What earlier nights sent, shard by shard.

For users to whom a list must not repeat itself, and for those whom tonight has no time for.

Reads published `recommendations` of nights before this one. Guarantees: never more than one
shard's rows of one night in memory; where a night was written in the same number of shards only
the file of that shard is read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.generation.columns import column, python_lists
from pipeline.generation.shards import shard_of
from pipeline.lake import Lake, Partition, storage_errors

DATASET = "recommendations"

# Item ids from the best, and their scores.
SentList = tuple[Sequence[str], Sequence[float]]


@dataclass(frozen=True)
class Before:
    """The nights before this one.

    Args:
        nights: how many of them `ignored` looks at.
        zone: whose midnight ends a night's day: what happens after it comes after the list.
        n_shards: of tonight; all users of a call are of one shard.
    """

    lake: Lake
    run_date: dt.date
    zone: ZoneInfo
    nights: int
    n_shards: int

    @property
    def partitions(self) -> list[Partition]:
        """The nights whose lists are not to be repeated, oldest first; some may not be there."""
        if not self.nights:
            return []
        first = self.run_date - dt.timedelta(days=self.nights)
        return [self.lake.require(DATASET, date) for date in self._dates if date >= first]

    def ignored(self, users: pa.Table) -> list[frozenset[str]]:
        """For each user of a shard, what was sent to them and not touched since."""
        sent: dict[str, dict[str, dt.date]] = {}
        for partition in self.partitions:
            for user_id, (items, _) in _lists(partition, users, self.n_shards).items():
                sent.setdefault(user_id, {}).update(dict.fromkeys(items, partition.run_date))
        if not sent:
            return [frozenset()] * users.num_rows
        times: Any = python_lists(column(users, "event_times"))
        pasts = zip(
            column(users, "user_id").to_pylist(),
            python_lists(column(users, "item_ids")),
            times,
            strict=True,
        )
        return [
            self._untouched(sent.get(user_id, {}), items, when) for user_id, items, when in pasts
        ]

    def last_lists(self, users: pa.Table) -> dict[str, SentList]:
        """What the newest night before this one sent to users of a shard."""
        if not self._dates or not users.num_rows:
            return {}
        return _lists(self.lake.require(DATASET, self._dates[-1]), users, self.n_shards)

    @property
    def _dates(self) -> list[dt.date]:
        return self.lake.dates(DATASET, self.run_date - dt.timedelta(days=1))

    def _untouched(
        self, sent: dict[str, dt.date], items: Sequence[str], times: Sequence[dt.datetime]
    ) -> frozenset[str]:
        touched = {
            item
            for item, time in zip(items, times, strict=True)
            if item in sent and time >= self._end_of(sent[item])
        }
        return frozenset(sent.keys() - touched)

    def _end_of(self, night: dt.date) -> dt.datetime:
        next_day = night + dt.timedelta(days=1)
        return dt.datetime.combine(next_day, dt.time(), self.zone)


def _lists(partition: Partition, users: pa.Table, n_shards: int) -> dict[str, SentList]:
    """A night's lists of the shard that these users are of."""
    return _by_user(rows_of_shard(partition.files, users, n_shards, ["user_id", "items"]))


def rows_of_shard(
    files: Sequence[Path], users: pa.Table, n_shards: int, columns: Sequence[str]
) -> pa.Table:
    """The rows of the shard that these users are of, whatever files they lie in."""
    ids = column(users, "user_id")
    shard = int(shard_of(ids.slice(0, 1), n_shards)[0]) if len(ids) else 0
    if len(files) == n_shards:
        rows, whole = _of_shard(files[shard], shard, n_shards, columns)
        if whole:
            return rows
    parts = [_of_shard(file, shard, n_shards, columns)[0] for file in files]
    return pa.concat_tables(parts).combine_chunks()


def _of_shard(
    file: Path, shard: int, n_shards: int, columns: Sequence[str]
) -> tuple[pa.Table, bool]:
    """The rows of one shard's users in a file, and whether it has no others."""
    with storage_errors(f"cannot read {file}"):
        rows = pq.ParquetFile(file).read(columns=list(columns))
    mine = shard_of(column(rows, "user_id"), n_shards) == shard
    return rows.filter(pa.array(mine)), bool(len(mine) and mine.all())


def _by_user(rows: pa.Table) -> dict[str, SentList]:
    entries = column(rows, "items")
    told: Any = [
        python_lists(pa.ListArray.from_arrays(entries.offsets, entries.flatten().field(name)))
        for name in ("item_id", "score")
    ]
    return dict(zip(column(rows, "user_id").to_pylist(), zip(*told, strict=True), strict=True))
