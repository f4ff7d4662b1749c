"""Who keeps the list of the night before, because it would come out the same.

Reads the newest earlier `generated` and the histories it was made from. A list depends on the
model, on what may be sold and on the rules, for everybody (`list_key`, kept in the manifest), and
on what is in the user's past: where all of that is as it was, the earlier list is kept, with its
scores and the rules it names. Only lists that the model made are: a fallback depends on what
everybody else does.

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

from pipeline.generation.columns import column, python_lists
from pipeline.generation.sent import shard_of_all
from pipeline.generation.sharded_rows import ShardedRows, contract_columns
from pipeline.lake import Lake

log = logging.getLogger("nightcart")

DATASET = "generated"
LIST_KEY = "list_key"
MODEL = "model"
# What of a history a list is made from.
PAST = ("item_ids", "event_types", "queries", "owned_item_ids")
ABOUT = ("language", "region")

# Item ids from the best, their scores, the rules that the row names.
KeptList = tuple[Sequence[str], Sequence[float], Sequence[str]]


class Unchanged:
    """The night before, if tonight's lists are made by the same model from the same shop."""

    def __init__(
        self, lake: Lake, run_date: dt.date, list_key: str, n_shards: int, scratch: Path
    ) -> None:
        self.n_shards = n_shards
        self._lists: ShardedRows | None = None
        self._histories: ShardedRows | None = None
        dates = lake.dates(DATASET, run_date - dt.timedelta(days=1))
        newest = lake.require(DATASET, dates[-1]) if dates else None
        if newest is None or newest.manifest.get(LIST_KEY) != list_key:
            log.info("every list is made anew: the model, the shop or the rules have changed")
            return
        said: dict[str, Any] = newest.manifest["made_from"]
        histories = lake.partition("histories", newest.run_date, said["histories"])
        lists = contract_columns("recommendations", ("user_id", "items", "method", "rules"))
        pasts = contract_columns("histories", ("user_id", *PAST, *ABOUT))
        self._lists = ShardedRows(newest, lists, n_shards, scratch)
        self._histories = ShardedRows(histories, pasts, n_shards, scratch)

    @property
    def sharded(self) -> list[ShardedRows]:
        """What is read of the night before."""
        return [rows for rows in (self._lists, self._histories) if rows]

    def lists(self, users: pa.Table) -> dict[int, KeptList]:
        """The lists that stay as they were, by row of a shard's users."""
        if self._lists is None or self._histories is None or not users.num_rows:
            return {}
        shard = shard_of_all(users, self.n_shards)
        rows = self._lists.read(shard)
        entries = column(rows, "items")
        told = [
            python_lists(pa.ListArray.from_arrays(entries.offsets, entries.flatten().field(name)))
            for name in ("item_id", "score")
        ]
        made = zip(
            *(rows.column(name).to_pylist() for name in ("user_id", "method")),
            zip(*told, python_lists(column(rows, "rules")), strict=True),
            strict=True,
        )
        lists = {user_id: list_ for user_id, method, list_ in made if method == MODEL}
        before = self._histories.read(shard)
        was = dict(zip(before.column("user_id").to_pylist(), _pasts(before), strict=True))
        return {
            row: lists[user_id]
            for row, (user_id, past) in enumerate(
                zip(users.column("user_id").to_pylist(), _pasts(users), strict=True)
            )
            if user_id in lists and was.get(user_id) == past
        }


def _pasts(users: pa.Table) -> list[tuple[Any, ...]]:
    lists = [python_lists(column(users, name)) for name in PAST]
    return list(zip(*lists, *(users.column(name).to_pylist() for name in ABOUT), strict=True))
