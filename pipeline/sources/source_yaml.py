"""A source as it is written: `schemas/sources/<name>.yaml`, or a YAML of the retailer's.

docs/sources.md explains every key. Unknown keys are refused with the nearest known one. Standard
library and YAML only, so that a task that waits for files may read its source.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import yaml

from pipeline.contracts.contract import load_contract
from pipeline.errors import ContractError
from pipeline.sources import joins
from pipeline.sources.closed_days import closed_days_of
from pipeline.sources.dialect import FORMATS, null_words_of, options_of
from pipeline.sources.event_types import event_types_of
from pipeline.sources.file_pattern import FilePattern
from pipeline.sources.internal_users import RULE as INTERNAL_USER
from pipeline.sources.internal_users import InternalUsers, internal_users_of
from pipeline.sources.layouts import FROM, TO, layout_entries, of_layouts, with_span
from pipeline.sources.numbers import ID_COLUMNS, id_sql, numbers_of, strips_decimal
from pipeline.sources.source import (
    DATASETS,
    DELIVERIES,
    RESERVED,
    TIME_COLUMN,
    Source,
    SourceDataset,
    SourceRule,
    with_ids_of_shared_files,
)
from pipeline.sources.table import TABLE_FORMATS, tables_as_files
from pipeline.sources.time_formats import ROW_TIME, time_formats
from pipeline.sources.yaml_entries import checked, choice_of, name_list, nearest, text_of

_DATASET_KEYS = (
    "files",
    "format",
    "options",
    "columns",
    "delivery",
    "row_time",
    "same_files_as",
    "required",
    "complete",
    "map",
    "times",
    "event_types",
    "quarantine",
    "remove",
    "latest_by",
    "may_be_absent",
    "null_words",
    "numbers",
    "ids",
    *joins.KEYS,
    "layouts",
)
_FILE_KEYS = (
    "files",
    "format",
    "options",
    "columns",
    "delivery",
    "row_time",
    "may_be_absent",
    "null_words",
    *joins.KEYS,
)


def load_source(name_or_path: str | Path) -> Source:
    """The source of a shipped name, or of a YAML file's path.

    Raises:
        ContractError: there is no such source, or an entry of it is wrong.
    """
    text = str(name_or_path)
    if text.endswith((".yaml", ".yml")):
        try:
            document = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ContractError(f"source file {text} cannot be read: {error}") from None
        return parse_source(document, text)
    file = resources.files("schemas") / "sources" / f"{text}.yaml"
    if not file.is_file():
        raise ContractError(
            f"there is no source {text!r};{nearest(text, shipped_sources())} "
            "shop.source is a shipped name or the path of a YAML file"
        )
    return parse_source(file.read_text(encoding="utf-8"), f"schemas/sources/{text}.yaml")


def shipped_sources() -> list[str]:
    """Names of the sources that come with the package."""
    folder = resources.files("schemas") / "sources"
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    )


def parse_source(text: str, where: str) -> Source:
    """Build a source from YAML text; `where` names it in errors.

    Raises:
        ContractError: with the entry at fault, what was expected, and the nearest known key.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ContractError(f"{where}: not YAML: {error}") from None
    entry = checked(
        document,
        ("source", "description", "timezone", "closed", "internal_users", "datasets"),
        where,
    )
    datasets, tables = tables_as_files(
        checked(entry.get("datasets"), DATASETS, f"{where}: datasets"), where
    )
    if "events" not in datasets and "reviews" not in datasets:
        raise ContractError(f"{where}: datasets: needs events or reviews (or both)")
    timezone = str(entry.get("timezone", ""))
    if timezone and timezone not in available_timezones():
        raise ContractError(
            f"{where}: timezone: {timezone!r} is no IANA time zone;"
            f"{nearest(timezone, sorted(available_timezones()))}"
        )
    internal = internal_users_of(entry.get("internal_users"), where)
    return Source(
        name=text_of(entry, "source", where),
        description=text_of(entry, "description", where),
        timezone=timezone,
        closed=closed_days_of(entry.get("closed"), where),
        datasets=with_ids_of_shared_files(
            {
                name: dataclasses.replace(
                    _without_internal_users(
                        _dataset(
                            name, _with_shared_files(name, datasets, where), f"{where}: {name}"
                        ),
                        internal,
                    ),
                    table=tables.get(name),
                )
                for name in DATASETS
                if name in datasets
            }
        ),
    )


