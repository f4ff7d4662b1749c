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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pipeline.sources.closed_days import ClosedDays
from pipeline.sources.dialect import UTF_8, ends_lines_as_ascii
from pipeline.sources.file_pattern import DeliveredFile, FilePattern, FilePatterns
from pipeline.sources.snapshots import Snapshots
from pipeline.sources.table import Table
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
LAYOUT = "layout"  # the raw column that says which layout a row is of, from 1
ELEMENT_POSITION = "_position"  # behind an element's name: which of its array it is, from 1


@dataclass(frozen=True)
class SourceRule:
    """A Spark SQL condition over the raw columns; a row for which it is true is taken out."""

    name: str
    when: str
    description: str


@dataclass(frozen=True)
class Join:
    """A file that rows of a dataset are joined with by keys: at most one row of it to each.

    `columns` are the flat raw columns (`orders.status`) that are taken from it.
    """

    name: str
    table: SourceDataset
    keys: tuple[tuple[str, str], ...]  # SQL over the raw columns, SQL over the other's columns
    kind: str = "left"
    columns: tuple[str, ...] = ()

    @property
    def unmatched(self) -> str:
        """The reason of a row that finds no partner and must have one."""
        return f"{self.name}_unmatched"

    @property
    def ambiguous(self) -> str:
        """The reason of a row whose key has several rows that differ."""
        return f"{self.name}_ambiguous"


@dataclass(frozen=True)
class Explode:
    """An array of JSON that becomes rows, an element each; `fields` are read of the elements."""

    array: str  # SQL over the columns of the dataset's own files
    element: str
    fields: tuple[str, ...] = ()
    empty: str = "remove"  # what becomes of a row without an element: remove or keep

    @property
    def columns(self) -> tuple[str, ...]:
        """The flat raw columns that an element gives."""
        position = self.element + ELEMENT_POSITION
        return (self.element, position, *(f"{self.element}.{name}" for name in self.fields))

    @property
    def none(self) -> str:
        """The rule that removes a row without an element."""
        return f"no_{self.element}"

    @property
    def unreadable(self) -> str:
        """The reason of a row whose array is none."""
        return f"{self.element}_unreadable"


@dataclass(frozen=True)
class SourceDataset:
    """One dataset of a source: its files, how to read them, what they mean.

    `columns` are all raw columns of a row, also those of joined files and of an array's elements;
    `own_columns` are those of its own files, where it has others beside them.
    """

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
    # Those that hold such an id amid other things, such as an array of which it reads elements.
    ids_within_elsewhere: tuple[str, ...] = ()
    # What the files are fetched from; None: others deliver them.
    table: Table | None = None
    own_columns: tuple[str, ...] = ()
    joins: tuple[Join, ...] = ()
    explode: Explode | None = None
    # Where files of several layouts are one dataset: each as a dataset of its own. Here `columns`
    # are those of all, behind LAYOUT, and every expression asks LAYOUT which of theirs counts.
    layouts: tuple[SourceDataset, ...] = ()
    since: str = ""  # of a layout: its first and last delivery day, as 2026-03-01
    until: str = ""
    kept_below: str = ""  # `paths.snapshots`, for what is delivered as a snapshot

    @property
    def is_combined(self) -> bool:
        """Whether a row is made of more than one of its own file's rows as it stands."""
        return bool(self.joins or self.explode)

    @cached_property
    def own(self) -> SourceDataset:
        """The dataset as its own files hold it."""
        if not self.is_combined:
            return self
        return dataclasses.replace(self, columns=self.own_columns, joins=(), explode=None)

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
            self.explode.array if self.explode else "",
            *(ours for join in self.joins for ours, _ in join.keys),
        ]
        read = {name for sql in expressions for name in columns_read(sql, self.columns)}
        return tuple(name for name in self.columns if name in read)

    @property
    def user_columns(self) -> tuple[str, ...]:
        """Raw columns that this dataset's user id is read from."""
        return self._read_for("user_id")

    @property
    def act_columns(self) -> tuple[str, ...]:
        """Raw columns that this dataset's ids of acts are read from."""
        return tuple(dict.fromkeys([*self._read_for(*ACT_IDS), *self._columns_to_a_person]))

    def _read_for(self, *mapped: str) -> tuple[str, ...]:
        """Raw columns that mapped ones are made of; of layouts, by each's own SQL."""
        found = {
            name
            for one in self.layouts or (self,)
            for column in mapped
            for name in columns_read(one.mapping.get(column, ""), one.columns)
        }
        return tuple(name for name in self.columns if name in found)

    @property
    def id_containers(self) -> tuple[str, ...]:
        """Raw columns whose text holds an id of a person or an act amid other things.

        `event` where `event.userId` is an id, and an array whose elements have one. An element of
        a column that has ids is made of them too.
        """
        ids = {
            *self.user_columns,
            *self.act_columns,
            *self.users_elsewhere,
            *self.acts_elsewhere,
        }
        found = {*self.ids_within_elsewhere}
        found |= {name for name in self.columns if any(id_.startswith(f"{name}.") for id_ in ids)}
        if self.explode:
            array = columns_read(self.explode.array, self.columns)
            if {self.explode.element, *array} & (ids | found):
                found |= {self.explode.element, *array}
        return tuple(name for name in self.columns if name in found)

    @property
    def _columns_to_a_person(self) -> tuple[str, ...]:
        """Raw columns that are keys of the file that the user id stands in, or of one before it."""
        found = {*self.user_columns}
        for join in reversed(self.joins):
            if found & {*join.columns}:
                found |= {c for ours, _ in join.keys for c in columns_read(ours, self.columns)}
        return tuple(name for name in self.columns if name in found - {*self.user_columns})

    @cached_property
    def pattern(self) -> FilePattern | FilePatterns:
        """The file pattern, parsed; that of all layouts, where there are several."""
        if self.layouts:
            return FilePatterns(
                tuple(FilePattern(one.files, one.where) for one in self.layouts),
                tuple((_day(one.since), _day(one.until)) for one in self.layouts),
            )
        return FilePattern(self.files, self.where)

    def by_layout(
        self, files: Iterable[DeliveredFile]
    ) -> list[tuple[SourceDataset, list[DeliveredFile]]]:
        """Each layout with its files among some; the dataset itself where it has no layouts."""
        if not isinstance(self.pattern, FilePatterns):
            return [(self, list(files))]
        found: list[tuple[SourceDataset, list[DeliveredFile]]] = [(one, []) for one in self.layouts]
        for file in files:
            found[self.pattern.number_of(file)][1].append(file)
        return found

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
        if self.layouts:
            return any(one.is_multiline for one in self.layouts)
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


