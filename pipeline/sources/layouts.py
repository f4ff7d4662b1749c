"""Files of several layouts that are one dataset, such as before and after a migration of the shop.

Each layout is a dataset with files, format and mapping of its own. The whole has the raw columns of
all of them, behind the column `layout` (from 1), and its expressions ask that column whose SQL
counts; so redaction, quarantine and the rules over several rows see one dataset. Standard library
only.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import ContractError
from pipeline.sources.source import LAYOUT, SourceDataset, SourceRule

FROM, TO = "from", "to"
# What is of the whole dataset and not of a layout.
_OF_ALL = ("layouts", "required", "complete", "delivery")
_NOT_YET = ("with", "explode", "same_files_as")


def layout_entries(entry: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """The entries of the layouts, each with what stands beside them as its default.

    Raises:
        ContractError: there are fewer than two, or an entry is no mapping.
    """
    given = entry["layouts"]
    if not isinstance(given, list) or len(given) < 2 or not all(isinstance(o, dict) for o in given):
        raise ContractError(
            f"{where}: layouts must be a list of two or more, each with files, format, columns and "
            "map; what they share stands beside it"
        )
    shared = {key: value for key, value in entry.items() if key not in _OF_ALL}
    for number, one in enumerate(given, 1):
        place = f"{where}: layouts {number}"
        if wrong := [key for key in one if key in _OF_ALL]:
            raise ContractError(f"{place}: {wrong[0]} is of the whole dataset; write it beside")
        if wrong := [key for key in (*shared, *one) if key in _NOT_YET]:
            raise ContractError(f"{place}: {wrong[0]} and layouts do not go together")
    delivery = {"delivery": entry["delivery"]} if "delivery" in entry else {}
    return [shared | delivery | one for one in given]


def with_span(layout: SourceDataset, entry: Mapping[str, Any], where: str) -> SourceDataset:
    """The layout with its first and last day, if they are given.

    Raises:
        ContractError: one is no date, or the files say no day.
    """
    found = {FROM: "", TO: ""}
    for key in found:
        value = entry.get(key)
        if value is None:
            continue
        if isinstance(value, dt.datetime) or not isinstance(value, dt.date):
            raise ContractError(f"{where}: {key} must be a date such as 2026-03-01")
        if entry.get("delivery") == "dump":
            raise ContractError(
                f"{where}: {key} is for files with {{date}}; of a dump take out rows by remove"
            )
        found[key] = value.isoformat()
    if found[TO] and found[FROM] > found[TO]:
        raise ContractError(f"{where}: from lies behind to")
    return dataclasses.replace(layout, since=found[FROM], until=found[TO])


def of_layouts(entry: Mapping[str, Any], layouts: Sequence[SourceDataset]) -> SourceDataset:
    """The dataset that the layouts are together.

    Raises:
        ContractError: layouts differ in what one dataset cannot be of two kinds of.
    """
    where = layouts[0].where.rpartition(": layouts")[0]
    if any(column.lower() == LAYOUT for one in layouts for column in one.columns):
        raise ContractError(f"{where}: layouts: a raw column may not be called {LAYOUT!r}")
    columns: dict[str, str] = {}
    for column in (column for one in layouts for column in one.columns):
        if columns.setdefault(column.lower(), column) != column:
            raise ContractError(
                f"{where}: layouts: {columns[column.lower()]!r} and {column!r} differ in case only"
            )
    mapped = dict.fromkeys(column for one in layouts for column in one.mapping)
    return dataclasses.replace(
        layouts[0],
        files=" or ".join(one.files for one in layouts),
        columns=(LAYOUT, *columns.values()),
        mapping={
            column: _case([one.mapping.get(column, "NULL") for one in layouts]) for column in mapped
        },
        times={},
        event_types={},
        numbers={},
        null_words=(),
        may_be_absent=(),
        options={},
        quarantine=_rules([one.quarantine for one in layouts]),
        remove=_rules([one.remove for one in layouts]),
        required=bool(entry.get("required", True)),
        complete=entry.get("complete", False),
        row_time=_one_or_case([one.row_time for one in layouts]),
        latest_by=_one_or_case([one.latest_by for one in layouts]),
        own_columns=(),
        where=where,
        layouts=tuple(layouts),
        since="",
        until="",
    )


def is_of(number: int) -> str:
    """SQL for whether a row is of a layout, counted from 1."""
    return f"{LAYOUT} = '{number}'"


def _case(expressions: Sequence[str]) -> str:
    """As texts, because layouts may give different types; the values are made apart."""
    cases = " ".join(
        f"WHEN {is_of(n)} THEN CAST(({sql}) AS string)" for n, sql in enumerate(expressions, 1)
    )
    return f"CASE {cases} END"


def _one_or_case(expressions: Sequence[str]) -> str:
    if len({*expressions}) == 1:
        return expressions[0]
    cases = " ".join(
        f"WHEN {is_of(n)} THEN ({sql or 'NULL'})" for n, sql in enumerate(expressions, 1)
    )
    return f"CASE {cases} END"


def _rules(rules: Sequence[Sequence[SourceRule]]) -> tuple[SourceRule, ...]:
    return tuple(
        dataclasses.replace(rule, when=f"{is_of(n)} AND ({rule.when})")
        for n, of_layout in enumerate(rules, 1)
        for rule in of_layout
    )
