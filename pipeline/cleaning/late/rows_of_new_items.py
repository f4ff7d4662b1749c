"""Rows that were quarantined as `item_unknown`, taken in when a delivery first has their item.

Reads `quarantine` of days before, and what the same pass has quarantined in scratch.

The delivery whose catalogue first has the item takes the row in as a late row, in the row's own
day. The row stays in quarantine too, because a committed day never changes. The catalogue alone
says which rows are released, so a delivery that is cleaned again takes in the same ones. The
horizon of late rows holds for them too (`late_horizon`).

Quarantine has texts scrubbed and ids as keyed hashes, and the rows are mapped again from that. Its
row keeps the id that the row would have had on time, and the values that were read from a column of
ids (`redaction`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.cleaning.day_files import day_files, quarantine_scratch
from pipeline.cleaning.late.late_context import delivery_of_file
from pipeline.cleaning.late.late_horizon import oldest_own_date, oldest_own_day
from pipeline.cleaning.rows.redaction import kept, kept_columns
from pipeline.cleaning.rows.row_rules import LATE, OUTCOME, Rules, apply_row_rules
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.datasets import QUARANTINE
from pipeline.lake import Lake
from pipeline.sources.reader_columns import DAY, FILE, LINE

UNKNOWN = "item_unknown"


def released_rows(
    known: DataFrame,
    files: Sequence[Path],
    days: Sequence[dt.date],
    rules: Rules,
    to_mapped: Callable[[DataFrame], DataFrame],
) -> DataFrame:
    """The rows that the deliveries of a pass take out of quarantine, as late rows.

    `__day` is the delivery that takes a row in.

    Args:
        known: what `known_items` gives.
        files: quarantine files that may hold such rows, at least one.
        days: the deliveries.
        rules: of the dataset.
        to_mapped: `mapping.map_rows` of raw rows whose users are hashed.
    """
    dataset = rules.dataset
    names = [*dataset.columns, *map(kept, kept_columns(dataset))]
    raw = T.StructType([T.StructField(name, T.StringType()) for name in names])
    refused = (
        known.sparkSession.read.schema(spark_schema(load_contract(QUARANTINE)))
        .parquet(*(str(file) for file in files))
        .where((F.col("dataset") == dataset.name) & (F.col("reason") == UNKNOWN))
        .select(
            F.from_json("raw", raw).alias("row"),
            F.col("file").alias(FILE),
            delivery_of_file().alias(DAY),
        )
        .select(
            *(F.col("row").getField(name).alias(name) for name in names),
            FILE,
            DAY,
            F.lit(None).cast("string").alias(LINE),
        )
    )
    learned = known.where(F.col("first_day").isin(list(days))).withColumnRenamed(
        "item_id", "__learned"
    )
    in_time = (F.col("first_day") > F.col("__refused_on")) & (
        oldest_own_day(F.col("first_day"), rules.limits) <= F.col("__refused_on")
    )
    taken_in = (
        to_mapped(refused)
        .withColumnRenamed(DAY, "__refused_on")
        .join(learned, (F.col("item_id") == F.col("__learned")) & in_time, "inner")
        .withColumnRenamed("first_day", DAY)
        .drop("__learned", "__refused_on")
    )
    return apply_row_rules(taken_in, rules, None).where(F.col(OUTCOME) == LATE)


def newly_known(known: DataFrame, files: Sequence[Path], days: Sequence[dt.date]) -> bool:
    """Whether a pass brings an item that is younger than the oldest of some quarantine files."""
    first = min(dt.date.fromisoformat(_delivery_day(file)) for file in files)
    learned = F.col("first_day").isin(list(days)) & (F.col("first_day") > F.lit(first))
    return not known.where(learned).isEmpty()


def _delivery_day(file: Path) -> str:
    """The last `run_date=` of a path."""
    return next(
        part.removeprefix("run_date=")
        for part in reversed(file.parts)
        if part.startswith("run_date=")
    )


def quarantined_files(
    lake: Lake, scratch: Path, rules: Rules, days: Sequence[dt.date]
) -> list[Path]:
    """Quarantine files of a dataset that may hold rows to release."""
    dataset = rules.dataset.name
    oldest = oldest_own_date(days[0], rules.limits)
    stored = [
        file
        for date in lake.dates(QUARANTINE, upto=days[-1])
        if date >= oldest and date not in set(days)
        for file in lake.require(QUARANTINE, date).files
        if file.name.startswith(f"{dataset}-")
    ]
    refused = quarantine_scratch(scratch, dataset)
    return [*stored, *(file for day in days for file in day_files(refused, day))]
