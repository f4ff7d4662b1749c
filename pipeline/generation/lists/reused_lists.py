"""Lists of the night before that are reused, because they would come out the same.

Reads the newest earlier `generated` and the histories it was made from. A list depends on the
model, on what may be sold and on the rules, which are the same for everybody (`list_key` in the
manifest), and on the user's past. Where all of that is as it was, the earlier list is reused with
its scores and the rules it names. Only the model's lists are reused: a fallback's list depends on
what all other users do.

Gives up: scores were rounded with other users in the batch, so that in rare cases the last of
their decimals differs from that of a list made anew.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.arrow_columns import column, python_lists
from pipeline.datasets import GENERATED, HISTORIES, RECOMMENDATIONS
from pipeline.generation.lists.earlier_lists import shard_of_all
from pipeline.generation.sharded_rows import ShardedRows, contract_columns
from pipeline.lake import Lake
from pipeline.lineage import lineage_of
from pipeline.model.list_methods import MODEL

log = logging.getLogger("nightcart")

LIST_KEY = "list_key"
# The parts of a history that a list is made from.
PAST = ("item_ids", "event_types", "queries", "owned_item_ids")
ABOUT = ("language", "region")

# Item ids from the best, their scores, the rules that the row names.
ReusedList = tuple[Sequence[str], Sequence[float], Sequence[str]]


class ReusedLists:
    """Last night's lists, if tonight's are made by the same model from the same shop."""

    def __init__(
        self, lake: Lake, run_date: dt.date, list_key: str, n_shards: int, scratch: Path
    ) -> None:
        self.n_shards = n_shards
        self._lists: ShardedRows | None = None
        self._histories: ShardedRows | None = None
        dates = lake.dates(GENERATED, run_date - dt.timedelta(days=1))
        newest = lake.whole(GENERATED, dates[-1]) if dates else None
        lineage = lineage_of(newest) if newest else None
        read = lineage.directory(HISTORIES, newest.run_date) if newest and lineage else None
        if newest is None or read is None or newest.manifest.get(LIST_KEY) != list_key:
            log.info("every list is made anew: the model, the shop or the rules have changed")
            return
        histories = lake.whole(HISTORIES, newest.run_date, read)
        if histories is None:
            return
        lists = contract_columns(RECOMMENDATIONS, ("user_id", "items", "spares", "method", "rules"))
        pasts = contract_columns(HISTORIES, ("user_id", *PAST, *ABOUT))
        self._lists = ShardedRows(newest, lists, n_shards, scratch)
        self._histories = ShardedRows(histories, pasts, n_shards, scratch)

    @property
    def sharded(self) -> list[ShardedRows]:
        """The rows that are read of the night before."""
        return [rows for rows in (self._lists, self._histories) if rows]

    def lists(self, users: pa.Table) -> dict[int, ReusedList]:
        """The lists that stay as they were, by row of a shard's users."""
        if self._lists is None or self._histories is None or not users.num_rows:
            return {}
        shard = shard_of_all(users, self.n_shards)
        rows = self._lists.read(shard)
        items = [_with_spares(rows, name) for name in ("item_id", "score")]
        earlier = zip(
            *(rows.column(name).to_pylist() for name in ("user_id", "method")),
            zip(*items, python_lists(column(rows, "rules")), strict=True),
            strict=True,
        )
        lists = {user_id: list_ for user_id, method, list_ in earlier if method == MODEL}
        histories = self._histories.read(shard)
        past_of = dict(zip(histories.column("user_id").to_pylist(), _pasts(histories), strict=True))
        return {
            row: lists[user_id]
            for row, (user_id, past) in enumerate(
                zip(users.column("user_id").to_pylist(), _pasts(users), strict=True)
            )
            if user_id in lists and past_of.get(user_id) == past
        }


def _with_spares(rows: pa.Table, name: str) -> list[Sequence[Any]]:
    """A fact of each list's items and then of its spares."""
    both = []
    for part in ("items", "spares"):
        entries = column(rows, part)
        facts = pa.ListArray.from_arrays(entries.offsets, entries.flatten().field(name))
        both.append(python_lists(facts))
    return [[*items, *spares] for items, spares in zip(*both, strict=True)]


def _pasts(users: pa.Table) -> list[tuple[Any, ...]]:
    lists = [python_lists(column(users, name)) for name in PAST]
    return list(zip(*lists, *(users.column(name).to_pylist() for name in ABOUT), strict=True))
