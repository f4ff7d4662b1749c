"""Which items the catalogue knows on each delivery day, and since when.

Reads `cleaned_items` of days before, the newest `catalogue` that still holds, and the items that
the same pass has written to scratch.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.cleaning.day_files import day_files
from pipeline.cleaning.late.late_context import delivery_of_file
from pipeline.datasets import CATALOGUE, CLEANED_ITEMS
from pipeline.lake import Lake, Partition
from pipeline.lineage import Lineage, inputs_upto, lineage_of
from pipeline.sources.source import Source


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
        for day in lake.dates(CLEANED_ITEMS, days[-1])
        if day > since and day not in set(days)
        for file in lake.require(CLEANED_ITEMS, day).files
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
    """The newest catalogue before a day that was made from the deliveries as they are now.

    It names the first delivery of each item, so that the deliveries need not be opened again: the
    cost of a night does not grow with the number of nights before it.
    """
    deliveries = Lineage(inputs_upto(lake, [CLEANED_ITEMS], day))
    for date in reversed(lake.dates(CATALOGUE, day - dt.timedelta(days=1))):
        catalogue = lake.whole(CATALOGUE, date)
        lineage = lineage_of(catalogue) if catalogue else None
        if catalogue and lineage and lineage.inputs == deliveries.upto(date).inputs:
            return catalogue
    return None
