"""A retailer's source, read from `schemas/sources/<name>.yaml` or from a YAML of the retailer's.

A source says, per dataset (events, reviews, items, users; each optional), where the files lie, how
they are read, and which Spark SQL expression over the raw columns (all strings) gives each column
of the raw contract. docs/sources.md explains every key. Unknown keys are refused with the nearest
known one. Standard library and YAML only, so that a DAG's waiting task may ask for missing files.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import yaml

from pipeline.contracts.contract import load_contract
from pipeline.errors import ContractError
from pipeline.sources.dialect import (
    FORMATS,
    UTF_8,
    ends_lines_as_ascii,
    null_words_of,
    options_of,
)
from pipeline.sources.event_types import event_types_of
from pipeline.sources.file_pattern import FilePattern
from pipeline.sources.internal_users import RULE as INTERNAL_USER
from pipeline.sources.internal_users import InternalUsers, internal_users_of
from pipeline.sources.time_formats import DEFAULT_FORMATS, ROW_TIME, time_formats
from pipeline.sources.yaml_entries import checked, choice_of, name_list, nearest, text_of

# In the order in which they are cleaned: events and reviews ask what the catalogue knows.
DATASETS = ("items", "users", "events", "reviews")
DELIVERIES = ("daily", "dump")
TIME_COLUMN = {"events": "event_time", "reviews": "review_time"}
KEY_COLUMN = {
    "items": "item_id",
    "users": "user_id",
    "events": "event_id",
    "reviews": "review_id",
}
RESERVED = "__"  # raw columns may not start with it: the cleaner's own columns do


@dataclass(frozen=True)
class SourceRule:
    """A Spark SQL condition over the raw columns; a row for which it is true is taken out."""

    name: str
    when: str
    description: str


@dataclass(frozen=True)
class SourceDataset:
    """One dataset of a source: its files, how to read them, what they mean."""

    name: str
    files: str
    format: str
    columns: tuple[str, ...]
    mapping: Mapping[str, str]
    times: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    event_types: Mapping[str, str] = field(default_factory=dict)
    delivery: str = "daily"
    options: Mapping[str, str] = field(default_factory=dict)
    quarantine: tuple[SourceRule, ...] = ()
    remove: tuple[SourceRule, ...] = ()
    required: bool = True
    complete: bool = False
    row_time: str = ""
    latest_by: str = ""
    may_be_absent: tuple[str, ...] = ()
    null_words: tuple[str, ...] = ()
    timezone: str = ""
    where: str = ""

    @cached_property
    def pattern(self) -> FilePattern:
        """The file pattern, parsed."""
        return FilePattern(self.files, self.where)

    @property
    def has_header(self) -> bool:
        """Whether the first line of a CSV file names its columns."""
        return self.options.get("header", "true") == "true"

    @property
    def encoding(self) -> str:
        """The encoding of a text file, by Python's name."""
        return self.options.get("encoding", UTF_8)

    @property
    def is_multiline(self) -> bool:
        """Whether a CSV file must be parsed to tell its rows.

        Fields may hold line breaks, or a line does not end where an ASCII text's would.
        """
        return self.options.get("multiline") == "true" or not ends_lines_as_ascii(self.encoding)

    @property
    def own_time(self) -> str:
        """SQL for a row's own time: what dates a row of a dump. Empty: rows have none."""
        return self.row_time or self.mapping.get(TIME_COLUMN.get(self.name, ""), "")

    @property
    def own_time_formats(self) -> tuple[str, ...]:
        """The formats in which a row's own time may be written."""
        name = ROW_TIME if self.row_time else TIME_COLUMN.get(self.name, "")
        return self.times.get(name, DEFAULT_FORMATS)