def _day(text: str) -> dt.date | None:
    return dt.date.fromisoformat(text) if text else None


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
            users_elsewhere=_read_elsewhere(datasets, dataset, lambda other: other.user_columns),
            acts_elsewhere=_read_elsewhere(datasets, dataset, lambda other: other.act_columns),
            ids_within_elsewhere=_read_elsewhere(
                datasets, dataset, lambda other: other.id_containers
            ),
        )
        for name, dataset in datasets.items()
    }


def _read_elsewhere(
    datasets: Mapping[str, SourceDataset],
    dataset: SourceDataset,
    of: Callable[[SourceDataset], tuple[str, ...]],
) -> tuple[str, ...]:
    """Raw columns of a dataset that are read for some purpose elsewhere.

    By another dataset of the same files, and where the files of one are joined with the other's.
    """
    names = [
        f"{here}{_under_its_name(name.removeprefix(there), other, dataset)}"
        for other in datasets.values()
        for there, theirs in _file_patterns(other)
        for here, ours in _file_patterns(dataset)
        if ours & theirs and not (other is dataset and here == there)
        for name in of(other)
        if name.startswith(there)
    ]
    return tuple(name for name in dict.fromkeys(names) if name in dataset.columns)


def _file_patterns(dataset: SourceDataset) -> list[tuple[str, set[str]]]:
    """What its raw columns of some files begin with, and the patterns of these files."""
    own = {one.files for one in dataset.layouts} or {dataset.files}
    return [("", own), *((f"{join.name}.", {join.table.files}) for join in dataset.joins)]


def _under_its_name(name: str, other: SourceDataset, dataset: SourceDataset) -> str:
    """Another dataset's column as this one calls it: each names an array's element itself."""
    element, rest = name.partition(".")[::2]
    if not (dataset.explode and other.explode and element == other.explode.element):
        return name
    is_same = dataset.explode.array == other.explode.array
    return f"{dataset.explode.element}.{rest}".rstrip(".") if is_same else name


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

    def fill_join(join: Join) -> Join:
        table = dataclasses.replace(join.table, latest_by=fill(join.table.latest_by))
        keys = tuple((fill(ours), fill(theirs)) for ours, theirs in join.keys)
        return dataclasses.replace(join, table=table, keys=keys)

    def fill_array(explode: Explode) -> Explode:
        return dataclasses.replace(explode, array=fill(explode.array))

    def fill_dataset(dataset: SourceDataset) -> SourceDataset:
        return dataclasses.replace(
            dataset,
            timezone=zone,
            joins=tuple(map(fill_join, dataset.joins)),
            explode=fill_array(dataset.explode) if dataset.explode else None,
            layouts=tuple(map(fill_dataset, dataset.layouts)),
            mapping={column: fill(sql) for column, sql in dataset.mapping.items()},
            row_time=fill(dataset.row_time),
            latest_by=fill(dataset.latest_by),
            quarantine=fill_rules(dataset.quarantine),
            remove=fill_rules(dataset.remove),
        )

    return dataclasses.replace(
        source,
        timezone=zone,
        datasets={name: fill_dataset(dataset) for name, dataset in source.datasets.items()},
    )
