"""Which rows of a table a fetch asks for, and what of that is recorded.

A watermark is a time with a zone (`instant`), one without (`local`, in the source's zone), a
`date`, or a `number`. Pure.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

from pipeline.errors import InputError
from pipeline.sources.table import DEFAULT_OVERLAP, DEFAULT_OVERLAP_NUMBERS, Table

INSTANT, LOCAL, DATE, NUMBER = "instant", "local", "date", "number"
TIMES = (INSTANT, LOCAL, DATE)

Value = Any  # a datetime, a date, an int or a Decimal, as the kind says


class Zones(NamedTuple):
    """The zone that a source's local times are of, and the shop's, by which days are cut."""

    source: dt.tzinfo
    shop: dt.tzinfo


@dataclass(frozen=True)
class Window:
    """Rows whose watermark is not below `lower` and whose day is before `before`; None: all."""

    watermark: str = ""
    lower: Value = None
    day: str = ""
    before: Value = None


@dataclass(frozen=True)
class Column:
    """A watermark, or the column that a row's day is read from.

    Its days are the shop's, for cleaning judges them so: a row of a later day is quarantined.
    """

    name: str
    kind: str
    zones: Zones

    def start_of(self, day: dt.date) -> Value:
        """The first value of a day of the shop."""
        if self.kind == DATE:
            return day
        return self.at(dt.datetime.combine(day, dt.time(), self.zones.shop))

    def end_of(self, day: dt.date) -> Value:
        """The first value after a day."""
        return self.start_of(day + dt.timedelta(days=1))

    def at(self, instant: dt.datetime) -> Value:
        """The value of a row that is written at an instant; of a date, its day."""
        if self.kind == INSTANT:
            return instant.astimezone(dt.UTC)
        local = instant.astimezone(self.zones.source).replace(tzinfo=None)
        return local.date() if self.kind == DATE else local

    def day_of(self, value: Value) -> dt.date | None:
        """The shop's day of a value; a date is its own."""
        if value is None:
            return None
        if self.kind == DATE:
            return value  # type: ignore[no-any-return]
        instant = value if self.kind == INSTANT else value.replace(tzinfo=self.zones.source)
        try:
            return instant.astimezone(self.zones.shop).date()  # type: ignore[no-any-return]
        except OverflowError:  # the last hours of the year 9999 have no time in a zone further east
            return value.date()  # type: ignore[no-any-return]

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


def column_of(schema: pa.Schema, name: str, zones: Zones, table: Table) -> Column:
    """A column by which rows are found or dated.

    Raises:
        InputError: its type has no order that a fetch could go by.
    """
    kind = schema.field(name).type
    if pa.types.is_timestamp(kind):
        return Column(name, LOCAL if kind.tz is None else INSTANT, zones)
    if pa.types.is_date(kind):
        return Column(name, DATE, zones)
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return Column(name, NUMBER, zones)
    raise InputError(
        f"{table.where}: table: {name} of {table.words} is {kind}, and a watermark or a day is a "
        "time, a date or a whole number; name another column, or a view that casts it"
    )
