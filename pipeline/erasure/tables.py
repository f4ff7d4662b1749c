"""Parquet files: which rows hold a user, and the same file without those rows.

A row holds a user if any of its texts, however deep, is their pseudonym or contains it; and in
quarantine also if a value of the refused row is their id. Each distinct way of
nesting is read by Arrow; no other column is assumed.

A file that is written again has the rows that stay in their order, in row groups that begin where
the old ones did, with the old compression, schema and key-value metadata. It is not the same bytes
as a run would have written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.arrow_columns import Column
from pipeline.arrow_columns import column as in_one_piece
from pipeline.arrow_columns import compute as pc
from pipeline.encryption.parquet_files import open_parquet, writer
from pipeline.erasure.wanted import Wanted
from pipeline.errors import DamagedError
from pipeline.pseudonym import PSEUDONYM_LENGTH

SUFFIX = ".parquet"

# The column of quarantine that holds the retailer's row: ids in clear are looked for in no other.
_RAW = "raw"
_ARROW_SCHEMA = b"ARROW:schema"


@dataclass(frozen=True)
class Hits:
    """How many rows of a file hold a user, of how many, and whom."""

    rows: int
    of: int
    users: frozenset[str]


def rows_with_users(file: Path | pa.BufferReader, wanted: Wanted, *, ids: bool) -> Hits:
    """Count the rows of a file that hold a user.

    Args:
        ids: ids in clear are looked for in the column `raw` too.

    Raises:
        pyarrow.ArrowException: the file is damaged.
    """
    rows, users = 0, set[str]()
    with open_parquet(file) as table:
        columns = _text_columns(table.schema_arrow)
        total = table.metadata.num_rows
        if columns:
            for group in range(table.num_row_groups):
                held = table.read_row_group(group, columns=columns)
                found, said = _rows_that_hold(held, wanted, ids=ids)
                rows += int(pc.sum(found).as_py() or 0)
                users |= said
    return Hits(rows, total, frozenset(users))


def write_without(file: Path, target: Path, wanted: Wanted, *, ids: bool) -> int:
    """Write a file again without the rows that hold a user; how many those are."""

    def change(group: pa.Table) -> pa.Table:
        held = group.select(_text_columns(group.schema))
        found, _ = _rows_that_hold(held, wanted, ids=ids)
        return group.filter(pc.invert(found))

    before, after = rewrite(file, target, change)
    return before - after


def rows_held(file: Path, held: Callable[[pa.Table], Column], damaged: Path) -> int:
    """How many rows of a file beside the lake are somebody's.

    Args:
        held: which rows of a row group are.
        damaged: what to remove where the file cannot be read.

    Raises:
        DamagedError: it cannot.
    """
    try:
        with open_parquet(file) as table:
            return sum(
                int(pc.sum(held(table.read_row_group(n))).as_py() or 0)
                for n in range(table.num_row_groups)
            )
    except (pa.ArrowException, OSError) as error:
        raise DamagedError(
            f"{file} cannot be read, so nobody can say whom it holds "
            f"({str(error).splitlines()[0]}): remove {damaged}, and erase once more"
        ) from None


def rewrite(file: Path, target: Path, change: Callable[[pa.Table], pa.Table]) -> tuple[int, int]:
    """Write a file again, each row group changed; rows before and after."""
    before = after = 0
    with open_parquet(file) as table:
        metadata, schema = table.metadata, table.schema_arrow
        first = metadata.row_group(0) if metadata.num_row_groups else None
        columns = [first.column(n) for n in range(first.num_columns)] if first else []
        said = {column.path_in_schema: column.compression.lower() for column in columns}
        compression: Any = {
            name: "none" if how == "uncompressed" else how for name, how in said.items()
        }
        with writer(
            target,
            schema,
            like=file,
            compression=compression or "zstd",
            use_deprecated_int96_timestamps=any(
                column.physical_type == "INT96" for column in columns
            ),
            store_schema=_ARROW_SCHEMA in (metadata.metadata or {}),
        ) as written:
            for group in range(metadata.num_row_groups):
                rows = table.read_row_group(group)
                kept = change(rows).combine_chunks()
                before, after = before + rows.num_rows, after + kept.num_rows
                if kept.num_rows:
                    written.write_table(kept, row_group_size=kept.num_rows)
    return before, after


def _text_columns(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if _has_text(field.type)]


def _has_text(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_has_text(kind.field(n).type) for n in range(kind.num_fields))
    if pa.types.is_dictionary(kind):
        return _has_text(kind.value_type)
    return any(
        of(kind)
        for of in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


def _rows_that_hold(table: pa.Table, wanted: Wanted, *, ids: bool) -> tuple[Column, set[str]]:
    """Which rows of a table hold a user, and the pseudonyms that do."""
    users: set[str] = set()
    found: Column = pa.array([False] * table.num_rows, pa.bool_())
    for name in table.column_names:
        column = in_one_piece(table, name)
        if pa.types.is_nested(column.type):
            held = _nested(column, wanted)
        else:
            held = _flat(column, wanted, ids=ids and name == _RAW)
        if held is None:
            continue
        found = pc.or_(found, held)
        users |= _users_of(column.filter(held), wanted)
    return found, users


def _flat(column: Column, wanted: Wanted, *, ids: bool) -> Column | None:
    """Which values of a column of texts hold a user; none where none does."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    text = column.cast(pa.large_binary())
    pseudonyms = wanted.values.cast(pa.large_binary())
    exact = pc.fill_null(pc.is_in(text, value_set=pseudonyms), False)
    # Hashes of 32 digits are the user's or another's: only longer texts need to be looked into.
    longer = pc.greater(pc.binary_length(text), PSEUDONYM_LENGTH)
    long = text.filter(longer) if not ids else text.drop_null()
    said = wanted.in_bytes(_content(long)) if len(long) else set()
    if ids and len(long):
        said = wanted.in_text(b"\n".join(long.to_pylist()))
    if not said:
        return exact if pc.any(exact).as_py() else None
    within = pa.array(
        [value is not None and bool(_said(value, wanted, ids=ids)) for value in text.to_pylist()],
        pa.bool_(),
    )
    held = pc.or_(exact, within)
    return held if pc.any(held).as_py() else None


