"""A dataset's files of the days to clean: found, checked and counted before any of them is cleaned.

The rows are counted here without the pass that cleans them, so that the ledger compares two counts.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException

from pipeline.cleaning.deliveries.corrupt_files import refuse_or_warn, rows_of
from pipeline.cleaning.deliveries.look_ups import LookUps, look_up
from pipeline.cleaning.deliveries.raw_files import RAW_FILES, Facts, raw_facts
from pipeline.cleaning.deliveries.required_files import require_files, require_rows
from pipeline.cleaning.deliveries.snapshot_changes import (
    Changes,
    raw_files_of,
    snapshot_changes,
)
from pipeline.cleaning.night_context import NightContext
from pipeline.cleaning.rows.mapping import delivery_day_of_dump
from pipeline.cleaning.spark_errors import explain
from pipeline.errors import InputError
from pipeline.sources.damage import FileDamageError
from pipeline.sources.file_checks import check_files
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.plain_json import plain_rows
from pipeline.sources.readers import count_rows, read_rows
from pipeline.sources.source import SourceDataset


@dataclass(frozen=True)
class Delivery:
    """A dataset's files of the days to clean, and how many rows each day has in them."""

    dataset: SourceDataset
    files: list[DeliveredFile]
    rows: Counter[dt.date]
    rows_of: Mapping[str, int]  # by the file's path below the raw root
    plain: bool  # as `read_rows` asks
    damaged: list[FileDamageError] = field(default_factory=list)
    # What manifests remember of each file, as it was before the first was cleaned.
    facts: Mapping[str, Facts] = field(default_factory=dict)
    looked_up: LookUps = field(default_factory=LookUps)
    # By day, before arrays became rows; only of a dataset with an array.
    raw_rows: Mapping[dt.date, int] = field(default_factory=dict)
    changes: Changes | None = None  # of a file that is overwritten

    def unchanged(self, day: dt.date) -> Counter[str]:
        """Rows of a snapshot that a day need not clean, by rule."""
        return self.changes.of(day).removed() if self.changes else Counter()

    def raw_files_of(self, day: dt.date) -> dict[str, Any]:
        """What the manifest of a cleaned day says of the files that it was cleaned from."""
        if self.changes is not None:
            return raw_files_of(self.changes, day)
        return {
            RAW_FILES: {file.relative: self.facts[file.relative] for file in self.files_of(day)}
        }

    def files_of(self, day: dt.date) -> list[DeliveredFile]:
        """A day's files, damaged ones too; all of a dump's, which belong to every day."""
        files = sorted([*self.files, *(damage.file for damage in self.damaged)])
        return [file for file in files if file.date in (day, None)]

    def rows_in_damaged(self, night: dt.date) -> Counter[dt.date]:
        """Rows that damaged files stand for, by day; a dump's are the night's."""
        counts: Counter[dt.date] = Counter()
        for damage in self.damaged:
            counts[damage.file.date or night] += rows_of(damage)
        return counts


def inspect_delivery(night: NightContext, dataset: SourceDataset) -> Delivery:
    """Find the files, refuse what is not what the source says, count the rows.

    Raises:
        InputError: a required file is missing or empty, or a file is of another kind.
    """
    if dataset.delivery == "snapshot":
        return _inspect_snapshot(night, dataset)
    files = dataset.pattern.files(night.raw_root)
    if dataset.delivery == "daily":
        wanted = set(night.days)
        files = [file for file in files if file.date in wanted]
    require_files(night, dataset, files)
    facts = raw_facts(files)
    damaged = check_files(dataset, files)
    refuse_or_warn(damaged, night.settings.cleaning.on_corrupt_file)
    lost = {damage.file for damage in damaged}
    files = [file for file in files if file not in lost]
    try:
        plain = plain_rows(dataset, files)
        counted = plain or count_rows(night.spark, dataset, night.raw_root, files)
        if dataset.is_combined:
            return _combined(night, dataset, files, counted, plain is not None, damaged, facts)
        if dataset.delivery == "daily":
            rows = _rows_by_file_date(files, counted)
            require_rows(night, dataset, rows, damaged)
        else:
            rows = _rows_by_own_day(night, dataset, files, counted)
    except (PySparkException, Py4JJavaError) as error:
        explain(error, dataset)
        raise
    return Delivery(dataset, files, rows, counted, plain is not None, damaged, facts)


