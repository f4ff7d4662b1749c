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


PAST = (
    "past array<struct<event_time: int, event_type: string, item_id: string, new_target: boolean, "
    "cancelled: boolean>>"
)
AGAIN = ("purchase", "rating")


def test_what_is_held_out_where_items_come_again_and_where_they_do_not(spark: SparkSession) -> None:
    """A view, a new purchase, the same again, again but cancelled, a view."""
    past = [
        (1, "view", "a", False, False),
        (2, "purchase", "a", True, False),
        (3, "purchase", "a", False, False),
        (4, "purchase", "a", False, True),
        (5, "view", "a", False, False),
    ]
    frame = spark.createDataFrame([(past,), (past[1:2],), (past[:1],)], PAST)
    found = frame.select(
        holdout_index("past").alias("new"),
        holdout_index("past", AGAIN).alias("again"),
        holdout_index("past", ("view",)).alias("views"),
    ).collect()
    assert [tuple(row) for row in found] == [(1, 2, 4), (None, None, None), (None, None, None)]


def test_what_the_known_past_names_is_not_held_out(spark: SparkSession) -> None:
    """A review of what was bought, an order's second line of an item."""
    first = (1, "purchase", "z", True, False)
    bought = (2, "purchase", "a", True, False)
    rated = (6, "rating", "a", False, False)
    returned = [(2, "purchase", "a", False, True), (3, "return", "a", False, False)]
    pasts = {
        "bought, rated": ([first, bought, rated], 1),
        "a rating is all that is known of it": ([first, (6, "rating", "a", True, False)], 1),
        "bought, returned, rated": ([first, *returned, (6, "rating", "a", True, False)], None),
        "two lines of an order": ([first, bought, (2, "purchase", "a", False, False)], 1),
        "a line of another item": ([first, bought, (2, "purchase", "b", True, False)], 2),
        "again later": ([first, bought, (3, "purchase", "a", False, False)], 2),
        "seen at the same instant": ([first, (2, "view", "a", False, False), bought], None),
    }
    frame = spark.createDataFrame([(past,) for past, _ in pasts.values()], PAST).coalesce(1)
    found = frame.select(holdout_index("past", AGAIN).alias("again")).collect()
    assert dict(zip(pasts, [row["again"] for row in found], strict=True)) == {
        name: expected for name, (_, expected) in pasts.items()
    }
    new = frame.select(holdout_index("past").alias("new")).collect()
    assert [row["new"] for row in new] == [1, 1, None, 1, 2, 1, 2]
