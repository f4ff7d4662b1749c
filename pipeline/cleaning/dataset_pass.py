"""One dataset's pass: its delivered files read once, every row given a fate, written to scratch.

Reads the raw files of the days to clean, the catalogue's items as known then and, where rows came
late, what the lake has of their days. Writes `<scratch>/<dataset>/run_date=D/`, `removed_events`
and `quarantine_<dataset>` likewise, and what `late_pass` says; nothing in the lake. Guarantees that what is counted at the reader, in the files written and in the tally is
counted apart, so that the ledger's balance says something.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.cleaning.corrupt_files import refuse_or_warn, rows_of, write_damaged
from pipeline.cleaning.day_files import (
    bots_in,
    day_files,
    late_quarantine,
    place,
    quarantine_scratch,
    reasons_in,
    rows_in,
    write_quarantine,
    write_removed_events,
)
from pipeline.cleaning.engine_errors import explain
from pipeline.cleaning.fates import left, write_by_fate
from pipeline.cleaning.judge import judge
from pipeline.cleaning.known_items import known_items, newly_known, quarantined_files, released_rows
from pipeline.cleaning.late_context import Known
from pipeline.cleaning.late_pass import LateRows, clean_late_rows
from pipeline.cleaning.late_rows import RELEASED
from pipeline.cleaning.mapping import Calendar, delivery_day_of_dump, map_rows
from pipeline.cleaning.tagging import (
    KEPT_RULES,
    LATE,
    ORDER,
    QUARANTINED,
    REMOVED,
    Rules,
    tag_rows,
)
from pipeline.cleaning.tally import (
    Count,
    refuse_too_many_quarantined,
    removed_by_rule,
    taken_as_no,
    tally,
    unreadable_files,
)
from pipeline.contracts.contract import load_contract
from pipeline.errors import InputError
from pipeline.lake import Lake, Run
from pipeline.ledger import LedgerLine
from pipeline.settings import Settings
from pipeline.sources.damage import FileDamageError
from pipeline.sources.file_checks import check_files
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.plain_json import plain_rows
from pipeline.sources.readers import DAY, FILE, count_rows, read_rows
from pipeline.sources.source import TIME_COLUMN, Source, SourceDataset


@dataclass(frozen=True)
class Night:
    """What every dataset of one night's cleaning shares."""

    spark: SparkSession
    settings: Settings
    lake: Lake
    run: Run
    source: Source
    calendar: Calendar
    days: list[dt.date]
    key: bytes
    scratch: Path

    @property
    def raw_root(self) -> str:
        """Where the retailer's files lie."""
        return self.settings.paths.raw


@dataclass(frozen=True)
class Delivery:
    """A dataset's files of the days to clean, and how many rows each day has in them."""

    dataset: SourceDataset
    files: list[DeliveredFile]
    rows: Counter[dt.date]
    rows_of: Mapping[str, int]  # by the file's path below the raw root
    plain: bool  # as `read_rows` asks
    damaged: list[FileDamageError] = field(default_factory=list)

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


@dataclass(frozen=True)
class CleanedDataset:
    """What one dataset's pass found."""

    lines: list[LedgerLine]
    bots: dict[str, int]
    consent_unread: int
    late: LateRows
    warnings: list[str]


def look_at(night: Night, dataset: SourceDataset) -> Delivery:
    """Find the files, refuse what is not what the source says, count the rows.

    Raises:
        InputError: a required file is missing or empty, or a file is of another kind.
    """
    files = _delivered(night, dataset)
    damaged = check_files(dataset, files)
    refuse_or_warn(damaged, night.settings.cleaning.on_corrupt_file)
    lost = {damage.file for damage in damaged}
    files = [file for file in files if file not in lost]
    try:
        plain = plain_rows(dataset, files)
        rows_of = plain or count_rows(night.spark, dataset, night.raw_root, files)
        rows = _rows_read(night, dataset, files, damaged, rows_of)
    except (PySparkException, Py4JJavaError) as error:
        explain(error, dataset)
        raise
    return Delivery(dataset, files, rows, rows_of, plain is not None, damaged)


