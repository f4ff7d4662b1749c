"""Which rows of a table a fetch asks for, and what of that is recorded.

A watermark is a time with a zone (`instant`), one without (`local`, in the source's zone), a
`date`, or a `number`. Pure.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from pipeline.errors import InputError
from pipeline.sources.table import DEFAULT_OVERLAP, DEFAULT_OVERLAP_NUMBERS, Table

INSTANT, LOCAL, DATE, NUMBER = "instant", "local", "date", "number"
TIMES = (INSTANT, LOCAL, DATE)

Value = Any  # a datetime, a date, an int or a Decimal, as the kind says


@dataclass(frozen=True)
class Window:
    """Rows whose watermark is not below `lower` and whose day is before `before`; None: all."""

    watermark: str = ""
    lower: Value = None
    day: str = ""
    before: Value = None


@dataclass(frozen=True)
class Column:
    """A watermark, or the column that a row's day is read from: its kind and the source's zone."""

    name: str
    kind: str
    zone: dt.tzinfo

    def start_of(self, day: dt.date) -> Value:
        """The first value of a day."""
        if self.kind == DATE:
            return day
        local = dt.datetime.combine(day, dt.time())
        return local if self.kind == LOCAL else local.replace(tzinfo=self.zone).astimezone(dt.UTC)

    def end_of(self, day: dt.date) -> Value:
        """The first value after a day."""
        return self.start_of(day + dt.timedelta(days=1))

    def at(self, instant: dt.datetime) -> Value:
        """The value of a row that is written at an instant; of a date, its day."""
        if self.kind == INSTANT:
            return instant.astimezone(dt.UTC)
        local = instant.astimezone(self.zone).replace(tzinfo=None)
        return local.date() if self.kind == DATE else local

    def day_of(self, value: Value) -> dt.date | None:
        """The day of a value, in the source's zone."""
        if value is None:
            return None
        if self.kind == DATE:
            return value  # type: ignore[no-any-return]
        local = value.astimezone(self.zone) if self.kind == INSTANT else value
        return local.date()  # type: ignore[no-any-return]

    def less(self, value: Value, overlap: dt.timedelta | int | None, where: str) -> Value:
        """A value without the overlap.

        Raises:
            InputError: the overlap is a time and the watermark a number, or the other way round.
        """
        if self.kind == NUMBER:
            if isinstance(overlap, dt.timedelta):
                raise InputError(
                    f"{where}: table: watermark {self.name} is a number, so overlap must be a "
                    "whole number"
                )
            return value - (DEFAULT_OVERLAP_NUMBERS if overlap is None else overlap)
        if isinstance(overlap, int):
            raise InputError(
                f"{where}: table: watermark {self.name} is a time, so overlap must be a time such "
                "as 6 hours"
            )
        length = DEFAULT_OVERLAP if overlap is None else overlap
        if self.kind == DATE:  # whole days, and never less than asked for
            length = dt.timedelta(days=-(-length // dt.timedelta(days=1)))
        return value - length

    def text(self, value: Value) -> str | None:
        """A value as it is recorded."""
        if value is None:
            return None
        return str(value) if self.kind == NUMBER else value.isoformat()

    def value(self, text: str | None) -> Value:
        """A recorded value."""
        if text is None:
            return None
        if self.kind == NUMBER:
            return int(text) if text.lstrip("-").isdigit() else Decimal(text)
        return dt.date.fromisoformat(text) if self.kind == DATE else dt.datetime.fromisoformat(text)


def column_of(schema: pa.Schema, name: str, zone: dt.tzinfo, table: Table) -> Column:
    """A column by which rows are found or dated.

    Raises:
        InputError: its type has no order that a fetch could go by.
    """
    kind = schema.field(name).type
    if pa.types.is_timestamp(kind):
        return Column(name, LOCAL if kind.tz is None else INSTANT, zone)
    if pa.types.is_date(kind):
        return Column(name, DATE, zone)
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return Column(name, NUMBER, zone)
    raise InputError(
        f"{table.where}: table: {name} of {table.words} is {kind}, and a watermark or a day is a "
        "time, a date or a whole number; name another column, or a view that casts it"
    )
