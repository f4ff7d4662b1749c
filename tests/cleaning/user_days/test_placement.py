"""Rows are shuffled once, whatever the days' size and number, and sorted no more than needed."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

from pipeline.cleaning.rows.row_rules import BUCKET, OWN_DAY
from pipeline.cleaning.user_days.multi_row_rules import apply_multi_row_rules
from pipeline.cleaning.user_days.placement import place
from pipeline.settings import Cleaning
from tests.cleaning.user_days.user_days_by_hand import event, rules_of, with_row_outcomes

LARGE = 200 * 1024 * 1024


@pytest.mark.parametrize(("days", "bytes_per_day"), [(1, 1), (1, LARGE), (9, 1), (9, LARGE)])
def test_rows_that_are_compared_need_no_second_shuffle(
    spark: SparkSession, days: int, bytes_per_day: int
) -> None:
    """A window over a user's own day finds its rows in one task already."""
    rows = spark.range(100).select(
        F.lit(0).alias(BUCKET),
        F.expr("date_add(DATE '2026-03-01', CAST(id % 3 AS int))").alias(OWN_DAY),
        F.col("id").cast("string").alias("user_id"),
    )
    placed = place(rows, "events", partitions=4, days=days, bytes_per_day=bytes_per_day)
    user_day = Window.partitionBy(OWN_DAY, BUCKET, "user_id")
    resolved = placed.withColumn("n", F.count("*").over(user_day))
    plan = resolved._jdf.queryExecution().executedPlan().toString()
    assert plan.count("Exchange ") == 1


def test_events_are_sorted_once_for_the_rules(spark: SparkSession) -> None:
    """By time, which is the order of their files; and where a pass has many days, that stays so."""
    rows = place(
        with_row_outcomes(spark, [event("u", "e", 1)]),
        "events",
        partitions=4,
        days=1,
        bytes_per_day=LARGE,
    )
    resolved = apply_multi_row_rules(rows, rules_of(Cleaning()))
    by_file = resolved.sortWithinPartitions("__own_day", "user_id")
    plans = [frame._jdf.queryExecution().executedPlan().toString() for frame in (resolved, by_file)]
    assert [plan.count("Sort [") for plan in plans] == [1, 2]
    assert [plan.count("Exchange ") for plan in plans] == [1, 1]
