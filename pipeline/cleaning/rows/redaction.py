"""A raw row as quarantine may keep it: whole, but without anything that identifies a person.

Ids of users, events, reviews and visits are replaced by their keyed hash, also in a column that
only another dataset of the same files reads as one. A column that feeds free text is scrubbed, and
so is one that no expression of the source reads, because nothing says what it holds. A column that
is read for something else (an item, a time, a price) loses only e-mail addresses. Of a column that
holds an id amid other things, such as an array with users in its elements, the outline is kept.

Beside the raw columns the row keeps, below `__<name>`, what the mapping made of columns that ids
are read from: when the row is taken in later, it cannot be mapped again from their hashes.

A line that could not be read has no columns to go by: an id may stand anywhere in it, whole or in
parts. All its letters and digits are masked. What is left shows how the line is built, and the line
itself is in the raw file. The same holds for a value of a multi-line CSV file that has a line break
and is no free text: the parser may have swallowed other rows with it. Only a dataset without any id
of a person or an act (a catalogue with files of its own) keeps such lines, without contacts.

The expression is expensive and few rows are refused. Python takes part in it, which Spark runs for
every row whatever the condition around it, so the condition is an argument.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any, cast

import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.functions import arrow_udf

from pipeline.cleaning.rows.pseudonym_column import pseudonym_column, was_erased
from pipeline.contracts.contract import load_contract
from pipeline.pseudonym import KeyFile
from pipeline.sources.reader_columns import LINE
from pipeline.sources.source import ACT_IDS, KEY_COLUMN, TIME_COLUMN, SourceDataset, columns_read

GIVEN, PSEUDONYM = "__given", "__pseudonym"
FREE_TEXT = {"events": ("query",), "reviews": ("title", "text"), "items": (), "users": ()}

# What a redacted row is made of: a row of columns, a line without ids, or the outline of a line.
_ROW, _LINE, _OUTLINE = "row", "line", "outline"


def redacted_row(
    dataset: SourceDataset,
    key: KeyFile,
    is_refused: Column,
    *,
    erased: Collection[str] = frozenset(),
) -> Column:
    """JSON of the raw columns that are not null, or the redacted line, of a row that was mapped.

    Args:
        dataset: whose raw columns the row has in `__given`.
        key: of the hash.
        is_refused: which rows to make it of; it is null for others.
        erased: digests of users of whose lines only the outline is kept.
    """
    own_users, acts = dataset.user_columns, {*dataset.act_columns, *dataset.acts_elsewhere}
    containers = {*dataset.id_containers}
    texts = {
        name
        for column in FREE_TEXT[dataset.name]
        for name in columns_read(dataset.mapping.get(column, ""), dataset.columns)
    }
    read = {name for sql in dataset.mapping.values() for name in columns_read(sql, dataset.columns)}
    tables = [dataset, *(join.table for join in dataset.joins)]
    has_breaks = any(table.is_multiline for table in tables)
    fields, only_emails = [], set()
    for name in dataset.columns:
        value = F.col(GIVEN).getField(name)
        if name in own_users:
            hashed = F.coalesce(F.col(PSEUDONYM), pseudonym_column(value, key))
            value = F.when(value.isNotNull(), hashed)
            only_emails.add(name)  # a hash has nothing to scrub
        elif name in dataset.users_elsewhere or name in acts:
            value = pseudonym_column(value, key)
            only_emails.add(name)
        elif name in containers:
            value = _masked(value)
        elif name in read and name not in texts:
            only_emails.add(name)
            if has_breaks and _has_ids(dataset):
                value = F.when(value.rlike(r"[\r\n]"), _masked(value)).otherwise(value)
        fields.append(value.alias(name))
    for name in kept_columns(dataset):
        fields.append(F.col(name).cast("string").alias(kept(name)))
        only_emails.add(kept(name))
    line, of_line = (_masked(F.col(LINE)), _OUTLINE) if _has_ids(dataset) else (F.col(LINE), _LINE)
    is_line = F.col(LINE).isNotNull()
    kind = F.when(~is_line, _ROW).otherwise(of_line)
    row = F.when(is_line, line).otherwise(F.to_json(F.struct(*fields)))
    for name in dataset.users_elsewhere if erased else ():
        # An item's row, say, in the same file as a purchase by somebody who was erased.
        user = pseudonym_column(F.col(GIVEN).getField(name), key)
        is_theirs = ~is_line & F.coalesce(was_erased(user, key, erased), F.lit(False))
        row = F.when(is_theirs, _masked(row)).otherwise(row)
        kind = F.when(is_theirs, _OUTLINE).otherwise(kind)
    scrubbed = arrow_udf(_scrubbing(frozenset(only_emails)), T.StringType())  # type: ignore[call-overload]
    return cast(Column, scrubbed(F.when(is_refused, row), F.when(is_refused, kind)))


def _scrubbing(only_emails: frozenset[str]) -> Callable[[Any, Any], Any]:
    """What makes scrubbed rows of JSON objects, of lines, and of outlines, which hold nothing."""

    def scrubbed(rows: pa.Array, kinds: pa.Array) -> pa.Array:  # type: ignore[type-arg]
        if rows.null_count == len(rows):
            return rows
        return pa.array(
            [
                None if row is None else _scrubbed(row, str(kind), only_emails)
                for row, kind in zip(rows.to_pylist(), kinds.to_pylist(), strict=True)
            ],
            pa.string(),
        )

    return scrubbed


def _scrubbed(row: str, kind: str, only_emails: frozenset[str]) -> str:
    from pipeline.cleaning.contacts.contacts import without_contacts, without_emails

    if kind == _OUTLINE:
        return row
    if kind == _LINE:
        return without_contacts(row)
    values = {
        name: value
        if not isinstance(value, str)
        else without_emails(value)
        if name in only_emails
        else without_contacts(value)
        for name, value in json.loads(row).items()
    }
    # As Spark writes it: nothing escaped that need not be, no spaces.
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def kept(name: str) -> str:
    """The key that a redacted row has a mapped value under."""
    return f"__{name}"


def kept_columns(dataset: SourceDataset) -> list[str]:
    """Mapped columns that a redacted row keeps: ids of acts, and what else is read from them."""
    if dataset.name not in TIME_COLUMN:
        return []
    return [
        name
        for name in load_contract(f"raw_{dataset.name}").column_names
        if name in (KEY_COLUMN[dataset.name], *ACT_IDS)
        or (
            name != "user_id"
            and {*columns_read(dataset.mapping.get(name, ""), dataset.columns)}
            & hidden_columns(dataset)
        )
    ]


def hidden_columns(dataset: SourceDataset) -> set[str]:
    """Raw columns whose values a redacted row does not have: those of ids of acts, and outlines."""
    return {*dataset.act_columns, *dataset.id_containers}


def _masked(text: Column) -> Column:
    """The text with 9 for each digit and x for each letter and all that is not ASCII."""
    return F.regexp_replace(F.regexp_replace(text, r"\p{N}", "9"), r"[A-Za-z]|[^\x00-\x7f]", "x")


def _has_ids(dataset: SourceDataset) -> bool:
    return bool(
        dataset.user_columns
        or dataset.act_columns
        or dataset.users_elsewhere
        or dataset.acts_elsewhere
        or dataset.ids_within_elsewhere
    )