def clean_dataset(night: Night, delivery: Delivery) -> CleanedDataset:
    """One pass over a dataset's files: tag, count, refuse or write to scratch."""
    dataset, files, read = delivery.dataset, delivery.files, delivery.rows
    raw = read_rows(night.spark, dataset, night.raw_root, files, plain=delivery.plain)
    mapped = map_rows(raw, dataset, night.calendar, night.key)
    if dataset.delivery == "dump":
        mapped = mapped.where(F.col(DAY).isin(night.days))
    limits = night.settings.cleaning
    rules = Rules(dataset, night.source.name, night.calendar.timezone, limits, night.key)
    has_time = dataset.name in TIME_COLUMN
    known = (
        known_items(night.spark, night.lake, night.source, night.scratch, night.days)
        if has_time
        else None
    )
    bytes_per_day = sum(file.path.stat().st_size for file in files) // max(1, len(night.days))
    placed = place(
        tag_rows(mapped, rules, known),
        dataset.name,
        partitions=night.settings.spark.shuffle_partitions,
        days=len(night.days),
        bytes_per_day=bytes_per_day,
    )
    judged = judge(placed, rules)
    try:
        write_by_fate(judged, dataset.name, night.scratch, days=len(night.days))
        counts = tally(night.scratch, dataset.name, night.days)
        unreadable = unreadable_files(
            counts, delivery.rows_of, dataset, night.raw_root, limits.max_unreadable_share
        )
        refuse_or_warn(unreadable, limits.on_corrupt_file)
        refuse_too_many_quarantined(counts, dataset, limits.max_quarantined_share)
        fates = {count.fate for count in counts}

        def rows_left(fate: str) -> DataFrame:
            return left(night.spark, rules, fate, night.scratch, judged.schema[ORDER].dataType)

        if QUARANTINED in fates:
            refused_rows = rows_left(QUARANTINED)
            write_quarantine(refused_rows, dataset.name, night.source.name, night.scratch)
        if dataset.name == "events" and any(count.reason in KEPT_RULES for count in counts):
            write_removed_events(rows_left(REMOVED), night.scratch)
        came_late = rows_left(LATE) if LATE in fates else None
        late = _late_rows(night, came_late, known, rules) if has_time else LateRows()
    except (PySparkException, Py4JJavaError) as error:
        explain(error, dataset)
        raise
    refused = quarantine_scratch(night.scratch, dataset.name)
    write_damaged(delivery.damaged, dataset.name, night.source.name, night.run.run_date, refused)
    read = read + delivery.rows_in_damaged(night.run.run_date)
    lines = [
        line
        for day in night.days
        for line in _ledger_lines(
            night,
            LedgerLine(day, night.run.run_id, "clean", dataset.name, read[day], 0),
            counts,
            late,
        )
    ]
    bots = bots_in(night.scratch, night.days) if dataset.name == "events" else {}
    warnings = [str(damage) for damage in [*delivery.damaged, *unreadable]]
    return CleanedDataset(lines, bots, taken_as_no(counts), late, warnings)


def _late_rows(
    night: Night, came_late: DataFrame | None, known: DataFrame | None, rules: Rules
) -> LateRows:
    """What came late, and what is released from quarantine as if it came late now."""
    lake, scratch, days, dataset = night.lake, night.scratch, night.days, rules.dataset
    horizon = rules.limits.late_horizon_days
    files = quarantined_files(lake, scratch, dataset.name, days, horizon_days=horizon)
    late = [] if came_late is None else [_as_late(came_late, dataset, released=False)]
    if known is not None and files and newly_known(known, files, days):

        def to_mapped(raw: DataFrame) -> DataFrame:
            return map_rows(raw, dataset, night.calendar, night.key, hashed_users=True)

        released = released_rows(known, files, days, rules, to_mapped)
        late.append(_as_late(released, dataset, released=True))
    if not late:
        return LateRows()
    where = Known(night.spark, lake, scratch, days)
    rows = reduce(DataFrame.unionByName, late)
    return clean_late_rows(rows, where, rules, night.settings.spark.shuffle_partitions)