def _with_shared_files(name: str, datasets: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The entry itself, or with the file keys of the dataset whose files it shares."""
    entry = checked(datasets[name], _DATASET_KEYS, f"{where}: {name}")
    other = entry.get("same_files_as")
    if other is None:
        return entry
    if other not in datasets or other == name or "same_files_as" in datasets[other]:
        raise ContractError(
            f"{where}: {name}: same_files_as: {other!r} must be another dataset of this source "
            "that names its own files"
        )
    shared = checked(datasets[other], _DATASET_KEYS, f"{where}: {other}")
    taken = {key: shared[key] for key in _FILE_KEYS if key in shared} | entry
    if "explode" in entry and not entry["explode"] and "explode_empty" not in entry:
        taken.pop("explode_empty", None)  # of the arrays that this dataset does not read
    return taken


def _dataset(name: str, given: Mapping[str, Any], where: str) -> SourceDataset:
    """A dataset by its entry; of several layouts, what they are together."""
    if "layouts" not in given:
        return _one_layout(name, given, where, is_alone=True)
    layouts = []
    for number, one in enumerate(layout_entries(given, where), 1):
        place = f"{where}: layouts {number}"
        layout = _one_layout(name, checked(one, (*_DATASET_KEYS, FROM, TO), place), place)
        layouts.append(with_span(layout, one, place))
    whole = of_layouts(given, layouts)
    _check_complete(whole, name)
    return whole


def _one_layout(
    name: str, given: Mapping[str, Any], where: str, *, is_alone: bool = False
) -> SourceDataset:
    combined = joins.combined(name, given, where, _table)
    entry = combined.entry
    file_format = choice_of(entry.get("format"), (*FORMATS, *TABLE_FORMATS), f"{where}: format")
    delivery = choice_of(entry.get("delivery", "daily"), DELIVERIES, f"{where}: delivery")
    is_combined = bool(combined.joins or combined.explode)
    undated = name not in TIME_COLUMN and delivery == "dump" and not entry.get("row_time")
    if undated and is_alone and not is_combined:
        # Nothing dates its rows, so it is the state of the night that reads it.
        delivery = "snapshot"
    columns = name_list(entry, "columns", where)
    for column in columns:
        if column.startswith(RESERVED):
            raise ContractError(f"{where}: columns: {column!r} may not start with {RESERVED!r}")
    _refuse_one_name_in_two_cases(columns, where)
    contract_columns = load_contract(f"raw_{name}").column_names
    mapping = {
        column: str(expression)
        for column, expression in checked(
            entry.get("map"), contract_columns, f"{where}: map"
        ).items()
    }
    if strips_decimal(entry.get("ids"), where):
        mapping |= {name: id_sql(mapping[name]) for name in ID_COLUMNS if name in mapping}
    dataset = SourceDataset(
        name=name,
        files=text_of(entry, "files", where),
        format=file_format,
        columns=columns,
        mapping=mapping,
        times=time_formats(
            entry.get("times"), _time_columns(name, mapping, entry.get("row_time")), where
        ),
        event_types=event_types_of(entry.get("event_types"), name, where),
        delivery=delivery,
        options=options_of(entry.get("options") or {}, file_format, f"{where}: options"),
        quarantine=_rules(entry, "quarantine", "reason", where),
        remove=_rules(entry, "remove", "rule", where),
        required=bool(entry.get("required", True)),
        complete=entry.get("complete", False),
        row_time=str(entry.get("row_time", "")),
        latest_by=str(entry.get("latest_by", "")),
        may_be_absent=name_list(entry, "may_be_absent", where),
        null_words=null_words_of(entry, where),
        numbers=numbers_of(entry.get("numbers"), name, mapping, where),
        where=where,
        own_columns=combined.own_columns,
        joins=combined.joins,
        explode=combined.explode,
    )
    _check_complete(dataset, name)
    _check_dates(dataset)
    _check_snapshot(dataset, is_alone=is_alone)
    return dataset


def _check_complete(dataset: SourceDataset, name: str) -> None:
    where = dataset.where
    if dataset.complete not in (True, False):
        raise ContractError(f"{where}: complete must be true or false, found {dataset.complete!r}")
    if dataset.complete and (name != "items" or dataset.delivery != "daily"):
        raise ContractError(
            f"{where}: complete: true is for a daily delivery of items: one that leaves out an "
            "item to take it off sale (a snapshot always is)"
        )


def _table(name: str, entry: Mapping[str, Any], where: str) -> SourceDataset:
    """A joined file, as the dataset that has nothing but it."""
    columns = name_list(entry, "columns", where)
    _refuse_one_name_in_two_cases(columns, where)
    files = text_of(entry, "files", where)
    file_format = choice_of(entry.get("format"), tuple(FORMATS), f"{where}: format")
    table = SourceDataset(
        name=name,
        files=files,
        format=file_format,
        columns=columns,
        mapping={},
        delivery="daily" if FilePattern(files, where).has_date else "dump",
        options=options_of(entry.get("options") or {}, file_format, f"{where}: options"),
        required=bool(entry.get("required", True)),
        latest_by=str(entry.get("latest_by", "")),
        may_be_absent=name_list(entry, "may_be_absent", where),
        null_words=null_words_of(entry, where),
        where=where,
    )
    _check_dates(table)
    return table


def _refuse_one_name_in_two_cases(columns: Sequence[str], where: str) -> None:
    """Expressions are Spark SQL, which takes `userId` and `userid` for one column."""
    seen: dict[str, str] = {}
    for column in columns:
        other = seen.setdefault(column.lower(), column)
        if other != column:
            raise ContractError(
                f"{where}: columns: {other!r} and {column!r} differ in case only, and SQL cannot "
                "tell them apart; have one of them delivered under another name, or left out"
            )


def _time_columns(name: str, mapping: Mapping[str, str], row_time: Any) -> list[str]:
    """What `times` may name: the mapped columns that are times, and `row_time`."""
    contract = load_contract(f"raw_{name}")
    columns = [c.name for c in contract.columns if c.type == "timestamp" and c.name in mapping]
    return [*columns, ROW_TIME] if row_time else columns


def _without_internal_users(dataset: SourceDataset, internal: InternalUsers) -> SourceDataset:
    """The dataset with a rule that removes their rows, where its rows name a user."""
    user = dataset.mapping.get("user_id")
    condition = internal.condition(user) if user else ""
    if not condition:
        return dataset
    rule = SourceRule(INTERNAL_USER, condition, "A tester, staff or a monitor; no shopper.")
    return dataclasses.replace(dataset, remove=(rule, *dataset.remove))


def _check_dates(dataset: SourceDataset) -> None:
    if dataset.delivery == "daily" and not dataset.pattern.has_date:
        raise ContractError(
            f"{dataset.where}: files {dataset.files!r}: a daily delivery needs {{date}} in its "
            "pattern; for one set of files with all days write delivery: dump, for items or users "
            "in a file that is overwritten delivery: snapshot"
        )
    if dataset.delivery != "daily" and dataset.pattern.has_date:
        raise ContractError(
            f"{dataset.where}: files {dataset.files!r}: a {dataset.delivery} has no {{date}} in its "
            "pattern"
        )
    for column in dataset.may_be_absent:
        if column not in dataset.own.columns:
            raise ContractError(
                f"{dataset.where}: may_be_absent: {column!r} is not one of columns;"
                f"{nearest(column, dataset.columns)}"
            )


def _check_snapshot(dataset: SourceDataset, *, is_alone: bool) -> None:
    if dataset.delivery != "snapshot":
        return
    if dataset.is_combined or not is_alone:
        raise ContractError(
            f"{dataset.where}: delivery: snapshot keeps the rows of files as they stand, not rows "
            "that are joined or exploded or of several layouts; write delivery: dump"
        )
    if dataset.name in TIME_COLUMN:
        raise ContractError(
            f"{dataset.where}: delivery: snapshot is for items and users, of which a file holds "
            f"the state; write delivery: dump for a file that holds all {dataset.name}"
        )
    if dataset.row_time:
        raise ContractError(
            f"{dataset.where}: row_time: the rows of a snapshot are of the night that reads them; "
            "leave it out, or write delivery: dump"
        )


def _rules(entry: Mapping[str, Any], key: str, name: str, where: str) -> tuple[SourceRule, ...]:
    rules = []
    for rule in entry.get(key) or ():
        parts = checked(rule, (name, "when", "description"), f"{where}: {key}")
        rules.append(
            SourceRule(
                *(text_of(parts, part, f"{where}: {key}") for part in (name, "when", "description"))
            )
        )
    return tuple(rules)