def _said(value: bytes, wanted: Wanted, *, ids: bool) -> set[bytes]:
    found = wanted.in_bytes(value)
    if ids and wanted.ids_in(value):
        found |= wanted.ids_in(_values(value))
    return found


def _values(row: bytes) -> bytes:
    """The values of a row in JSON, without its keys; all of it where it is none."""
    try:
        return b"\n".join(_texts(json.loads(row)))
    except ValueError:
        return row


def _content(values: Column) -> memoryview:
    """All bytes of an array of texts, one value after the other, nothing between them."""
    _, offsets, content = values.buffers()
    if content is None or not len(values):
        return memoryview(b"")
    bounds = memoryview(offsets).cast("q")[values.offset : values.offset + len(values) + 1]
    return memoryview(content)[bounds[0] : bounds[-1]]


def _nested(column: Column, wanted: Wanted) -> Column | None:
    """As `_flat`, of lists, structs and maps: rows are looked at one by one only where one hits."""
    if all(_flat(leaf, wanted, ids=False) is None for leaf in _leaves(column)):
        return None
    return pa.array(
        [any(wanted.in_bytes(text) for text in _texts(row)) for row in column.to_pylist()],
        pa.bool_(),
    )


def _leaves(column: Column) -> Iterator[Column]:
    kind = column.type
    if not _has_text(kind):
        return
    if pa.types.is_struct(kind):
        for leaf in column.flatten():
            yield from _leaves(leaf)
    elif pa.types.is_map(kind):
        yield from _leaves(column.keys)
        yield from _leaves(column.items)
    elif pa.types.is_nested(kind):
        yield from _leaves(column.flatten())
    else:
        yield column


def _texts(value: Any) -> Iterator[bytes]:
    if isinstance(value, str):
        yield value.encode("utf-8", "surrogatepass")
    elif isinstance(value, bytes):
        yield value
    elif isinstance(value, int | float):
        yield str(value).encode()
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def _users_of(column: Column, wanted: Wanted) -> set[str]:
    texts = b"\n".join(text for row in column.to_pylist() for text in _texts(row))
    return {user.decode() for user in wanted.in_bytes(texts)}
