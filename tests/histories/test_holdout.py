"""The split of held-out events is a hash of the user and the seed."""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.histories.holdout import holdout_split


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
