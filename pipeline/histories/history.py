"""One row per user with item events: the ordered past as known at the end of a night's day.

Pure `DataFrame -> DataFrame`. In: `cleaned_events`, `cleaned_reviews` and `cleaned_users` of the
past, each with its delivery day as `run_date`. Out: the `histories` contract.

Order within a user: time; then what usually comes first at one instant (view, cart, purchase,
rating, return); then the event's id. An event that two deliveries brought counts once: the first
delivery wins, then the smaller row.

Scale: one shuffle by `user_id`; the two windows and the aggregation that follow sort within it and
spill to disk, and only the last `max_events` events of a user are ever held as an array.

Gives up: the order of events that carry only a day is that of their ids, not of the shop's file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import conform
from pipeline.histories.past import DELIVERED

ITEM_EVENTS = ("view", "cart", "purchase", "rating", "return")  # in the order of one instant
OWNING_EVENTS = ("purchase", "rating")
MAX_QUERIES = 3

_ORDER = ("event_time", "kind", "event_id")
_ACT = ("event_time", "event_date", "event_type", "item_id", "query")


def user_acts(events: DataFrame, reviews: DataFrame, night: dt.date) -> DataFrame:
    """Events and reviews (as `rating`) in one shape, none after the night's day.

    The deliveries' own rule already keeps the future out; this guards against a partition that
    was written before the rule, or by hand.
    """
    acts = events.select("user_id", "event_id", *_ACT, DELIVERED)
    ratings = reviews.select(
        "user_id",
        # A review's id may equal an event's: they come from different files of the shop.
        F.concat(F.lit("review:"), "review_id").alias("event_id"),
        F.col("review_time").alias("event_time"),
        F.col("review_date").alias("event_date"),
        F.lit("rating").alias("event_type"),
        "item_id",
        F.lit(None).cast("string").alias("query"),
        DELIVERED,
    )
    return acts.unionByName(ratings).where(F.col("event_date") <= F.lit(night))


def without_repeats(acts: DataFrame, partitions: int) -> DataFrame:
    """Each event of a user once, however many deliveries brought it; cut by `user_id`."""
    first = F.min(F.struct(DELIVERED, *_ACT)).alias("first")
    return (
        acts.repartition(partitions, "user_id")
        .groupBy("user_id", "event_id")
        .agg(first)
        .select("user_id", "event_id", *(F.col(f"first.{name}").alias(name) for name in _ACT))
    )


def pasts(
    acts: DataFrame, *, night: dt.date, active_days: int, max_events: int, targets: Sequence[str]
) -> DataFrame:
    """One row per user with item events: the history's columns but for consent and split.

    Args:
        acts: what `without_repeats` returns.
        night: the last day that is known.
        active_days: an event of any kind within so many days makes a user active.
        max_events: how many item events the arrays keep.
        targets: the event types whose last new item is held out.
    """
    newest_first = [F.col(name).desc() for name in _ORDER]
    is_item = F.col("event_type") != "search"
    marks = acts.withColumn("kind", F.array_position(F.lit(list(ITEM_EVENTS)), F.col("event_type")))
    by_item = Window.partitionBy("user_id", "item_id").orderBy(*_ORDER)
    before = by_item.rowsBetween(Window.unboundedPreceding, -1)
    had = F.col("event_type").isin(*sorted({*OWNING_EVENTS, *targets})).cast("int")
    # Searches have no item, and rank among themselves: their `age` chooses the last queries.
    by_user = Window.partitionBy("user_id", is_item).orderBy(*newest_first)
    ranked = marks.select(
        "*",
        (
            F.col("event_type").isin(*targets)
            & (F.coalesce(F.sum(had).over(before), F.lit(0)) == 0)
        ).alias("is_new_target"),
        F.row_number().over(by_user).alias("age"),
    )
    item_event = F.struct(*_ORDER, "event_type", "item_id", "is_new_target")
    search = F.struct(*_ORDER, "query")
    kept = is_item & (F.col("age") <= max_events)
    grouped = ranked.groupBy("user_id").agg(
        F.sort_array(F.collect_list(F.when(kept, item_event))).alias("past"),
        F.sort_array(
            F.collect_list(F.when(~is_item & (F.col("age") <= MAX_QUERIES), search))
        ).alias("searches"),
        F.sort_array(
            F.collect_set(F.when(F.col("event_type").isin(*OWNING_EVENTS), F.col("item_id")))
        ).alias("owned_item_ids"),
        F.count_if(is_item).cast("int").alias("n_events"),
        F.count_if(F.col("event_type") == "rating").alias("n_ratings"),
        F.max("event_time").alias("last_event_time"),
        F.max("event_date").alias("last_event_date"),
    )
    return grouped.where(F.col("n_events") > 0).select(
        "user_id",
        *_arrays(),
        "owned_item_ids",
        "n_events",
        "n_ratings",
        "last_event_time",
        (F.date_diff(F.lit(night), "last_event_date") < active_days).alias("active"),
        _holdout_index().alias("holdout_index"),
    )


def newest_users(users: DataFrame) -> DataFrame:
    """Each user's newest row, whole. Should two of one delivery meet, the one without consent."""
    newest = F.max(F.struct(F.col(DELIVERED), ~F.col("consent"), "consent", "language", "region"))
    return (
        users.groupBy("user_id")
        .agg(newest.alias("newest"))
        .select(
            "user_id",
            *(F.col(f"newest.{name}").alias(name) for name in ("consent", "language", "region")),
        )
    )


def with_users(pasts_of_users: DataFrame, newest: DataFrame) -> DataFrame:
    """Pasts beside what the shop last said of each user; `consent` is null where it never did."""
    return pasts_of_users.join(newest, on="user_id", how="left")


def histories(joined: DataFrame, seed: int) -> DataFrame:
    """`with_users` as the `histories` contract: no word on consent is no consent."""
    rows = joined.withColumn("consent", F.coalesce("consent", F.lit(False))).withColumn(
        "holdout_split", F.when(F.col("holdout_index").isNotNull(), holdout_split(seed))
    )
    return conform(rows, load_contract("histories"))


def holdout_split(seed: int) -> Column:
    """`validation` or `test`, half of the users each; the same every night, whatever the order.

    MD5 because it is an expression of every engine: the split is not a secret.
    """
    digest = F.md5(F.concat_ws(":", F.lit("holdout"), F.lit(str(seed)), F.col("user_id")))
    return F.when(F.substring(digest, 1, 1) < "8", F.lit("validation")).otherwise(F.lit("test"))


def _arrays() -> list[Column]:
    return [
        F.col("past.item_id").alias("item_ids"),
        F.col("past.event_type").alias("event_types"),
        F.col("past.event_time").alias("event_times"),
        F.col("searches.query").alias("queries"),
        F.col("searches.event_time").alias("query_times"),
    ]


def _holdout_index() -> Column:
    """The last new target's place in the arrays; null where it is the first, or before them."""
    places = F.transform("past", lambda event, place: F.when(event["is_new_target"], place))
    # array_max of an empty array, or of nulls alone, is null.
    last = F.array_max(places)
    return F.when(last >= 1, last)
