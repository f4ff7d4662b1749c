"""What the catalogue knows of, and rows that were refused only because it did not know an item yet.

Reads `cleaned_items` and `quarantine` of days before, and what the same pass has written to scratch.

A row that was refused as `item_unknown` is taken in by the delivery whose catalogue first has its
item, as a row that came late: its own day is still its own. It stays in quarantine too, where a
committed day never changes; which of them are released is told by the catalogue alone, so a
delivery that is cleaned again takes in the same ones. Too late is what the horizon says of any row.

Gives up: what quarantine keeps has its texts scrubbed and its user as keyed hash, and is mapped
again from that. A row without an id of the retailer's whose text was scrubbed has another stand-in
id than the same row would have had on time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.cleaning.day_files import day_files, quarantine_scratch
from pipeline.cleaning.late_context import delivery_of_file
from pipeline.cleaning.tagging import FATE, LATE, Rules, tag_rows
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.lake import Lake, Partition
from pipeline.sources.readers import DAY, FILE, LINE
from pipeline.sources.source import Source

UNKNOWN = "item_unknown"


def known_items(
    spark: SparkSession, lake: Lake, source: Source, scratch: Path, days: Sequence[dt.date]
) -> DataFrame | None:
    """`item_id`, `first_day`: the first delivery that brought it, up to the pass's last.

    None where the source has no catalogue.
    """
    if "items" not in source.datasets:
        return None
    earlier = catalogue_before(lake, days[0])
    since = earlier.run_date if earlier else dt.date.min
    stored = [
        str(file)
        for day in lake.dates("cleaned_items", days[-1])
        if day > since and day not in set(days)
        for file in lake.require("cleaned_items", day).files
    ]
    fresh = [str(file) for day in days for file in day_files(scratch / "items", day)]
    frames = []
    if stored or fresh:
        frame = spark.read.schema("item_id string").parquet(*stored, *fresh)
        frames.append(frame.select("item_id", delivery_of_file().alias("day")))
    if earlier and earlier.rows:
        dated = spark.read.schema("item_id string, first_seen_date date")
        frame = dated.parquet(*(str(file) for file in earlier.files))
        frames.append(frame.select("item_id", F.col("first_seen_date").alias("day")))
    if not frames:
        return None
    seen = reduce(DataFrame.unionByName, frames)
    return seen.groupBy("item_id").agg(F.min("day").alias("first_day"))


def catalogue_before(lake: Lake, day: dt.date) -> Partition | None:
    """The newest catalogue of a night before a day that all deliveries up to it still make up.

    It says of each item which delivery first brought it, so that these need not be opened again:
    what a night costs does not grow with the number of nights before it.
    """
    deliveries = lake.pointers("cleaned_items", day)
    for date in reversed(lake.dates("catalogue", day - dt.timedelta(days=1))):
        catalogue = lake.require("catalogue", date)
        now = {str(of): name for of, name in deliveries.items() if of <= date}
        if catalogue.manifest.get("made_from", {}).get("cleaned_items") == now:
            return catalogue
    return None


def released_rows(
    known: DataFrame,
    files: Sequence[Path],
    days: Sequence[dt.date],
    rules: Rules,
    to_mapped: Callable[[DataFrame], DataFrame],
) -> DataFrame:
    """The rows that the deliveries of a pass take out of quarantine, as `tag_rows` gives late rows.

    `__day` is the delivery that takes a row in.

    Args:
        known: what `known_items` gives.
        files: quarantine files that may hold such rows, at least one.
        days: the deliveries.
        rules: of the dataset.
        to_mapped: `mapping.map_rows` of raw rows whose users are hashed.
    """
    dataset = rules.dataset
    raw = T.StructType([T.StructField(name, T.StringType()) for name in dataset.columns])
    refused = (
        known.sparkSession.read.schema(spark_schema(load_contract("quarantine")))
        .parquet(*(str(file) for file in files))
        .where((F.col("dataset") == dataset.name) & (F.col("reason") == UNKNOWN))
        .select(
            F.from_json("raw", raw).alias("row"),
            F.col("file").alias(FILE),
            delivery_of_file().alias(DAY),
        )
        .select(
            *(F.col("row").getField(name).alias(name) for name in dataset.columns),
            FILE,
            DAY,
            F.lit(None).cast("string").alias(LINE),
        )
    )
    learned = known.where(F.col("first_day").isin(list(days))).withColumnRenamed(
        "item_id", "__learned"
    )
    in_time = (F.col("first_day") > F.col("__refused_on")) & (
        F.date_sub("first_day", rules.limits.late_horizon_days) <= F.col("__refused_on")
    )
    taken_in = (
        to_mapped(refused)
        .withColumnRenamed(DAY, "__refused_on")
        .join(learned, (F.col("item_id") == F.col("__learned")) & in_time, "inner")
        .withColumnRenamed("first_day", DAY)
        .drop("__learned", "__refused_on")
    )
    return tag_rows(taken_in, rules, None).where(F.col(FATE) == LATE)


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
    lake: Lake, scratch: Path, dataset: str, days: Sequence[dt.date], *, horizon_days: int
) -> list[Path]:
    """Quarantine files of a dataset that may hold rows to release."""
    oldest = days[0] - dt.timedelta(days=horizon_days)
    stored = [
        file
        for date in lake.dates("quarantine", upto=days[-1])
        if date >= oldest and date not in set(days)
        for file in lake.require("quarantine", date).files
        if file.name.startswith(f"{dataset}-")
    ]
    refused = quarantine_scratch(scratch, dataset)
    return [*stored, *(file for day in days for file in day_files(refused, day))]
