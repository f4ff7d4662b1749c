"""Rows by hand into a lake, by contract: what tests of later stages stand on."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.lake import MANIFEST, Lake, Partition, Run
from pipeline.pseudonym import pseudonym, read_or_make_key

Row = Mapping[str, Any]


def user_id_of(name: str) -> str:
    """A pseudonym that a test can name."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def given_ids(
    rows: Iterable[Row], column: str, key_file: str | Path, given: Iterable[str]
) -> list[str]:
    """The retailer's ids of cleaned rows, of which the lake has the hashes."""
    key = read_or_make_key(key_file)
    known = {pseudonym(name, key): name for name in given}
    return [known[row[column]] for row in rows]


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


def write_again(
    lake: Lake, dataset: str, date: dt.date, write: Callable[[Path, Path], object]
) -> Partition:
    """Commit a date's partition once more, with the same facts.

    Args:
        write: given each file and where its like is to be.
    """
    before = lake.require(dataset, date)
    run = Run(date, before.run_id)
    directory = lake.begin(dataset, run)
    for file in before.files:
        write(file, directory / file.name)
    kept = {"dataset", "run_date", "run_id", "files"}
    return lake.commit(
        dataset, run, **{key: said for key, said in before.manifest.items() if key not in kept}
    )


def commit_as_it_is(lake: Lake, dataset: str, run: Run) -> Partition:
    """Files that a test has changed by hand become what the manifest of a run says."""
    directory = lake.run_directory(dataset, run)
    before = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    (directory / MANIFEST).unlink()
    ours = {"dataset", "run_date", "run_id", "files", "seal"}
    return lake.commit(
        dataset, run, **{key: said for key, said in before.items() if key not in ours}
    )


def read_rows(lake: Lake, dataset: str, date: dt.date) -> list[dict[str, Any]]:
    """Every row of a date's committed partition, in file order."""
    files: Sequence[Any] = lake.require(dataset, date).files
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def point_latest(lake: Lake, name: str, run: Run) -> bool:
    """Publish what a run has committed; whether it is the latest now."""
    partition = lake.committed(name, run)
    assert partition is not None
    return lake.publish(name, partition)
