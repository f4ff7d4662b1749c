"""Rows by hand into a lake, by contract: what tests of later stages stand on."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.lake import Lake, Partition, Run

Row = Mapping[str, Any]


def user_id_of(name: str) -> str:
    """A pseudonym that a test can name."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def instant(text: str) -> dt.datetime:
    """An instant in UTC from `2026-03-01 10:00`."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def write_rows(
    lake: Lake,
    dataset: str,
    run: Run,
    rows: Iterable[Row],
    *,
    contract: str | None = None,
    files: int = 1,
    **facts: Any,
) -> Partition:
    """Commit rows as one partition, split over `files` files; absent keys are null."""
    declared = arrow_schema(load_contract(contract or dataset))
    # As Spark writes: nothing in the file says that a column cannot be null.
    schema = pa.schema([field.with_nullable(True) for field in declared])
    full = [{name: row.get(name) for name in schema.names} for row in rows]
    directory = lake.begin(dataset, run)
    for number in range(files):
        table = pa.Table.from_pylist(full[number::files], schema=schema)
        pq.write_table(table, directory / f"part-{number:05d}.parquet")
    return lake.commit(dataset, run, rows=len(full), **facts)


def read_rows(lake: Lake, dataset: str, date: dt.date) -> list[dict[str, Any]]:
    """Every row of a date's committed partition, in file order."""
    files: Sequence[Any] = lake.require(dataset, date).files
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
