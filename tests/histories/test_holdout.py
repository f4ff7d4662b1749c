"""The split of held-out events is a hash of the user and the seed."""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.histories.holdout import holdout_index, holdout_split


def test_halves_of_the_users_by_hash(spark: SparkSession) -> None:
    ids = spark.range(2000).select(F.md5(F.col("id").cast("string")).alias("user_id"))
    splits = ids.select(
        "user_id",
        holdout_split(1).alias("one"),
        holdout_split(2).alias("two"),
    ).collect()
    validation = {row["user_id"] for row in splits if row["one"] == "validation"}
    other_seed = {row["user_id"] for row in splits if row["two"] == "validation"}
    assert {row["one"] for row in splits} == {"validation", "test"}
    assert abs(len(validation) - 1000) < 100
    # Two seeds agree about half of the users: independent halves.
    assert abs(len(validation & other_seed) - 500) < 100


def test_what_is_held_out_where_items_come_again_and_where_they_do_not(spark: SparkSession) -> None:
    """A view, a new purchase, the same again, again but cancelled, a view."""
    past = [
        ("view", False, False),
        ("purchase", True, False),
        ("purchase", False, False),
        ("purchase", False, True),
        ("view", False, False),
    ]
    schema = "past array<struct<event_type: string, new_target: boolean, cancelled: boolean>>"
    frame = spark.createDataFrame([(past,), (past[1:2],), (past[:1],)], schema)
    found = frame.select(
        holdout_index("past").alias("new"),
        holdout_index("past", ("purchase", "rating")).alias("again"),
        holdout_index("past", ("view",)).alias("views"),
    ).collect()
    assert [tuple(row) for row in found] == [(1, 2, 4), (None, None, None), (None, None, None)]
