"""Reading the past of a night: every row that was delivered up to it and still stands.

Reads the partitions that `current.json` names, by the file list of their manifests: a directory
that is being written, or an earlier attempt of the same delivery, is never read. So the same rows
come out however often a delivery was cleaned again. Events and reviews that a later delivery took
back (`retractions`) are no part of the past (docs/adr/0007).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.datasets import CLEANED_EVENTS, CLEANED_REVIEWS
from pipeline.lake import Lake, Partition

DELIVERED = "run_date"  # the delivery day, a date column beside the contract's columns

RETRACTIONS = "retractions"
# The datasets with rows that can be taken back, and the columns that name a row beside its user.
RETRACTED = {
    CLEANED_EVENTS: ("events", "event_date", "event_id"),
    CLEANED_REVIEWS: ("reviews", "review_date", "review_id"),
}


def read_past(spark: SparkSession, lake: Lake, name: str, upto: dt.date) -> DataFrame:
    """Every row delivered up to and including a date, with its delivery day as `run_date`.

    Rows that a delivery after their own, and not after the date, took back are left out. A dataset
    of which nothing was delivered is an empty frame.
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
