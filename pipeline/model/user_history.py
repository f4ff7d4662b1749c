"""A user's past as the model's stages read it from the night's `histories`.

Guarantees: consenting users only, in the order of their ids, whatever the order of files and rows.
Users who did not consent to personalised marketing are neither trained on nor measured: they object
to being profiled for it.

Gives up: all consenting users are held in memory (about 4 KB each at 50 events).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.datasets import HISTORIES
from pipeline.encryption.parquet_files import read_table
from pipeline.lake import Lake

_COLUMNS = [
    "user_id",
    "item_ids",
    "event_types",
    "event_times",
    "cancelled",
    "queries",
    "query_times",
    "owned_item_ids",
    "consent",
    "language",
    "holdout_index",
    "holdout_split",
]
RATING = "rating"
OWNING_EVENTS = ("purchase", RATING)


@dataclass(frozen=True)
class UserHistory:
    """One consenting user. The sequences run in parallel, oldest first."""

    user_id: str
    item_ids: tuple[str, ...]
    event_types: tuple[str, ...]
    event_times: tuple[dt.datetime, ...]
    queries: tuple[str, ...]
    query_times: tuple[dt.datetime, ...]
    owned_item_ids: tuple[str, ...]
    language: str | None
    holdout_index: int | None
    holdout_split: str | None
    cancelled: frozenset[int] = frozenset()  # places of purchases that were cancelled whole

    @property
    def n_known(self) -> int:
        """How many events training and evaluation may see: those before the held-out one."""
        return len(self.item_ids) if self.holdout_index is None else self.holdout_index

    @property
    def known_items(self) -> tuple[str, ...]:
        """Items before the held-out event; all of them where none is held out."""
        return self.item_ids[: self.n_known]

    @property
    def known_event_types(self) -> tuple[str, ...]:
        """Event types before the held-out event."""
        return self.event_types[: self.n_known]

    @property
    def known_queries(self) -> tuple[str, ...]:
        """Queries typed before the held-out event."""
        if self.holdout_index is None:
            return self.queries
        end = self.event_times[self.holdout_index]
        return tuple(
            query for query, time in zip(self.queries, self.query_times, strict=True) if time < end
        )

    @property
    def held_out_item(self) -> str:
        """The item of the held-out event; only for a user who has one."""
        assert self.holdout_index is not None
        return self.item_ids[self.holdout_index]

    def owned_before_holdout(self) -> frozenset[str]:
        """Items owned at the moment of the held-out event, which the list must not repeat.

        `owned_item_ids` covers the whole past. An item that was first owned at or after the
        held-out event is removed; an item that was owned before it (also in the arrays) stays. A
        cancelled purchase gives no ownership.
        """
        owning = [
            (place, item)
            for place, (item, kind) in enumerate(zip(self.item_ids, self.event_types, strict=True))
            if kind in OWNING_EVENTS and place not in self.cancelled
        ]
        later = {item for place, item in owning if place >= self.n_known}
        before = {item for place, item in owning if place < self.n_known}
        held_out = {self.held_out_item} if self.holdout_index is not None else set()
        return frozenset((set(self.owned_item_ids) - later - held_out) | before)


def read_histories(lake: Lake, run_date: dt.date) -> list[UserHistory]:
    """The night's consenting users.

    Raises:
        InputError: the night has no histories.
    """
    partition = lake.require(HISTORIES, run_date)
    rows: list[UserHistory] = []
    for file in partition.files:
        table = read_table(file, columns=_COLUMNS)
        rows += [_user(row) for row in table.to_pylist() if row["consent"]]
    return sorted(rows, key=lambda user: user.user_id)


def held_out(users: Sequence[UserHistory], split: str) -> list[UserHistory]:
    """Users whose held-out event belongs to `validation` or to `test`."""
    return [user for user in users if user.holdout_split == split]


def _user(row: dict[str, Any]) -> UserHistory:
    return UserHistory(
        user_id=row["user_id"],
        item_ids=tuple(row["item_ids"]),
        event_types=tuple(row["event_types"]),
        event_times=tuple(row["event_times"]),
        queries=tuple(row["queries"]),
        query_times=tuple(row["query_times"]),
        owned_item_ids=tuple(row["owned_item_ids"]),
        language=row["language"],
        holdout_index=row["holdout_index"],
        holdout_split=row["holdout_split"],
        cancelled=frozenset(place for place, gone in enumerate(row["cancelled"] or ()) if gone),
    )
