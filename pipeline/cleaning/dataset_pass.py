"""One dataset's pass: its delivered files read once, every row given a fate, written to scratch.

Reads the raw files of the days to clean and the catalogue's items as known then. Writes
`<scratch>/<dataset>/run_date=D/` and `<scratch>/quarantine_<dataset>/run_date=D/`, nothing in the
lake. Guarantees that what is counted at the reader, in the files written and in the tally is
counted apart, so that the ledger's balance says something.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.cleaning.corrupt_files import refuse_or_warn, rows_of, write_damaged
from pipeline.cleaning.day_files import (
    day_files,
    in_order,
    place,
    quarantine_scratch,
    reasons_in,
    rows_in,
    write_cleaned,
    write_quarantine,
)
from pipeline.cleaning.duplicates import judge_keys
from pipeline.cleaning.mapping import Calendar, delivery_day_of_dump, map_rows
from pipeline.cleaning.tagging import FATE, OUT, QUARANTINED, REASON, REMOVED, Rules, tag_rows
from pipeline.cleaning.tally import (
    Count,
    refuse_too_many_quarantined,
    removed_by_rule,
    taken_as_no,
    tally,
    unreadable_files,
)
from pipeline.cleaning.user_days import judge_user_days
from pipeline.errors import ContractError, InputError, StorageError
from pipeline.lake import Lake, Run
from pipeline.ledger import LedgerLine
from pipeline.settings import Settings
from pipeline.sources.damage import FileDamageError
from pipeline.sources.file_checks import check_files
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.readers import DAY, count_rows, read_rows
from pipeline.sources.source import TIME_COLUMN, Source, SourceDataset

_FAILED_ON_A_ROW = ("CAST_INVALID", "CANNOT_PARSE", "ARITHMETIC", "DIVIDE", "INVALID_", "DATETIME_")


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
    items_known_on: Mapping[dt.date, dt.date] = field(default_factory=dict)

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
        rows = _rows_read(night, dataset, files, damaged)
    except (PySparkException, Py4JJavaError) as error:
        _explain(error, dataset)
        raise
    return Delivery(dataset, files, rows, damaged)


def clean_dataset(night: Night, delivery: Delivery) -> CleanedDataset:
    """One pass over a dataset's files: tag, count, refuse or write to scratch."""
    dataset, files, read = delivery.dataset, delivery.files, delivery.rows
    raw = read_rows(night.spark, dataset, night.raw_root, files)
    mapped = map_rows(raw, dataset, night.calendar, night.key)
    if dataset.delivery == "dump":
        mapped = mapped.where(F.col(DAY).isin(night.days))
    limits = night.settings.cleaning
    rules = Rules(
        dataset,
        night.source.name,
        night.calendar.timezone,
        limits.late_horizon_days,
        limits.bot_max_events_per_day,
        night.items_known_on,
    )
    known = _known_items(night) if dataset.name in TIME_COLUMN else None
    bytes_per_day = sum(file.path.stat().st_size for file in files) // max(1, len(night.days))
    placed = place(
        tag_rows(mapped, rules, known),
        dataset.name,
        partitions=night.settings.spark.shuffle_partitions,
        days=len(night.days),
        bytes_per_day=bytes_per_day,
    )
    judge = judge_user_days if dataset.name in TIME_COLUMN else judge_keys
    tagged = in_order(judge(placed, rules), dataset.name).persist()
    try:
        counts = tally(tagged)
        unreadable = unreadable_files(counts, dataset, night.raw_root, limits.max_unreadable_share)
        refuse_or_warn(unreadable, limits.on_corrupt_file)
        refuse_too_many_quarantined(counts, dataset, limits.max_quarantined_share)
        fates = {count.fate for count in counts}
        if OUT in fates:
            write_cleaned(tagged, dataset.name, night.scratch)
        if QUARANTINED in fates:
            write_quarantine(tagged, dataset.name, night.source.name, night.scratch)
        bots = _bot_evidence(tagged, counts) if dataset.name == "events" else {}
    except (PySparkException, Py4JJavaError) as error:
        _explain(error, dataset)
        raise
    finally:
        tagged.unpersist()
    refused = quarantine_scratch(night.scratch, dataset.name)
    write_damaged(delivery.damaged, dataset.name, night.source.name, night.run.run_date, refused)
    in_damaged = delivery.rows_in_damaged(night.run.run_date)
    lines = [
        LedgerLine(
            run_date=day,
            run_id=night.run.run_id,
            stage="clean",
            dataset=dataset.name,
            rows_in=read[day] + in_damaged[day],
            rows_out=rows_in(day_files(night.scratch / dataset.name, day)),
            quarantined=reasons_in(day_files(refused, day)),
            removed=removed_by_rule(counts, day),
        )
        for day in night.days
    ]
    warnings = [str(damage) for damage in [*delivery.damaged, *unreadable]]
    return CleanedDataset(lines, bots, taken_as_no(counts), warnings)


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
) -> Counter[dt.date]:
    """Rows per delivery day, counted apart from the pass that cleans them.

    Raises:
        InputError: a required file of a day holds no row; a dump's rows do not add up.
    """
    counted = count_rows(night.spark, dataset, night.raw_root, files)
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


