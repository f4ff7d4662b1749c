"""A retailer's source: per dataset, where the files lie, how they are read and what they mean.

The datasets are events, reviews, items and users; each is optional. A Spark SQL expression over the
raw columns (all strings) gives each column of the raw contract. `source_yaml` reads a source.
Standard library only, beside the contracts.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pipeline.sources.closed_days import ClosedDays
from pipeline.sources.dialect import UTF_8, ends_lines_as_ascii
from pipeline.sources.file_pattern import FilePattern
from pipeline.sources.snapshots import Snapshots
from pipeline.sources.time_formats import DEFAULT_FORMATS, ROW_TIME

# In the order in which they are cleaned: events and reviews ask what the catalogue knows.
DATASETS = ("items", "users", "events", "reviews")
DELIVERIES = ("daily", "dump", "snapshot")
TIME_COLUMN = {"events": "event_time", "reviews": "review_time"}
KEY_COLUMN = {
    "items": "item_id",
    "users": "user_id",
    "events": "event_id",
    "reviews": "review_id",
}
# Ids of single acts and visits: a retailer's log or a receipt leads from them to a person.
ACT_IDS = ("event_id", "review_id", "session_id")
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
    # Column -> the character before its decimals, then the one between its thousands, if any.
    numbers: Mapping[str, str] = field(default_factory=dict)
    timezone: str = ""
    where: str = ""
    # Raw columns that another dataset, of the same files, reads an id of a user or of an act from.
    users_elsewhere: tuple[str, ...] = ()
    acts_elsewhere: tuple[str, ...] = ()
    kept_below: str = ""  # `paths.snapshots`, for what is delivered as a snapshot

    @property
    def snapshots(self) -> Snapshots:
        """What is kept of the files of a `snapshot`."""
        assert self.kept_below, f"{self.where}: nobody has said where snapshots are kept"
        return Snapshots(self.kept_below, self.name)

    @property
    def columns_that_count(self) -> tuple[str, ...]:
        """Raw columns that any expression reads: a row that differs in others says the same."""
        expressions = [
            *self.mapping.values(),
            *(rule.when for rule in (*self.remove, *self.quarantine)),
            self.row_time,
            self.latest_by,
        ]
        read = {name for sql in expressions for name in columns_read(sql, self.columns)}
        return tuple(name for name in self.columns if name in read)

    @property
    def user_columns(self) -> tuple[str, ...]:
        """Raw columns that this dataset's user id is read from."""
        return columns_read(self.mapping.get("user_id", ""), self.columns)

    @property
    def act_columns(self) -> tuple[str, ...]:
        """Raw columns that this dataset's ids of acts are read from."""
        return columns_read(" ".join(self.mapping.get(name, "") for name in ACT_IDS), self.columns)

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
    closed: ClosedDays = field(default_factory=ClosedDays)

    @property
    def user_ids_digest(self) -> str:
        """A digest of how user ids are made of raw columns: with another, users have other ids."""
        made = {of.name: of.mapping.get("user_id", "") for of in self.datasets.values()}
        return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]

    def may_bring_nothing(self, name: str, day: dt.date) -> bool:
        """Whether a dataset without a row on a day is right: a closed day, or one not required."""
        return day in self.closed or name not in self.datasets or not self.datasets[name].required

    @property
    def main(self) -> SourceDataset:
        """Events, or else reviews: the dataset that makes a night worth running."""
        return self.datasets.get("events") or self.datasets["reviews"]


def columns_read(sql: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Which raw columns an expression names. String literals are left out of the search."""
    bare = re.sub(r"'(?:[^'\\]|\\.)*'", "", sql)
    words = {name.lower() for pair in re.findall(r"`([^`]+)`|(\w+)", bare) for name in pair}
    return tuple(name for name in columns if name.lower() in words)


def with_ids_of_shared_files(datasets: Mapping[str, SourceDataset]) -> dict[str, SourceDataset]:
    """The datasets, each told which of its raw columns hold an id by another's mapping."""
    return {
        name: dataclasses.replace(
            dataset,
            users_elsewhere=tuple(
                dict.fromkeys(
                    c for other in _same_files(datasets, dataset) for c in other.user_columns
                )
            ),
            acts_elsewhere=tuple(
                dict.fromkeys(
                    c for other in _same_files(datasets, dataset) for c in other.act_columns
                )
            ),
        )
        for name, dataset in datasets.items()
    }


def _same_files(
    datasets: Mapping[str, SourceDataset], dataset: SourceDataset
) -> list[SourceDataset]:
    return [
        other
        for other in datasets.values()
        if other is not dataset and other.files == dataset.files
    ]


def with_snapshots(source: Source, kept_below: str) -> Source:
    """The source, told where snapshots of its files are kept."""
    return dataclasses.replace(
        source,
        datasets={
            name: dataclasses.replace(dataset, kept_below=kept_below)
            for name, dataset in source.datasets.items()
        },
    )


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
