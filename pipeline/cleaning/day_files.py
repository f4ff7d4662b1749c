"""Cleaned rows on their way into the lake: written once into scratch, then moved day by day.

Spark writes one directory per delivery day below `<scratch>/<dataset>/`, and for events and reviews
one per own day below that (`write_outcomes`). Each directory's files are then renamed to
`part-00000.parquet`, …, in the order of the tasks that wrote them, so that the same rows give the
same files under the same names, and moved to `<run>/event_date=E/` (`review_date=E/`). The own day
stays a column of the file, so a file that is read alone misses nothing. A delivery without rows
gets one file without rows.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections import Counter
from pathlib import Path

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.cleaning.rows.row_rules import (
    EVIDENCE,
    OWN_DAY,
    RAW,
    REASON,
    RESTORABLE_RULES,
    own_day_column,
)
from pipeline.cleaning.write_outcomes import DELIVERY, OWN_DIRECTORY
from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.datasets import CLEANED_EVENTS, REMOVED_EVENTS, cleaned
from pipeline.encryption.parquet_files import read_table, row_count, write_table
from pipeline.lake import storage_errors
from pipeline.sources.reader_columns import DAY, FILE

LATE_REMOVED = "late_removed_events"


def write_late(rows: DataFrame, dataset: str, scratch: Path) -> None:
    """Good events or reviews with their `run_date` and `__own_day`, beside those on time."""
    # Never null, but Spark forgets that of late rows, and files of one day are to have one schema.
    rows = rows.withColumn("source", F.coalesce("source", F.lit("")))
    columns = load_contract(cleaned(dataset)).column_names
    days = (F.col(DELIVERY), F.col(OWN_DAY).alias(OWN_DIRECTORY))
    rows.select(*columns, *days).write.mode("append").partitionBy(DELIVERY, OWN_DIRECTORY).parquet(
        str(scratch / dataset)
    )


def write_quarantine(refused: DataFrame, dataset: str, source: str, scratch: Path) -> None:
    """Refused rows as `rows_with_outcome` gives them, in the quarantine contract's columns."""
    rows = refused.withColumn(DELIVERY, F.col(DAY))
    refused = rows.select(*quarantine_columns(dataset, source))
    ordered = refused.repartition(1).sortWithinPartitions(DELIVERY, "file", "reason", "raw")
    write_rows(ordered, quarantine_scratch(scratch, dataset))


def quarantine_columns(dataset: str, source: str) -> list[Column]:
    """The quarantine contract's columns, and the delivery."""
    return [
        F.lit(dataset).alias("dataset"),
        F.lit(source).alias("source"),
        F.col(FILE).alias("file"),
        F.col(REASON).alias("reason"),
        F.col(RAW).alias("raw"),
        F.lit(1).cast("bigint").alias("rows"),
        F.col(DELIVERY),
    ]


def write_removed_events(removed: DataFrame, scratch: Path) -> None:
    """Removed rows that a later delivery may restore; `removed` is from `rows_with_outcome`."""
    kept = removed.where(F.col(REASON).isin(*RESTORABLE_RULES))
    write_removed(kept.withColumn(DELIVERY, F.col(DAY)), scratch / REMOVED_EVENTS)


def write_removed(rows: DataFrame, directory: Path) -> None:
    """Removed events with their `run_date`, reason and evidence, in the contract's columns."""
    columns = load_contract(CLEANED_EVENTS).column_names
    seen = load_contract(REMOVED_EVENTS).column_names[len(columns) + 1 :]
    evidence = [F.col(EVIDENCE).getField(name).alias(name) for name in seen]
    rule = F.col(REASON).alias("rule")
    write_rows(rows.select(*columns, rule, *evidence, F.col(DELIVERY)), directory)


def quarantine_scratch(scratch: Path, dataset: str) -> Path:
    """Where a dataset's refused rows wait."""
    return scratch / f"quarantine_{dataset}"


