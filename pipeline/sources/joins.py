"""`with`, `explode` and `derive` of a dataset in the source YAML, checked and made plain.

What a row has beside its own file's columns becomes flat raw columns: `orders.status` of a joined
file, `item.price` of an array's element. Only the joined columns that an expression reads are
taken. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.contracts.sql_text import quoted
from pipeline.errors import ContractError
from pipeline.sources.numbers import id_sql, strips_decimal
from pipeline.sources.source import (
    ACT_IDS,
    ELEMENT_POSITION,
    RESERVED,
    Explode,
    Join,
    SourceDataset,
    columns_read,
)
from pipeline.sources.sql_names import SqlNames
from pipeline.sources.yaml_entries import checked, choice_of, name_list

KEYS = ("with", "explode", "explode_empty", "derive")
_TABLE_KEYS = (
    "files",
    "format",
    "options",
    "columns",
    "null_words",
    "may_be_absent",
    "ids",
    "on",
    "kind",
    "latest_by",
    "required",
)
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_EMPTY = ("remove", "keep")
_INHERITED = ("format", "options", "null_words")

# Reads one entry of `with` as the dataset that its files are: alias, entry, where.
TableOf = Callable[[str, Mapping[str, Any], str], SourceDataset]


@dataclass(frozen=True)
class Combined:
    """A dataset's entry over flat columns, and what makes these of files."""

    entry: Mapping[str, Any]
    own_columns: tuple[str, ...] = ()
    joins: tuple[Join, ...] = ()
    explode: Explode | None = None


def combined(name: str, entry: Mapping[str, Any], where: str, table_of: TableOf) -> Combined:
    """The entry with its SQL over flat columns, which `columns` then names too.

    Args:
        name: of the dataset.
        entry: as it is written, or with the files of another dataset.
        where: it stands.
        table_of: parses the file keys of a joined file.

    Raises:
        ContractError: an entry is wrong.
    """
    if not any(key in entry for key in KEYS):
        return Combined(entry)
    own = name_list(entry, "columns", where)
    tables = _tables(entry, own, where, table_of)
    element, array = _exploded(entry, own, tables, where)
    names = SqlNames({alias: table.columns for alias, table in tables.items()}, element)
    _derive(entry, own, names, where)
    taken = {**entry}
    if array and array not in own:
        array = names.applied(array, f"{where}: explode")
    for key in ("row_time", "latest_by"):
        if entry.get(key):
            taken[key] = names.applied(str(entry[key]), f"{where}: {key}")
    if isinstance(entry.get("map"), dict):
        taken["map"] = {
            column: names.applied(str(sql), f"{where}: map: {column}")
            for column, sql in entry["map"].items()
        }
    for key in ("remove", "quarantine"):
        if isinstance(entry.get(key), list):
            taken[key] = [
                {**rule, "when": names.applied(str(rule["when"]), f"{where}: {key}")}
                if isinstance(rule, dict) and "when" in rule
                else rule
                for rule in entry[key]
            ]
    strips = strips_decimal(entry.get("ids"), where)
    # Backwards: a later join's keys read columns of an earlier one.
    joins: list[Join] = []
    given = {str(alias).lower(): table for alias, table in entry.get("with", {}).items()}
    for alias, table in reversed(tables.items()):
        place = f"{where}: with: {alias}"
        joins.insert(0, _join(alias, table, given[alias], own, names, place, strips))
    joins = [_with_columns(join, names) for join in joins]
    _only_earlier(joins, where)
    explode = None
    if element:
        fields = [flat for flat in names.used if flat.split(".")[0] == element]
        explode = Explode(
            quoted(array) if array in own else array,
            element,
            tuple(flat.partition(".")[2] for flat in fields),
            choice_of(entry.get("explode_empty", "remove"), _EMPTY, f"{where}: explode_empty"),
        )
        _refuse_one_id_for_all(name, taken, explode, where)
    elif "explode_empty" in entry:
        raise ContractError(f"{where}: explode_empty: there is no explode")
    taken["columns"] = [
        *own,
        *(explode.columns if explode else ()),
        *(flat for join in joins for flat in join.columns),
    ]
    return Combined(
        {key: value for key, value in taken.items() if key not in KEYS}, own, tuple(joins), explode
    )


def _tables(
    entry: Mapping[str, Any], own: tuple[str, ...], where: str, table_of: TableOf
) -> dict[str, SourceDataset]:
    given = entry.get("with", {})
    if not isinstance(given, dict):
        raise ContractError(f"{where}: with must map names to files, found {given!r:.60}")
    tables: dict[str, SourceDataset] = {}
    for alias, given_table in given.items():
        place = f"{where}: with: {alias}"
        _check_name(str(alias), own, place)
        if str(alias).lower() in tables:
            raise ContractError(f"{place}: there are two of this name")
        table = checked(_with_on(given_table), _TABLE_KEYS, place)
        if "format" not in table:
            table = {key: entry[key] for key in _INHERITED if key in entry} | table
        tables[str(alias).lower()] = table_of(str(alias).lower(), table, place)
    return tables