def _known_items(night: Night) -> DataFrame | None:
    """Each item with the first delivery day that brought it, this night's included."""
    if "items" not in night.source.datasets:
        return None
    cleaned_now = set(night.days)
    paths = [
        (partition.run_date, str(file))
        for partition in night.lake.past("cleaned_items", night.run.run_date)
        if partition.run_date not in cleaned_now
        for file in partition.files
    ]
    fresh = [str(file) for day in night.days for file in _scratch_items(night, day)]
    frames = []
    if fresh:
        frame = night.spark.read.option("basePath", str(night.scratch / "items")).parquet(*fresh)
        frames.append(frame.select("item_id", F.col("run_date").cast("date").alias("day")))
    if paths:
        base = str(night.lake.dataset("cleaned_items"))
        frame = night.spark.read.option("basePath", base).parquet(*(path for _, path in paths))
        frames.append(frame.select("item_id", F.col("run_date").cast("date").alias("day")))
    seen = frames[0] if len(frames) == 1 else frames[0].unionByName(frames[1])
    return seen.groupBy("item_id").agg(F.min("day").alias("first_day"))


def _scratch_items(night: Night, day: dt.date) -> list[Path]:
    return day_files(night.scratch / "items", day)


def _bot_evidence(tagged: DataFrame, counts: list[Count]) -> dict[str, int]:
    """How many users were taken for bots, and the busiest of them."""
    if not any(count.fate == REMOVED and count.reason == "bot" for count in counts):
        return {}
    bots = tagged.where((F.col(FATE) == REMOVED) & (F.col(REASON) == "bot"))
    per_user = bots.groupBy(DAY, "user_id").count()
    row = per_user.agg(
        F.count("*").alias("users"), F.sum("count").alias("events"), F.max("count").alias("most")
    ).first()
    assert row is not None
    return {"user_days": row["users"], "events": row["events"], "most_events": row["most"]}


def _explain(error: Exception, dataset: SourceDataset) -> None:
    """Turn what Spark says of a full disk, or of an expression that fails on a row, into our own."""
    message = " ".join(str(error).split("SQLSTATE")[0].split())
    for reason in ("No space left on device", "Permission denied", "Read-only file system"):
        if reason in str(error):
            raise StorageError(
                f"cleaning {dataset.name} could not write: {reason}. Nothing was committed; "
                "make room or give permission, then run the same date again"
            ) from error
    unread = re.search(r"FAILED_READ_FILE.*?reading file (\S+?)\.?\s", str(error))
    if unread:
        cause = re.search(
            r"Caused by: (?!org\.apache\.spark\.SparkException)([^\n]{1,300})", str(error)
        )
        raise InputError(
            f"{dataset.where}: Spark cannot read {unquote(unread[1])}"
            f"{': ' + cause[1] if cause else ''}. Nothing was written; deliver the file again, or "
            "take it away"
        ) from None
    condition = error.getCondition() if isinstance(error, PySparkException) else None
    if (condition or "").startswith(_FAILED_ON_A_ROW):
        raise ContractError(
            f"{dataset.where}: an expression fails on a row: {message} "
            "(use try_cast, try_to_timestamp, try_divide, nullif where a null is meant)"
        ) from None
