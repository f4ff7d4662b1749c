"""What a fetch asks of a table, whatever holds it; and the SQL that those share who speak it.

Names come from a YAML, so each is quoted, with its quotation marks doubled; values are parameters.
Nothing else of the YAML is ever a part of the SQL.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.errors import InputError
from pipeline.sources.table import Table
from pipeline.sources.tables.window import Value, Window

# What Arrow raises for a value that a type cannot hold.
NOT_OF_TYPE = (pa.ArrowException, OverflowError, TypeError, ValueError)
BATCH_ROWS = 20_000  # of Python values: some 20 MB in a usual table


class NotOfTypeError(Exception):
    """A value that a column's type cannot hold: the fetch begins again with it as text."""

    def __init__(self, column: str, value: Any) -> None:
        super().__init__(column)
        self.column, self.value = column, value


class TableReader(ABC):
    """A table in one consistent state, from when it is opened until `close`."""

    schema: pa.Schema  # of the columns that were asked for, in their order

    @abstractmethod
    def newest(self, window: Window) -> Value:
        """The largest watermark of a window; None where there is no row."""

    @abstractmethod
    def smallest_left_aside(self, window: Window) -> Value:
        """The smallest watermark of the rows whose day is not before the window's `before`."""

    @abstractmethod
    def count_without(self, columns: Sequence[str]) -> int:
        """Rows that have no value in one of some columns."""

    @abstractmethod
    def has_row(self, window: Window) -> bool:
        """Whether a window has any row."""

    @abstractmethod
    def rows(
        self, window: Window, order: Sequence[str], newest: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a window, in order; or so many of its newest, in any.

        Raises:
            NotOfTypeError: a value that `schema` has no place for.
        """

    @abstractmethod
    def take_as_text(self, column: str) -> None:
        """From here on a column is text, in `schema` too."""

    def oldest_writer(self) -> dt.datetime | None:
        """When the oldest transaction began that has written and not ended, if it can be known."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Let go of the table."""


@dataclass
class SqlColumn:
    """A column: its name, the SQL that selects it, its type, and the SQL of it as text."""

    name: str
    select: str
    type: Any
    as_text: str
    parsed: bool = False  # whether the SQL gives a text that is to be read as the type


class SqlReader(TableReader):
    """A table that is asked by SQL. A subclass says how SQL is sent, and what the columns are."""

    placeholder = "?"
    columns: list[SqlColumn]
    table: str  # quoted

    @abstractmethod
    def scalar(self, sql: str, parameters: Sequence[Any]) -> Any:
        """The first value of the first row."""

    @abstractmethod
    def batches(self, sql: str, parameters: Sequence[Any]) -> Iterator[pa.RecordBatch]:
        """The rows of a query over `columns`."""

    def quote(self, name: str) -> str:
        """A name as SQL has it."""
        return '"' + name.replace('"', '""') + '"'

    def comparable(self, name: str) -> str:
        """SQL of a watermark or a day: null where it is no value that a fetch could go by."""
        return self.quote(name)

    def compared(self, name: str) -> str:
        """SQL of a watermark or a day in a condition."""
        return self.comparable(name)

    def parameter(self, value: Value) -> Any:
        """A bound, as it is sent."""
        return value

    @property
    def schema(self) -> pa.Schema:  # type: ignore[override]
        """As it is now."""
        return pa.schema([(column.name, column.type) for column in self.columns])

    def take_as_text(self, column: str) -> None:
        """See `TableReader`."""
        for one in self.columns:
            if one.name == column:
                one.select, one.type, one.parsed = one.as_text, pa.string(), False

    def newest(self, window: Window) -> Value:
        """See `TableReader`."""
        return self._bound("max", window)

    def smallest_left_aside(self, window: Window) -> Value:
        """See `TableReader`."""
        return self._bound("min", window, past=True)

    def count_without(self, columns: Sequence[str]) -> int:
        """See `TableReader`."""
        empty = " OR ".join(f"{self.comparable(name)} IS NULL" for name in columns)
        return int(self.scalar(f"SELECT count(*) FROM {self.table} WHERE {empty}", ()))  # noqa: S608

    def has_row(self, window: Window) -> bool:
        """See `TableReader`."""
        where, parameters = self._where(window)
        sql = f"SELECT 1 FROM {self.table}{where} LIMIT 1"  # noqa: S608
        return self.scalar(sql, parameters) is not None

    def rows(
        self, window: Window, order: Sequence[str], newest: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """See `TableReader`."""
        where, parameters = self._where(window)
        selected = ", ".join(column.select for column in self.columns)
        sql = f"SELECT {selected} FROM {self.table}{where}"  # noqa: S608
        if newest is not None:
            sql += f" ORDER BY {self.quote(order[0])} DESC" if order else ""
            sql += f" LIMIT {int(newest)}"
        elif order:
            sql += " ORDER BY " + ", ".join(self.quote(name) for name in order)
        return self.batches(sql, parameters)

    def _bound(self, which: str, window: Window, *, past: bool = False) -> Value:
        where, parameters = self._where(window, past=past)
        column = self.comparable(window.watermark)
        found = self.scalar(f"SELECT {which}({column}) FROM {self.table}{where}", parameters)  # noqa: S608
        return self.bound_value(found)

    def bound_value(self, value: Any) -> Value:
        """A largest or smallest watermark, from what SQL gives."""
        return value

    def _where(self, window: Window, *, past: bool = False) -> tuple[str, list[Any]]:
        conditions, parameters = [], []
        if window.lower is not None:
            conditions.append(f"{self.compared(window.watermark)} >= {self.placeholder}")
            parameters.append(self.parameter(window.lower))
        if window.before is not None:
            sign = ">=" if past else "<"
            conditions.append(f"{self.compared(window.day)} {sign} {self.placeholder}")
            parameters.append(self.parameter(window.before))
        return (" WHERE " + " AND ".join(conditions) if conditions else ""), parameters


def take_as_text(reader: TableReader, error: NotOfTypeError, table: Table) -> None:
    """Read a column as text from here on.

    Raises:
        InputError: rows are found or dated by it, which no text can say.
    """
    if error.column in {table.watermark, table.day}:
        kind = reader.schema.field(error.column).type
        raise InputError(
            f"{table.where}: table: {error.column} of {table.words} has the value "
            f"{str(error.value)!r:.60}, which is no {kind} as the others are: correct the row, or "
            "name a view that writes all values one way (times with an offset everywhere, or "
            "nowhere)"
        )
    reader.take_as_text(error.column)


def batch_of(rows: Sequence[Sequence[Any]], columns: Sequence[SqlColumn]) -> pa.RecordBatch:
    """Rows of Python values as Arrow.

    Raises:
        NotOfTypeError: a value is not of its column's type.
    """
    arrays = []
    for values, column in zip(zip(*rows, strict=True), columns, strict=True):
        try:
            arrays.append(_array(values, column))
        except NOT_OF_TYPE:
            if column.type == pa.string():
                raise
            value = next(value for value in values if not _fits(value, column))
            raise NotOfTypeError(column.name, value) from None
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _array(values: Sequence[Any], column: SqlColumn) -> pa.Array[Any]:
    if column.parsed:
        return pa.array(values, pa.string()).cast(column.type)
    return pa.array(values, column.type)  # type: ignore[no-any-return]


def _fits(value: Any, column: SqlColumn) -> bool:
    try:
        _array([value], column)
    except NOT_OF_TYPE:
        return False
    return True