def _with_on(table: Any) -> Any:
    """YAML takes a bare `on` for a yes."""
    if not isinstance(table, dict):
        return table
    return {"on" if key is True else key: value for key, value in table.items()}


def _check_name(name: str, own: tuple[str, ...], where: str) -> None:
    if not _ALIAS.fullmatch(name) or name.startswith(RESERVED):
        raise ContractError(f"{where}: {name!r} is no name: letters, digits and _, a letter first")
    if name.lower() in (column.lower() for column in own):
        raise ContractError(f"{where}: {name!r} is one of columns; choose another name")


def _exploded(
    entry: Mapping[str, Any], own: tuple[str, ...], tables: Mapping[str, Any], where: str
) -> tuple[str, str]:
    """The element's name and the array, or nothing twice."""
    given = entry.get("explode")
    if given is None:
        return "", ""
    if not isinstance(given, dict) or len(given) != 1:
        raise ContractError(
            f"{where}: explode must name one array column and its element, such as "
            f"{{items: item}}; found {given!r:.60}"
        )
    ((array, element),) = given.items()
    element = str(element)
    _check_name(element, own, f"{where}: explode")
    _check_name(element + ELEMENT_POSITION, own, f"{where}: explode")
    if element.lower() in tables:
        raise ContractError(f"{where}: explode: {element!r} is the name of a joined file, too")
    return element, str(array)


def _derive(entry: Mapping[str, Any], own: tuple[str, ...], names: SqlNames, where: str) -> None:
    given = entry.get("derive", {})
    if not isinstance(given, dict):
        raise ContractError(f"{where}: derive must map names to SQL, found {given!r:.60}")
    for name, sql in given.items():
        place = f"{where}: derive: {name}"
        _check_name(str(name), own, place)
        if str(name).lower() in (*names.joined, names.element.lower(), *names.derived):
            raise ContractError(f"{place}: there is another {name!r}")
        names.derived[str(name).lower()] = names.applied(str(sql), place)


def _join(  # noqa: PLR0917
    alias: str,
    table: SourceDataset,
    entry: Mapping[Any, Any],
    own: tuple[str, ...],
    names: SqlNames,
    place: str,
    strips: bool,
) -> Join:
    given = _with_on(entry).get("on")
    if not isinstance(given, dict) or not given:
        raise ContractError(
            f"{place}: on must map a column of this side to one of the other, such as "
            f"{{order_id: order_id}}; found {given!r:.60}"
        )
    strips = strips or strips_decimal(entry.get("ids"), place)
    keys = []
    for ours, theirs in given.items():
        is_own = str(ours) in own
        left = quoted(str(ours)) if is_own else names.applied(str(ours), f"{place}: on")
        right = quoted(str(theirs)) if str(theirs) in table.columns else str(theirs)
        if not columns_read(right, table.columns):
            raise ContractError(
                f"{place}: on: {theirs!r} names no column of {table.files}: "
                f"{', '.join(table.columns)[:200]}"
            )
        keys.append((id_sql(left), id_sql(right)) if strips else (left, right))
    return Join(
        alias,
        table,
        tuple(keys),
        choice_of(entry.get("kind", "left"), ("left", "inner"), f"{place}: kind"),
    )


def _with_columns(join: Join, names: SqlNames) -> Join:
    used = [flat for flat in names.used if flat.partition(".")[0] == join.name]
    return Join(join.name, join.table, join.keys, join.kind, tuple(used))


def _only_earlier(joins: list[Join], where: str) -> None:
    """A key may read what is joined before it, not itself and not what comes later."""
    for place, join in enumerate(joins):
        later = [flat for other in joins[place:] for flat in other.columns]
        if wrong := [c for ours, _ in join.keys for c in columns_read(ours, later)]:
            raise ContractError(
                f"{where}: with: {join.name}: on: {wrong[0]} is joined later; write the files in "
                "the order in which they are joined"
            )


def _refuse_one_id_for_all(
    name: str, entry: Mapping[str, Any], explode: Explode, where: str
) -> None:
    """An id of the whole array would make conflicting copies of its elements."""
    for column in (f"{name.removesuffix('s')}_id",):
        sql = str(entry.get("map", {}).get(column, ""))
        if column in ACT_IDS and sql and not columns_read(sql, explode.columns):
            raise ContractError(
                f"{where}: map: {column}: {sql!r} is the same for all elements of an array; write "
                f"concat({sql}, '-', {explode.element}{ELEMENT_POSITION}), or leave it out"
            )
