"""Reading the past of a night, and writing a night's dataset, in few files and a fixed order.

Reads the partitions that `current.json` names, by the file list of their manifests: a directory
that is being written, or an earlier attempt of the same delivery, is never read. The same rows
therefore come out however often a delivery was cleaned again. Of events and reviews, rows that a
later delivery took back (`retractions`) are no part of the past (docs/adr/0007).

Writes Parquet files named by their number, whose bytes depend on the rows alone.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.lake import Lake, Partition, storage_errors

DELIVERED = "run_date"  # the delivery day, a date column beside the contract's columns

RETRACTIONS = "retractions"
# What of a cleaned dataset can be taken back, and the columns that name a row beside its user.
RETRACTED = {
    "cleaned_events": ("events", "event_date", "event_id"),
    "cleaned_reviews": ("reviews", "review_date", "review_id"),
}

# Below this a file is too small to be worth opening: a row of events is about 60 bytes of zstd.
ROWS_PER_FILE = 250_000
MOST_ROWS_PER_FILE = 2_000_000  # an act takes 500 bytes while it is copied (acts_files.py)


def read_past(spark: SparkSession, lake: Lake, name: str, upto: dt.date) -> DataFrame:
    """Every row delivered up to and including a date, with its delivery day as `run_date`.

    Without those that a delivery after their own, and not after the date, took back. A dataset of
    which nothing was delivered is an empty frame.
    """
    delivered = read_deliveries(spark, lake, name, lake.past(name, upto))
    retractions = [part for part in lake.past(RETRACTIONS, upto) if part.rows]
    if name not in RETRACTED or not retractions:
        return delivered
    dataset, *row = RETRACTED[name]
    taken_back = read_deliveries(spark, lake, RETRACTIONS, retractions)
    newest = (
        taken_back.where(F.col("dataset") == dataset)
        .select(
            "user_id", F.col("event_date").alias(row[0]), F.col("event_id").alias(row[1]), DELIVERED
        )
        .groupBy("user_id", *row)
        .agg(F.max(DELIVERED).alias("__retracted"))
    )
    stands = F.col("__retracted").isNull() | (F.col("__retracted") <= F.col(DELIVERED))
    return (
        delivered.join(newest, ["user_id", *row], "left").where(stands).select(*delivered.columns)
    )


def read_deliveries(
    spark: SparkSession, lake: Lake, name: str, partitions: Iterable[Partition]
) -> DataFrame:
    """The rows of some deliveries of a dataset as they were written, beside their `run_date`."""
    schema = spark_schema(load_contract(name))
    files = [str(file) for part in partitions if part.rows for file in part.files]
    if not files:
        return spark.createDataFrame([], schema.add(DELIVERED, T.DateType()))
    # The path's own run_date becomes a column, so that one scan reads hundreds of deliveries.
    stored = spark.read.option("basePath", str(lake.dataset(name))).schema(schema).parquet(*files)
    # A column that is in the path too (event_date) is taken from there, and comes last.
    return stored.select(*schema.names, F.col(DELIVERED).cast("date").alias(DELIVERED))


def past_rows(lake: Lake, name: str, upto: dt.date) -> int:
    """How many rows `read_past` gives, by the writers' own count."""
    rows = sum(partition.rows for partition in lake.past(name, upto))
    if name in RETRACTED:
        for partition in lake.past(RETRACTIONS, upto):
            rows -= int(partition.manifest.get("by_dataset", {}).get(RETRACTED[name][0], 0))
    return rows


def directories_read(lake: Lake, upto: dt.date) -> dict[str, dict[str, str]]:
    """Which directory of each delivery a night's events and reviews are read from.

    For the manifest of its histories: `nightcart status` says of a night whose deliveries were
    cleaned again since (pipeline/publishing/outdated.py).
    """
    return {
        name: {day.isoformat(): where for day, where in lake.pointers(name, upto).items()}
        for name in RETRACTED
    }


def file_count(rows: int, most: int) -> int:
    """Into how many files (and tasks) to cut so many rows.

    The most is doubled until no file is too large to be held: seldom, because what is cut into
    another number than the night before cannot be copied from it.
    """
    while rows > most * MOST_ROWS_PER_FILE:
        most *= 2
    return max(1, min(most, math.ceil(rows / ROWS_PER_FILE)))


def write_sorted(
    frame: DataFrame, directory: Path, *, key: str, files: int, order: Sequence[str] = ()
) -> int:
    """Write a frame into `files` files by hash of its key; return the rows.

    Each file is sorted by the key, then by `order`, which together must tell all rows apart. Rows
    are counted in what was written. A frame that is already cut by the same key into as many
    partitions is not shuffled again.
    """
    with storage_errors(f"cannot write {directory}"):
        cut = frame.repartition(files, key).sortWithinPartitions(key, *order)
        # The directory exists and is empty: `append` is Spark's word for writing into it.
        cut.write.mode("append").parquet(str(directory))
        _name_by_number(directory)
        return sum(pq.read_metadata(file).num_rows for file in directory.glob("*.parquet"))


def _name_by_number(directory: Path) -> None:
    """Spark's names carry a random id, and its checksum files would not survive the renaming."""
    for aside in directory.glob(".*.crc"):
        aside.unlink()
    for file in directory.glob("part-*.parquet"):
        file.rename(file.with_name(f"{'-'.join(file.name.split('-')[:2])}.parquet"))
