"""The users whom tonight's lists are for: those who are active and consent, shard by shard.

Reads the night's histories a few thousand rows at a time, so that no more than one shard's users
are in memory. A user who is inactive, or is active and has not consented, is counted and left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline.arrow_columns import Column, compute
from pipeline.datasets import HISTORIES
from pipeline.generation.sharded_rows import ShardedRows, contract_columns, read_batches
from pipeline.lake import Partition

COLUMNS = (
    "user_id",
    "item_ids",
    "event_types",
    "event_times",
    "queries",
    "owned_item_ids",
    "last_event_time",
    "language",
    "region",
)
_FLAGS = ("active", "consent")


@dataclass(frozen=True)
class Audience:
    """Counts of a night's histories: `rows` = `due` + `inactive` + `no_consent`."""

    rows: int
    due: int
    inactive: int
    no_consent: int


def count_audience(files: Sequence[Path]) -> Audience:
    """How many users are due tonight, and why the others are not."""
    rows = due = active_rows = 0
    for batch in read_batches(files, contract_columns(HISTORIES, _FLAGS)):
        rows += batch.num_rows
        active_rows += compute.sum(batch.column("active")).as_py() or 0
        due += compute.sum(_is_due(batch)).as_py() or 0
    return Audience(rows, due, rows - active_rows, active_rows - due)


def users_by_shard(histories: Partition, n_shards: int, scratch: Path) -> ShardedRows:
    """The users due tonight, by shard."""
    schema = contract_columns(HISTORIES, (*COLUMNS, *_FLAGS))
    return ShardedRows(histories, schema, n_shards, scratch, keep=due_users)


def due_users(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The users who are due, with the columns that lists are made from."""
    return batch.filter(_is_due(batch)).select(list(COLUMNS))


def _is_due(batch: pa.RecordBatch) -> Column:
    active, consent = (compute.fill_null(batch.column(name), False) for name in _FLAGS)
    return compute.and_(active, consent)
