"""The one shuffle of a pass: rows that the rules over several rows compare come to one task."""

from __future__ import annotations

import math

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.cleaning.rows.row_rules import BUCKET, OWN_DAY
from pipeline.sources.source import KEY_COLUMN, TIME_COLUMN

# Raw text that a task can sort in a few hundred megabytes of memory. A cleaned file is about a
# tenth of it.
_BYTES_PER_TASK = 64 * 1024 * 1024


def place(
    frame: DataFrame, dataset: str, *, partitions: int, days: int, bytes_per_day: int
) -> DataFrame:
    """The frame shuffled once, so that rows that are compared lie in one task.

    These are a user's own day, or an item or user of a delivery. A small day goes to one task; a
    large one is cut into buckets by hash of its user (item), as many for every day of the pass.
    """
    key = "user_id" if dataset in TIME_COLUMN else KEY_COLUMN[dataset]
    pieces = max(1, math.ceil(bytes_per_day / _BYTES_PER_TASK))
    # Never by a column that is one constant: Spark drops constants from what a window needs, takes
    # the two for different, and shuffles again before each window.
    if days == 1:
        return frame.repartition(pieces, OWN_DAY, key)
    if pieces == 1:
        return frame.repartition(partitions, OWN_DAY)
    bucket = F.pmod(F.xxhash64(key), F.lit(pieces)).cast("int")
    return frame.withColumn(BUCKET, bucket).repartition(
        max(partitions, min(days * pieces, 1000)), OWN_DAY, BUCKET
    )
