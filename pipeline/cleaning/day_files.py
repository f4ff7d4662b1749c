"""Cleaned rows on their way into the lake: written once into scratch, then moved day by day.

Spark writes one directory per delivery day below `<scratch>/<dataset>/`; each day's files are then
renamed to `<prefix>00000.parquet`, …, in the order of the tasks that wrote them, so that the same
rows give the same files under the same names. A day without rows gets one file with none.
"""

from __future__ import annotations

import datetime as dt
import math
import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.cleaning.tagging import FATE, OUT, QUARANTINED, RAW, REASON
from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import conform
from pipeline.lake import storage_errors
from pipeline.sources.readers import DAY, FILE

_BYTES_PER_FILE = 512 * 1024 * 1024  # of raw input; cleaned Parquet is a fifth to a half of it


def one_place_per_day(frame: DataFrame, partitions: int, bytes_per_day: int, key: str) -> DataFrame:
    """The frame with a day's rows in one task, or in a few where the day is large.

    The windows over (day, key) that follow need no further shuffle where one task has the day.
    """
    files = max(1, math.ceil(bytes_per_day / _BYTES_PER_FILE))
    if files == 1:
        return frame.repartition(partitions, DAY)
    bucket = F.pmod(F.hash(key), F.lit(files))
    return frame.repartition(max(partitions, files), F.col(DAY), bucket)


def write_cleaned(tagged: DataFrame, dataset: str, scratch: Path) -> None:
    """The rows that stay, as `<scratch>/<dataset>/run_date=D/*.parquet`, in the contract's columns."""
    contract = load_contract(f"cleaned_{dataset}")
    rows = tagged.where(F.col(FATE) == OUT)
    _write(
        rows.select(
            *conform(rows, contract).columns,
            F.col(DAY).alias("run_date"),
        ),
        scratch / dataset,
    )


def write_quarantine(tagged: DataFrame, dataset: str, source: str, scratch: Path) -> None:
    """The refused rows, in the quarantine contract's columns."""
    rows = tagged.where(F.col(FATE) == QUARANTINED).select(
        F.lit(dataset).alias("dataset"),
        F.lit(source).alias("source"),
        F.col(FILE).alias("file"),
        F.col(REASON).alias("reason"),
        F.col(RAW).alias("raw"),
        F.col(DAY).alias("run_date"),
    )
    ordered = rows.repartition(1).sortWithinPartitions("run_date", "file", "reason", "raw")
    _write(ordered, quarantine_scratch(scratch, dataset))


def quarantine_scratch(scratch: Path, dataset: str) -> Path:
    """Where a dataset's refused rows wait."""
    return scratch / f"quarantine_{dataset}"


def day_files(directory: Path, day: dt.date) -> list[Path]:
    """What was written for a day, in the order of the tasks."""
    return sorted((directory / f"run_date={day.isoformat()}").glob("part-*.parquet"))


def rows_in(files: list[Path]) -> int:
    """Rows, from the files' footers."""
    return sum(pq.read_metadata(file).num_rows for file in files)


def reasons_in(files: list[Path]) -> dict[str, int]:
    """Refused rows by reason, counted in what was written."""
    counts: Counter[str] = Counter()
    for file in files:
        counts.update(str(value) for value in pq.read_table(file, columns=["reason"])["reason"])
    return dict(sorted(counts.items()))


def move_into(directory: Path, files: list[Path], prefix: str) -> None:
    """Rename files into a run's directory."""
    with storage_errors(f"cannot move files into {directory}"):
        for number, file in enumerate(files):
            shutil.move(file, directory / f"{prefix}{number:05d}.parquet")


def write_empty(directory: Path, contract: str, prefix: str) -> None:
    """A file without rows, so that a reader finds the columns of an empty day."""
    with storage_errors(f"cannot write {directory}"):
        schema = arrow_schema(load_contract(contract))
        pq.write_table(schema.empty_table(), directory / f"{prefix}00000.parquet")


def _write(frame: DataFrame, directory: Path) -> None:
    frame.write.mode("overwrite").partitionBy("run_date").parquet(str(directory))
