"""One published list becomes one record of a tool, or is left out by name.

What is done to a value is said in a note: the shopper's pseudonym, the column, what, and why. A
text that is too long is shortened; characters that the tool does not take are replaced; an id is
never altered, so a row whose id would have to be is left out whole. Reads and writes nothing.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

from pipeline.exports.profile import Column, Fact, Profile, fault_of, shortened

LEFT_OUT, SHORTENED, CHANGED = "left_out", "shortened", "changed"
NUMBERS = (Fact.COUNT, Fact.SPARES)  # how many items a record has
ROW = "row"  # the column of a note on a record as a whole

Value: TypeAlias = str | int | float | None
Values: TypeAlias = dict[str, Value]  # by the column's name as the profile has it

# Titles come again in many lists; what became of one is remembered.
_REMEMBERED = 100_000


@dataclass(frozen=True)
class Record:
    """What a tool is told of one shopper; a value is none where there is nothing."""

    key: str
    values: Values
    items: list[Values]


@dataclass(frozen=True)
class Note:
    """What was done to a row; `user_id` is the pseudonym."""

    user_id: str
    column: str
    action: str
    why: str


class RowError(Exception):
    """A row that is left out: its column, and why. Says no value."""

    def __init__(self, column: str, why: str) -> None:
        super().__init__(f"{column}: {why}")
        self.column, self.why = column, why


@dataclass
class RecordMaker:
    """Makes the records of one export.

    Attributes:
        profile: of the tool.
        night: of the lists.
        most_items: of a record, the spares too.
    """

    profile: Profile
    night: dt.date
    most_items: int
    _known: dict[tuple[str, str], _Text] = field(default_factory=dict)

    def record(self, row: Mapping[str, Any], key: str) -> tuple[Record, list[Note]]:
        """The record of a row of `recommendations`, and what was done to its values.

        Args:
            row: as the contract has it.
            key: the id that the tool knows the shopper by.

        Raises:
            RowError: the tool would refuse it.
        """
        profile, user_id = self.profile, row["user_id"]
        notes: dict[tuple[str, str], Note] = {}

        def taken(column: Column, name: str, value: Value) -> Value:
            if value is None or value == "":
                if column.is_required:
                    raise RowError(name, "has no value")
                return None
            if not isinstance(value, str):
                return value
            if value == profile.empty:
                if column.is_id:
                    raise RowError(name, "is what stands for no value")
                return None
            text = self._text(column, value)
            if text.fault is not None:
                raise RowError(name, text.fault)
            for action, why in text.done:
                notes[name, why] = Note(user_id, name, action, why)
            return None if text.value in ("", profile.empty) else text.value

        new_key = taken(profile.key, profile.key.name, key)
        if not isinstance(new_key, str):
            raise RowError(profile.key.name, "has no value")
        listed = row["items"][: self.most_items]
        spares = (row.get("spares") or [])[: self.most_items - len(listed)]
        until: dt.date | None = row.get("valid_until")
        facts: dict[Fact, Value] = {
            Fact.DATE: self.night.isoformat(),
            Fact.VALID_UNTIL: None if until is None else until.isoformat(),
            Fact.COUNT: len(listed),
            Fact.SPARES: len(spares),
            Fact.LANGUAGE: row["language"],
            Fact.METHOD: row["method"],
            Fact.REASON: row["reason"],
        }
        values = {
            column.name: taken(column, column.name, facts[column.fact])
            for column in profile.columns
        }
        items = []
        for rank, item in enumerate([*listed, *spares], 1):
            items.append(
                {
                    column.name: taken(column, column.of_rank(rank), _fact(column, rank, item))
                    for column in profile.item_columns
                }
            )
            if items[-1][profile.item_columns[0].name] is None:
                raise RowError(profile.item_columns[0].of_rank(rank), "has no value")
        return Record(new_key, values, items), list(notes.values())

    def _text(self, column: Column, given: str) -> _Text:
        known = self._known.get((column.name, given))
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[column.name, given] = _text_of(self.profile, column, given)
        return known


@dataclass(frozen=True)
class _Text:
    """What became of a text."""

    value: str
    done: tuple[tuple[str, str], ...] = ()
    fault: str | None = None


def _text_of(profile: Profile, column: Column, given: str) -> _Text:
    never_altered = column.is_id and not (column is profile.key and profile.key_is_text)
    text, done = given, []
    for rule in profile.all_rules:
        changed = rule.regex.sub(rule.by, text)
        if changed != text:
            done.append((CHANGED, rule.words))
            text = changed
    if never_altered and text != given:
        return _Text(given, fault="has characters that the tool does not take")
    fault = fault_of(column, text)
    if fault and not never_altered and not column.pattern:
        cut = shortened(column, text)
        if fault_of(column, cut) is None:
            return _Text(cut, (*done, (SHORTENED, fault)))
    return _Text(text, tuple(done), fault)


def cleared(profile: Profile, key: str) -> Record:
    """The record that says: there is nothing for this shopper."""
    values: Values = {
        column.name: 0 if column.fact in NUMBERS else None for column in profile.columns
    }
    return Record(key, values, [])


def decimal_text(number: float) -> str:
    """A number with a period and without an exponent, as short as it can be.

    >>> decimal_text(2.5), decimal_text(1e-7), decimal_text(12.0)
    ('2.5', '0.0000001', '12.0')
    """
    return format(Decimal(repr(number)), "f")


def _fact(column: Column, rank: int, item: Mapping[str, Any]) -> Value:
    value: Any = item[column.source]
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RowError(column.of_rank(rank), "is no finite number")
        return value if column.is_number else decimal_text(value)
    told: Value = value
    return told
