"""How a record stands in a file, and how it is read back: each shape both ways.

`wrapped` gives the columns of a CSV row, a JSON value or the two columns of Braze's Parquet;
`unwrapped` is its inverse and refuses what it would not have made. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.exports.profile import Fact, Form, Profile, Shape
from pipeline.exports.records import Record, Value, Values, decimal_text

PAYLOAD = "payload"


class ShapeError(Exception):
    """What stands in a file is no record of the profile. Says no value."""


def names(profile: Profile, width: int) -> list[str]:
    """The names of a flat record with so many ranks."""
    ranks = [
        column.of_rank(rank) for rank in range(1, width + 1) for column in profile.item_columns
    ]
    return [profile.key.name, *(column.name for column in profile.columns), *ranks]


def wrapped(profile: Profile, record: Record, width: int) -> Any:
    """What stands in the file for a record.

    Args:
        profile: of the tool.
        record: as `records` makes it.
        width: ranks that a flat record has columns for.
    """
    if profile.shape is Shape.FLAT:
        return _flat(profile, record, width)
    if profile.shape is Shape.BRAZE:
        lists = {
            column.name: [item[column.name] or "" for item in record.items] or None
            for column in profile.item_columns
        }
        payload = json_text({**record.values, **lists})
        return {profile.key.name: record.key, PAYLOAD: payload}
    if profile.shape is Shape.PERSONALIZE:
        output = {
            column.name: [item[column.name] for item in record.items]
            for column in profile.item_columns
        }
        return {"input": {profile.key.name: record.key}, "output": output, "error": None}
    flat = _flat(profile, record, width)
    del flat[profile.key.name]
    if profile.shape is Shape.KLAVIYO:
        attributes = {profile.key.name: record.key, "properties": flat}
        return {"type": "profile", "attributes": attributes}
    return {profile.key.name: record.key, "merge_fields": flat}


def unwrapped(profile: Profile, stands: Any, width: int) -> Record:
    """The record that a file has.

    Raises:
        ShapeError: it is none of this profile.
    """
    try:
        if profile.shape is Shape.FLAT:
            return _of_flat(profile, stands, width)
        if profile.shape is Shape.BRAZE:
            _expect([*stands], [profile.key.name, PAYLOAD])
            return _of_payload(profile, stands[profile.key.name], json.loads(stands[PAYLOAD]))
        if profile.shape is Shape.PERSONALIZE:
            _expect([*stands], ["input", "output", "error"])
            _expect([*stands["input"]], [profile.key.name])
            key, lists = stands["input"][profile.key.name], stands["output"]
            _expect([*lists], [column.name for column in profile.item_columns])
            return Record(key, {}, _items(profile, lists))
        if profile.shape is Shape.KLAVIYO:
            _expect([*stands], ["type", "attributes"])
            outer = stands["attributes"]
            _expect([*outer], [profile.key.name, "properties"])
            flat = outer["properties"]
        else:
            _expect([*stands], [profile.key.name, "merge_fields"])
            outer, flat = stands, stands["merge_fields"]
        key = outer[profile.key.name]
        return _of_flat(profile, {profile.key.name: key, **flat}, width)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ShapeError(f"is no record of {profile.name} ({type(error).__name__})") from None


def json_text(value: Any) -> str:
    """JSON on one line, letters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _flat(profile: Profile, record: Record, width: int) -> dict[str, Value]:
    made: dict[str, Value] = {profile.key.name: record.key}
    empty = profile.empty
    for column in profile.columns:
        made[column.name] = _or_empty(record.values[column.name], empty)
    for rank in range(1, width + 1):
        item = record.items[rank - 1] if rank <= len(record.items) else None
        for column in profile.item_columns:
            made[column.of_rank(rank)] = _or_empty(item[column.name] if item else None, empty)
    if profile.file.form is Form.CSV:
        return {name: csv_text(value) for name, value in made.items()}
    return made


def _or_empty(value: Value, empty: str | None) -> Value:
    return empty if value is None else value


def csv_text(value: Value) -> str:
    """A value in a field of CSV."""
    if isinstance(value, float):
        return decimal_text(value)
    return "" if value is None else str(value)


def _of_flat(profile: Profile, stands: Mapping[str, Any], width: int) -> Record:
    _expect([*stands], names(profile, width))
    in_csv = profile.file.form is Form.CSV

    def value_of(name: str, *, is_number: bool) -> Value:
        found = stands[name]
        if found == profile.empty:
            return None
        if is_number and in_csv:
            return int(found)
        if not is_number and not isinstance(found, str):
            raise TypeError(name)
        return found  # type: ignore[no-any-return]

    values = {
        column.name: value_of(column.name, is_number=column.is_number) for column in profile.columns
    }
    items: list[Values] = []
    for rank in range(1, width + 1):
        item = {
            column.name: value_of(column.of_rank(rank), is_number=column.is_number)
            for column in profile.item_columns
        }
        items.append(item)
    while items and not any(value is not None for value in items[-1].values()):
        items.pop()
    return Record(stands[profile.key.name], values, items)


def _of_payload(profile: Profile, key: str, payload: dict[str, Any]) -> Record:
    columns = [column.name for column in profile.columns]
    lists = [column.name for column in profile.item_columns]
    _expect([*payload], [*columns, *lists])
    if all(payload[name] is None for name in lists):
        return Record(key, {name: payload[name] for name in columns}, [])
    items = _items(profile, {name: payload[name] for name in lists})
    items = [{name: value or None for name, value in item.items()} for item in items]
    return Record(key, {name: payload[name] for name in columns}, items)


def _items(profile: Profile, lists: Mapping[str, Sequence[Value]]) -> list[Values]:
    columns = [column.name for column in profile.item_columns]
    return [
        dict(zip(columns, values, strict=True))
        for values in zip(*(lists[name] for name in columns), strict=True)
    ]


def _expect(found: Sequence[str], wanted: Sequence[str]) -> None:
    if [*found] != [*wanted]:
        raise ValueError("columns")


def count_of(profile: Profile, record: Record) -> Value:
    """How many items a record says that it has, spares too; none where the profile has no count."""
    said = {column.fact: record.values[column.name] for column in profile.columns}
    count, spares = said.get(Fact.COUNT), said.get(Fact.SPARES)
    if isinstance(count, int) and isinstance(spares, int):
        return count + spares
    return count