def _combined(  # noqa: PLR0917
    night: NightContext,
    dataset: SourceDataset,
    files: list[DeliveredFile],
    counted: Mapping[str, int],
    plain: bool,
    damaged: list[FileDamageError],
    facts: Mapping[str, Facts],
) -> Delivery:
    """The delivery of a dataset that is joined, or whose arrays become rows.

    Raises:
        InputError: a joined file cannot be used, or not all rows that were counted are read.
    """
    limits = night.settings.cleaning
    looked_up = look_up(
        night.spark,
        night.lake,
        dataset,
        night.raw_root,
        files,
        night.calendar,
        limits.max_unreadable_share,
    )
    refuse_or_warn(looked_up.faults, limits.on_corrupt_file)
    days = looked_up.days
    raw_rows = read = Counter({day: counts.raw_rows for day, counts in days.items()})
    if dataset.delivery == "daily":
        of_files = _rows_by_file_date(files, counted)
        require_rows(night, dataset, of_files, damaged)
        raw_rows = of_files
    if sum(read.values()) != sum(counted.values()):
        _refuse_other_number(dataset, sum(counted.values()), sum(read.values()))
    rows = raw_rows
    if dataset.explode:
        rows = Counter({day: counts.rows for day, counts in days.items()})
    return Delivery(dataset, files, rows, counted, plain, damaged, facts, looked_up, raw_rows)


def _inspect_snapshot(night: NightContext, dataset: SourceDataset) -> Delivery:
    """What the days delivered of a file that is overwritten, from what was kept of it."""
    try:
        changes = snapshot_changes(
            night.spark,
            night.lake,
            dataset,
            night.days,
            night.key,
            emptied=night.calendar.emptied,
        )
    except (PySparkException, Py4JJavaError) as error:
        explain(error, dataset)
        raise
    rows_of = Counter[str]()
    for one in changes.days:
        for file, rows in (one.seen.manifest["rows"] if one.seen else {}).items():
            rows_of[file] = max(rows, rows_of[file])
    rows = Counter({one.day: one.rows for one in changes.days})
    return Delivery(dataset, changes.files(), rows, rows_of, plain=False, changes=changes)


def _rows_by_file_date(files: list[DeliveredFile], counted: Mapping[str, int]) -> Counter[dt.date]:
    rows: Counter[dt.date] = Counter()
    for file in files:
        assert file.date is not None
        rows[file.date] += counted[file.relative]
    return rows


def _rows_by_own_day(
    night: NightContext,
    dataset: SourceDataset,
    files: list[DeliveredFile],
    counted: Mapping[str, int],
) -> Counter[dt.date]:
    """Rows of a dump by the delivery day that each belongs to.

    Raises:
        InputError: the rows of the days do not add up to the rows that were counted.
    """
    found = read_rows(night.spark, dataset, night.raw_root, files)
    by_day = found.groupBy(delivery_day_of_dump(dataset, night.calendar).alias("day")).count()
    rows: Counter[dt.date] = Counter()
    for row in by_day.collect():
        rows[row["day"]] += row["count"]
    if sum(rows.values()) != sum(counted.values()):
        _refuse_other_number(dataset, sum(counted.values()), sum(rows.values()))
    return rows


def _refuse_other_number(dataset: SourceDataset, lines: int, rows: int) -> None:
    raise InputError(
        f"{dataset.where}: {lines:,} lines in {dataset.files}, but {rows:,} rows were read; do "
        "fields hold line breaks? Then write options: {multiline: true}"
    )
