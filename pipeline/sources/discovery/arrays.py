"""Tables whose rows hold their items in an array: an order with its lines, an event with products.

Where a row itself names no item and the objects of one of its arrays do, each object is taken for a
row, as `explode` of a source makes them. What is said of the object stands beside what is said of
the whole row; price, quantity and words of the whole row are not the item's. Standard library only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.sources.discovery.formats import SAMPLE_ROWS, Exploded, Field, Table, as_text, at
from pipeline.sources.discovery.roles import Known, known_columns

# What belongs to the object, never to the row around it.
_OF_ITEM = ("item_id", "title", "brand", "category", "price", "quantity", "stock", "listed")
_ALIASES = ("item", "line", "element", "one_item")
_MOST_DEPTH = 3


@dataclass(frozen=True)
class _Array:
    """An array in a column: SQL that gives it, what it is called, and each row's objects."""

    sql: str
    name: str
    rows: Sequence[list[dict[str, Any]]]


def with_elements(known: Known) -> Known:
    """The table by its elements, if only these name an item; else the table as it is."""
    if known.table.format not in ("jsonl", "parquet") or known.has("item_id"):
        return known
    made = [_by_elements(known.table, array) for array in _arrays(known.table)]
    found = [one for one in made if one.has("item_id")]
    return max(found, key=lambda one: sum(map(one.has, _OF_ITEM)), default=known)


def _by_elements(table: Table, array: _Array) -> Known:
    """The table's rows once for each object, with its fields; what these are decides the roles."""
    columns = {name.lower() for name in table.columns}
    alias = next(name for name in _ALIASES if not {name, f"{name}_position"} & columns)
    # A row without an element counts, too: a search, a page that was seen.
    rows = [row or [{}] for row in array.rows]
    places = [place for place, row in enumerate(rows) for _ in row][:SAMPLE_ROWS]
    objects = [one for row in rows for one in row][:SAMPLE_ROWS]
    outer = [
        replace(one, values=[one.values[place] for place in places])
        for one in table.fields
        if not (array.sql == one.sql or one.sql.startswith(array.sql))
    ]
    inner = list(_fields(objects, array.name, alias))
    exploded = Exploded(array.sql, alias, sum(map(bool, array.rows)), len(array.rows))
    table = replace(table, fields=[*outer, *inner], rows=len(objects), exploded=exploded)
    known = known_columns(table)
    of_object = known_columns(replace(table, fields=inner))
    mine = {one.name for one in inner}
    for role in _OF_ITEM:
        if role in of_object.roles:
            one = of_object.roles[role]
            for other in [name for name, taken in known.roles.items() if taken.name == one.name]:
                del known.roles[other]
            known.roles[role] = one
        elif role in known.roles and known.roles[role].name not in mine:
            del known.roles[role]
        known.rivals.pop(role, None)
    return known


def _fields(objects: Sequence[dict[str, Any]], name: str, alias: str) -> Iterator[Field]:
    """The single values of the objects, by paths of plain words."""
    paths: dict[tuple[str, ...], None] = {}

    def walk(value: dict[str, Any], path: tuple[str, ...]) -> None:
        for key, inner in value.items():
            if not re.fullmatch(r"[A-Za-z_]\w*", key):
                continue
            if isinstance(inner, dict) and len(path) < _MOST_DEPTH:
                walk(inner, (*path, key))
            elif not isinstance(inner, dict | list):
                paths.setdefault((*path, key))

    for one in objects[:1000]:
        walk(one, ())
    for path in paths:
        values = [at(one, path) for one in objects]
        texts = [None if isinstance(value, dict | list) else as_text(value) for value in values]
        yield Field(".".join((name, *path)), ".".join((alias, *path)), texts)


def _arrays(table: Table) -> Iterator[_Array]:
    """Columns, and places inside them, that hold arrays of objects and nothing else."""
    for one in table.fields:
        if one.name not in table.columns:
            continue  # a value inside a column
        values = [_json(text) for text in one.values]
        yield from _inside(one.sql, one.sql, one.name, values, ())


def _inside(
    column: str, sql: str, name: str, values: Sequence[Any], path: tuple[str, ...]
) -> Iterator[_Array]:
    given = [value for value in values if value is not None]
    lists = [value for value in given if isinstance(value, list)]
    if lists and len(lists) == len(given):
        objects = [one for value in lists for one in value]
        if objects and all(isinstance(one, dict) for one in objects):
            yield _Array(sql, _singular(name), [value or [] for value in values])
        return
    if len(path) == _MOST_DEPTH:
        return
    keys = dict.fromkeys(key for value in given[:1000] if isinstance(value, dict) for key in value)
    for key in keys:
        if re.fullmatch(r"\w+", key):
            deeper = [value.get(key) if isinstance(value, dict) else None for value in values]
            where = (*path, key)
            inner = f"get_json_object({column}, '$.{'.'.join(where)}')"
            yield from _inside(column, inner, key, deeper, where)


def _singular(name: str) -> str:
    return re.sub(r"(?<=[a-z])s$", "", name)


def _json(text: str | None) -> Any:
    if text is None or text[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
