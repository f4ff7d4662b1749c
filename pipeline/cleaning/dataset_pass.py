"""One dataset's pass: its delivered files read once, every row given a fate, written to scratch.

Reads the raw files of the days to clean and the catalogue's items as known then. Writes
`<scratch>/<dataset>/run_date=D/` and `<scratch>/quarantine_<dataset>/run_date=D/`, nothing in the
lake. Guarantees that what is counted at the reader, in the files written and in the tally is
counted apart, so that the ledger's balance says something.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

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
from pipeline.cleaning.known_items import catalogue_before
from pipeline.cleaning.mapping import Calendar, delivery_day_of_dump, map_rows
from pipeline.cleaning.tagging import FATE, OUT, QUARANTINED, REASON, REMOVED, Rules, tag_rows
from pipeline.cleaning.tally import (
    Count,
    refuse_too_many_quarantined,
    refuse_unreadable_files,
    removed_by_rule,
    taken_as_no,
    tally,
)
from pipeline.cleaning.user_days import judge_user_days
from pipeline.errors import ContractError, InputError, StorageError
from pipeline.lake import Lake, Run
from pipeline.ledger import LedgerLine
from pipeline.settings import Settings
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

    def files_of(self, day: dt.date) -> list[DeliveredFile]:
        """A day's files; all of a dump's, which belong to every day."""
        return [file for file in self.files if file.date in (day, None)]


@dataclass(frozen=True)
class CleanedDataset:
    """What one dataset's pass found."""

    lines: list[LedgerLine]
    bots: dict[str, int]
    consent_unread: int


def look_at(night: Night, dataset: SourceDataset) -> Delivery:
    """Find the files, refuse what is not what the source says, count the rows.

    Raises:
        InputError: a required file is missing or empty, or a file is of another kind.
    """
    files = _delivered(night, dataset)
    check_files(dataset, files)
    return Delivery(dataset, files, _rows_read(night, dataset, files))


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
        refuse_unreadable_files(counts, dataset, night.raw_root, limits.max_unreadable_share)
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
    lines = [
        LedgerLine(
            run_date=day,
            run_id=night.run.run_id,
            stage="clean",
            dataset=dataset.name,
            rows_in=read[day],
            rows_out=rows_in(day_files(night.scratch / dataset.name, day)),
            quarantined=reasons_in(day_files(refused, day)),
            removed=removed_by_rule(counts, day),
        )
        for day in night.days
    ]
    return CleanedDataset(lines, bots, taken_as_no(counts))


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
    night: Night, dataset: SourceDataset, files: list[DeliveredFile]
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
    known = catalogue_before(night.lake, min(night.days))
    since = known.run_date if known else dt.date.min
    paths = [
        (day, str(file))
        for day in night.lake.dates("cleaned_items", night.run.run_date)
        if day > since and day not in cleaned_now
        for file in night.lake.require("cleaned_items", day).files
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
    if known:
        frame = night.spark.read.parquet(*(str(file) for file in known.files))
        frames.append(frame.select("item_id", F.col("first_seen_date").alias("day")))
    seen = reduce(DataFrame.unionByName, frames)
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
    condition = error.getCondition() if isinstance(error, PySparkException) else None
    if (condition or "").startswith(_FAILED_ON_A_ROW):
        raise ContractError(
            f"{dataset.where}: an expression fails on a row: {message} "
            "(use try_cast, try_to_timestamp, try_divide, nullif where a null is meant)"
        ) from None