@dataclass(frozen=True)
class Source:
    """A retailer's files and what they mean."""

    name: str
    description: str
    datasets: Mapping[str, SourceDataset]
    timezone: str = ""

    @property
    def main(self) -> SourceDataset:
        """What shoppers did: the dataset that makes a night worth running."""
        return self.datasets.get("events") or self.datasets["reviews"]


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
        document, ("source", "description", "timezone", "internal_users", "datasets"), where
    )
    datasets = checked(entry.get("datasets"), DATASETS, f"{where}: datasets")
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
        datasets={
            name: _without_internal_users(
                _dataset(name, _with_shared_files(name, datasets, where), f"{where}: {name}"),
                internal,
            )
            for name in DATASETS
            if name in datasets
        },
    )


def missing_files(source: Source, raw_root: Path | str, date: dt.date) -> list[str]:
    """Patterns, below the raw root, of required files that a day has not delivered (yet)."""
    return sorted(
        {
            dataset.pattern.on(date)
            for dataset in source.datasets.values()
            if dataset.required and not dataset.pattern.files(raw_root, date)
        }
    )


def delivered_dates(source: Source, raw_root: Path | str, upto: dt.date) -> list[dt.date]:
    """Days, ascending and not after `upto`, of which a required file is there.

    A dump holds all its days in one set of files, so a source of dumps has none here: only
    reading it tells (`pipeline.cleaning.delivery_days`).
    """
    found = {
        file.date
        for dataset in source.datasets.values()
        if dataset.required and dataset.delivery == "daily"
        for file in dataset.pattern.files(raw_root)
    }
    return sorted(date for date in found if date is not None and date <= upto)


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
    return {key: shared[key] for key in _FILE_KEYS if key in shared} | entry


def _dataset(name: str, entry: Mapping[str, Any], where: str) -> SourceDataset:
    file_format = choice_of(entry.get("format"), tuple(FORMATS), f"{where}: format")
    delivery = choice_of(entry.get("delivery", "daily"), DELIVERIES, f"{where}: delivery")
    columns = name_list(entry, "columns", where)
    for column in columns:
        if column.startswith(RESERVED):
            raise ContractError(f"{where}: columns: {column!r} may not start with {RESERVED!r}")
    contract_columns = load_contract(f"raw_{name}").column_names
    mapping = {
        column: str(expression)
        for column, expression in checked(
            entry.get("map"), contract_columns, f"{where}: map"
        ).items()
    }
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
        where=where,
    )
    if dataset.complete not in (True, False):
        raise ContractError(f"{where}: complete must be true or false, found {dataset.complete!r}")
    if dataset.complete and (name != "items" or delivery != "daily"):
        raise ContractError(
            f"{where}: complete: true is for a daily delivery of items: one that leaves out an "
            "item to take it off sale"
        )
    _check_dates(dataset)
    return dataset


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
            "pattern; for one set of files with all days write delivery: dump"
        )
    if dataset.delivery == "dump" and dataset.pattern.has_date:
        raise ContractError(
            f"{dataset.where}: files {dataset.files!r}: a dump has no {{date}} in its pattern"
        )
    for column in dataset.may_be_absent:
        if column not in dataset.columns:
            raise ContractError(
                f"{dataset.where}: may_be_absent: {column!r} is not one of columns;"
                f"{nearest(column, dataset.columns)}"
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


def with_timezone(source: Source, shop_timezone: str) -> Source:
    """The source with its own time zone, or else the shop's, also as `{timezone}` in its SQL."""
    zone = source.timezone or shop_timezone

    def fill(sql: str) -> str:
        return sql.replace("{timezone}", zone)

    def fill_rules(rules: tuple[SourceRule, ...]) -> tuple[SourceRule, ...]:
        return tuple(dataclasses.replace(rule, when=fill(rule.when)) for rule in rules)

    return dataclasses.replace(
        source,
        timezone=zone,
        datasets={
            name: dataclasses.replace(
                dataset,
                timezone=zone,
                mapping={column: fill(sql) for column, sql in dataset.mapping.items()},
                row_time=fill(dataset.row_time),
                latest_by=fill(dataset.latest_by),
                quarantine=fill_rules(dataset.quarantine),
                remove=fill_rules(dataset.remove),
            )
            for name, dataset in source.datasets.items()
        },
    )
