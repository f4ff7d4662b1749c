"""Whom tonight's lists are for: the active users who consent, shard by shard.

Reads the night's histories a record batch at a time, so that no more than one shard's users are
in memory. A user who is inactive, or else has not consented, is counted and left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.generation.columns import compute
from pipeline.generation.shards import shard_of
from pipeline.lake import storage_errors

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
    """Who is due tonight, and why the others are not."""
    rows = due = active_rows = 0
    for batch in _batches(files, _FLAGS):
        active = compute.fill_null(batch.column("active"), False)
        rows += batch.num_rows
        active_rows += compute.sum(active).as_py() or 0
        due += (
            compute.sum(
                compute.and_(active, compute.fill_null(batch.column("consent"), False))
            ).as_py()
            or 0
        )
    return Audience(rows, due, rows - active_rows, active_rows - due)


def shard_users(files: Sequence[Path], shard: int, n_shards: int) -> pa.Table:
    """The users due tonight in one shard, by user id, with what their lists are made from."""
    kept = [_schema(COLUMNS).empty_table()]
    for batch in _batches(files, (*COLUMNS, *_FLAGS)):
        due = batch.filter(
            compute.and_(
                compute.fill_null(batch.column("active"), False),
                compute.fill_null(batch.column("consent"), False),
            )
        )
        mine = pa.array(shard_of(due.column("user_id"), n_shards) == shard)
        kept.append(pa.Table.from_batches([due.filter(mine)]).select(list(COLUMNS)))
    return pa.concat_tables(kept).sort_by("user_id").combine_chunks()


def _batches(files: Sequence[Path], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    schema = _schema(columns)
    with storage_errors("cannot read the histories"):
        data = ds.dataset([str(path) for path in files], format="parquet", schema=schema)
        yield from data.to_batches(columns=list(columns))


def _schema(columns: Sequence[str]) -> pa.Schema:
    """Only these columns, nullable ones included: what Spark writes says nothing of nulls."""
    contract = arrow_schema(load_contract("histories"))
    return pa.schema([contract.field(name).with_nullable(True) for name in columns])