def _as_late(rows: DataFrame, dataset: SourceDataset, *, released: bool) -> DataFrame:
    columns = load_contract(f"cleaned_{dataset.name}").column_names
    return rows.select(*columns, DAY, FILE, ORDER, F.lit(released).alias(RELEASED))


def _ledger_lines(
    night: Night, read: LedgerLine, counts: list[Count], late: LateRows
) -> list[LedgerLine]:
    """A delivery's own rows, and those that it says something of beside them.

    Args:
        night: whose scratch the rows were written to.
        read: the line with nothing but the rows that were read.
        counts: what became of rows that were not late.
        late: what became of those that were.
    """
    day, dataset = read.run_date, read.dataset
    refused: Counter[str] = Counter()
    for directory in (
        quarantine_scratch(night.scratch, dataset),
        late_quarantine(night.scratch, dataset),
    ):
        refused.update(reasons_in(day_files(directory, day)))
    beside = late.lines(dataset, day, night.run.run_id)
    for line in beside:
        refused.subtract(line.quarantined)
    written = rows_in(day_files(night.scratch / dataset, day))
    removed = removed_by_rule(counts, day) + late.removed(day, released=False)
    own = dataclasses.replace(
        read,
        rows_out=written - late.restored(day) - late.released_in(day),
        quarantined={reason: n for reason, n in sorted(refused.items()) if n},
        removed=dict(sorted(removed.items())),
    )
    return [own, *beside]


def _delivered(night: Night, dataset: SourceDataset) -> list[DeliveredFile]:
    """The dataset's files of the days to clean; all files of a dump.

    Raises:
        InputError: a required file is missing.
    """
    files = dataset.pattern.files(night.raw_root)
    if dataset.delivery == "daily":
        wanted = set(night.days)
        files = [file for file in files if file.date in wanted]
    delivered = {file.date for file in files}
    for day in night.days:
        if dataset.required and not delivered & {day, None}:
            raise InputError(
                f"{Path(night.raw_root) / dataset.pattern.on(day)} does not exist "
                f"({dataset.where}: files {dataset.files!r}), though {day} delivered others; "
                f"{_remedy(night, day)}"
            )
    return files


def _remedy(night: Night, day: dt.date) -> str:
    if day == night.run.run_date:
        return "deliver it, then run the date again"
    later = day + dt.timedelta(days=1)
    return (
        f"deliver it, or leave this day and those before it aside: cleaning.first_day = "
        f'"{later}" in the settings (--from {later} for one run)'
    )


def _rows_read(
    night: Night,
    dataset: SourceDataset,
    files: list[DeliveredFile],
    damaged: list[FileDamageError],
    counted: Mapping[str, int],
) -> Counter[dt.date]:
    """Rows per delivery day, counted apart from the pass that cleans them.

    Raises:
        InputError: a required file of a day holds no row; a dump's rows do not add up.
    """
    read: Counter[dt.date] = Counter()
    if dataset.delivery == "daily":
        for file in files:
            assert file.date is not None
            read[file.date] += counted[file.relative]
        empty = [day for day in night.days if not read[day]]
        if empty and dataset.required:
            lost = [damage for damage in damaged if damage.file.date == empty[0]]
            if lost:
                raise InputError(
                    f"{lost[0]}; no other file of {empty[0]} holds a row, and {dataset.where} is "
                    f"required; {_remedy(night, empty[0])}"
                )
            raise InputError(
                f"{Path(night.raw_root) / dataset.pattern.on(empty[0])} holds no row; "
                f"{dataset.where} is required, so an empty file is taken for a failed delivery "
                "(write required: false where a day without rows is normal); "
                f"{_remedy(night, empty[0])}"
            )
        return read
    rows = read_rows(night.spark, dataset, night.raw_root, files)
    by_day = rows.groupBy(delivery_day_of_dump(dataset, night.calendar).alias("day")).count()
    for row in by_day.collect():
        read[row["day"]] += row["count"]
    if sum(read.values()) != sum(counted.values()):
        raise InputError(
            f"{dataset.where}: {sum(counted.values()):,} lines in {dataset.files}, but "
            f"{sum(read.values()):,} rows were read; do fields hold line breaks? "
            "Then write options: {multiline: true}"
        )
    return read