def late_quarantine(scratch: Path, dataset: str) -> Path:
    """Where late rows wait that lose to a row of the same id."""
    return scratch / f"late_quarantine_{dataset}"


def day_files(directory: Path, day: dt.date) -> list[Path]:
    """The files of a delivery day: by own day, then in the order of the tasks."""
    return sorted((directory / f"run_date={day.isoformat()}").rglob("part-*.parquet"))


def own_day_of(file: Path) -> dt.date | None:
    """The own day that a file in scratch holds; none for items and users."""
    name = file.parent.name
    return (
        dt.date.fromisoformat(name[len(OWN_DIRECTORY) + 1 :])
        if name.startswith(f"{OWN_DIRECTORY}=")
        else None
    )


def late_rows(files: list[Path], day: dt.date) -> dict[str, int]:
    """How many late rows a delivery has, by own day."""
    counts: Counter[str] = Counter()
    for file in files:
        own = own_day_of(file)
        if own is not None and own != day:
            counts[own.isoformat()] += rows_in([file])
    return dict(sorted(counts.items()))


def rows_in(files: list[Path]) -> int:
    """How many rows the files' footers count."""
    return sum(row_count(file) for file in files)


def reasons_in(files: list[Path]) -> dict[str, int]:
    """Refused rows by reason, counted in the files."""
    counts: Counter[str] = Counter()
    for file in files:
        refused = read_table(file, columns=["reason", "rows"])
        for group in refused.group_by("reason").aggregate([("rows", "sum")]).to_pylist():
            counts[group["reason"]] += group["rows_sum"]
    return dict(sorted(counts.items()))


def bots_in(scratch: Path, days: list[dt.date]) -> dict[str, int]:
    """How many users' days were bots', with how many events, and the events of the busiest day."""
    user_days: Counter[tuple[str, dt.date]] = Counter()
    for day in days:
        for directory in (REMOVED_EVENTS, LATE_REMOVED):
            for file in day_files(scratch / directory, day):
                rows = read_table(file, columns=["user_id", "event_date", "rule"]).to_pylist()
                user_days.update(
                    (row["user_id"], row["event_date"]) for row in rows if row["rule"] == "bot"
                )
    if not user_days:
        return {}
    return {
        "user_days": len(user_days),
        "events": user_days.total(),
        "most_events": max(user_days.values()),
    }


def move_into(directory: Path, files: list[Path], prefix: str) -> None:
    """Rename files into a run's directory."""
    with storage_errors(f"cannot move files into {directory}"):
        for number, file in enumerate(files):
            shutil.move(file, directory / f"{prefix}{number:05d}.parquet")


def move_cleaned(directory: Path, files: list[Path], dataset: str, day: dt.date) -> None:
    """Move a delivery's cleaned files into its run, each own day into a directory of its own."""
    by_day: dict[Path, list[Path]] = {}
    for file in files:
        own = own_day_of(file)
        by_day.setdefault(_partition(directory, dataset, own or day), []).append(file)
    with storage_errors(f"cannot make directories in {directory}"):
        for target in by_day:
            target.mkdir(exist_ok=True)
    for target, of_day in by_day.items():
        move_into(target, of_day, "part-")
    if not files:
        write_empty(_partition(directory, dataset, day), cleaned(dataset), "part-")


def write_empty(directory: Path, contract: str, prefix: str) -> None:
    """A file without rows, so that a reader finds the columns of an empty day."""
    with storage_errors(f"cannot write {directory}"):
        directory.mkdir(exist_ok=True)
        schema = arrow_schema(load_contract(contract))
        write_table(schema.empty_table(), directory / f"{prefix}00000.parquet")


def _partition(directory: Path, dataset: str, own_day: dt.date) -> Path:
    column = own_day_column(dataset)
    return directory / f"{column}={own_day.isoformat()}" if column else directory


def write_rows(frame: DataFrame, directory: Path) -> None:
    """A frame with a `run_date`, as one directory per delivery."""
    frame.write.mode("overwrite").partitionBy(DELIVERY).parquet(str(directory))
