"""The lists that earlier nights sent, shard by shard.

They are needed for two rules: `no_repeat` (what was sent and ignored is not sent again soon), and
the deadline (`deadline_lists`). Reads published `recommendations` of nights before this one.
Guarantees: never more than one shard's rows of one night in memory.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from pipeline.arrow_columns import column, python_lists
from pipeline.datasets import RECOMMENDATIONS
from pipeline.generation.sharded_rows import ShardedRows, contract_columns
from pipeline.generation.shards import shard_of
from pipeline.lake import Lake, Partition

# Item ids from the best, and their scores.
SentList = tuple[Sequence[str], Sequence[float]]


@dataclass(frozen=True)
class EarlierLists:
    """The nights before this one.

    Args:
        nights: how many of them `ignored` looks at.
        zone: a night's day ends at midnight of this zone; what happens later comes after the list.
        n_shards: of tonight; all users of a call are of one shard.
        scratch: where rows of nights that had other shards are set apart.
    """

    lake: Lake
    run_date: dt.date
    zone: ZoneInfo
    nights: int
    n_shards: int
    scratch: Path

    @property
    def partitions(self) -> list[Partition]:
        """The nights whose lists are not to be repeated, oldest first; nights may be missing."""
        if not self.nights:
            return []
        first = self.run_date - dt.timedelta(days=self.nights)
        return [self.lake.require(RECOMMENDATIONS, date) for date in self._dates if date >= first]

    def ignored(self, users: pa.Table) -> list[frozenset[str]]:
        """For each user of a shard, the items that were sent to them and not touched since."""
        sent: dict[str, dict[str, dt.date]] = {}
        if not users.num_rows:
            return []
        for partition in self.partitions:
            for user_id, (items, _) in self._lists(partition, users).items():
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
        """The lists that the newest night before this one sent to users of a shard."""
        if not self._dates or not users.num_rows:
            return {}
        return self._lists(self.lake.require(RECOMMENDATIONS, self._dates[-1]), users)

    def sharded(self, partition: Partition) -> ShardedRows:
        """A night's lists, those of each of tonight's shards apart."""
        columns = contract_columns(RECOMMENDATIONS, ("user_id", "items"))
        return ShardedRows(partition, columns, self.n_shards, self.scratch)

    def _lists(self, partition: Partition, users: pa.Table) -> dict[str, SentList]:
        """A night's lists of the shard that these users are of."""
        shard = shard_of_all(users, self.n_shards)
        return _by_user(self.sharded(partition).read(shard))

    @property
    def _dates(self) -> list[dt.date]:
        return self.lake.dates(RECOMMENDATIONS, self.run_date - dt.timedelta(days=1))

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


def shard_of_all(users: pa.Table, n_shards: int) -> int:
    """The shard that some users, at least one, are all of."""
    return int(shard_of(column(users, "user_id").slice(0, 1), n_shards)[0])


def _by_user(rows: pa.Table) -> dict[str, SentList]:
    entries = column(rows, "items")
    lists: Any = [
        python_lists(pa.ListArray.from_arrays(entries.offsets, entries.flatten().field(name)))
        for name in ("item_id", "score")
    ]
    return dict(zip(column(rows, "user_id").to_pylist(), zip(*lists, strict=True), strict=True))
