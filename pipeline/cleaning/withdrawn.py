"""Items and users that a snapshot does not hold any more, as rows of the cleaned datasets.

An item that is gone from the file, or whose row is refused now, goes off sale: its last cleaned row
again, with `listed` false. A user has no consent any more: a row of its hash with `consent` false.
Only those get a row whose last one, in the lake or in the same pass, says something else.

Reads the cleaned days before and what the pass has written to scratch. Writes
`<scratch>/withdrawn_<dataset>/run_date=D/`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from pipeline.arrow_columns import compute as pc
from pipeline.cleaning.day_files import day_files
from pipeline.cleaning.deliveries.snapshot_changes import Changes, DayChanges
from pipeline.cleaning.night_context import NightContext
from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.datasets import cleaned
from pipeline.encryption.parquet_files import read_table, write_table
from pipeline.lake import storage_errors
from pipeline.sources.source import KEY_COLUMN

# Dataset -> the column that says no.
_SAYS_NO = {"items": "listed", "users": "consent"}


def withdrawn_scratch(scratch: Path, dataset: str) -> Path:
    """Where the rows of what is gone wait."""
    return scratch / f"withdrawn_{dataset}"


def write_withdrawn(night: NightContext, changes: Changes) -> None:
    """Write a row for each item or user that is gone or refused, day by day."""
    name = changes.dataset.name
    for one in changes.days:
        rows = _withdrawn(night, changes, one)
        if not rows.num_rows:
            continue
        folder = withdrawn_scratch(night.scratch, name) / f"run_date={one.day.isoformat()}"
        with storage_errors(f"cannot write {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            write_table(rows, folder / "part-00000.parquet", compression="zstd")


def _withdrawn(night: NightContext, changes: Changes, one: DayChanges) -> pa.Table:
    dataset = changes.dataset.name
    key, says_no = KEY_COLUMN[dataset], _SAYS_NO[dataset]
    schema = arrow_schema(load_contract(cleaned(dataset)))
    if one.seen is None or not (one.whole or one.delivered or one.gone):
        return schema.empty_table()
    accepted = pa.chunked_array(
        [
            column
            for file in day_files(night.scratch / dataset, one.day)
            for column in read_table(file, [key])[key].chunks
        ],
        pa.string(),
    )
    # Where all is delivered, whatever the lake knows besides is gone.
    asked = None
    if not one.whole:
        keys = pa.array(sorted({*one.delivered, *one.gone}), pa.string())
        asked = keys.filter(pc.invert(pc.is_in(keys, value_set=accepted)))
    done = accepted
    found = []
    for file in _files_before(night, dataset, one.day):
        if asked is not None and not len(asked):
            break
        rows = read_table(file, schema.names)
        rows = rows.filter(pc.invert(pc.is_in(rows[key], value_set=done)))
        if asked is not None:
            rows = rows.filter(pc.is_in(rows[key], value_set=asked))
            asked = asked.filter(pc.invert(pc.is_in(asked, value_set=rows[key])))
        done = pa.chunked_array([*done.chunks, *rows[key].chunks], pa.string())
        # What an engine wrote may say of a column whether it can be null, or not.
        found.append(rows.filter(rows[says_no]).cast(schema))
    if not found:
        return schema.empty_table()
    return _says_no(pa.concat_tables(found), dataset).sort_by(key)


def _says_no(rows: pa.Table, dataset: str) -> pa.Table:
    kept = {KEY_COLUMN[dataset], "source"} if dataset == "users" else {*rows.column_names}
    no = pa.array([False] * rows.num_rows, pa.bool_())
    columns = [
        no
        if field.name == _SAYS_NO[dataset]
        else rows[field.name]
        if field.name in kept
        else pa.nulls(rows.num_rows, field.type)
        for field in rows.schema
    ]
    return pa.table(columns, schema=rows.schema)


def _files_before(night: NightContext, dataset: str, day: dt.date) -> Iterator[Path]:
    """The cleaned files of the days before a day, the newest first."""
    of_pass = {date for date in night.days if date < day}
    dates = {*night.lake.dates(cleaned(dataset), day - dt.timedelta(days=1))} - {*night.days}
    for date in sorted(of_pass | dates, reverse=True):
        if date in of_pass:
            yield from day_files(withdrawn_scratch(night.scratch, dataset), date)
            yield from day_files(night.scratch / dataset, date)
            continue
        partition = night.lake.whole(cleaned(dataset), date)
        if partition is not None and partition.rows:
            yield from (file for file in partition.files if file.suffix == ".parquet")
