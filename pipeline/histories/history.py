"""One row per user with item events: the ordered past as known at the end of a night's day.

Pure `DataFrame -> DataFrame`. In: the night's `acts` and `shoppers`. Out: the `histories` contract.
What is owned, new and cancelled was decided where the whole past was at hand (`acts.py`); here the
tail of each user's past becomes arrays.

A session is the retailer's own where two neighbouring events both name one: another id, another
session. Else it ends with `session_gap_minutes` without an item event. Searches are not counted
in, because only the last few of them are remembered.

Scale: one shuffle by `user_id`; the windows and the aggregation that follow sort within it and
spill to disk, and only the last `max_events` events of a user are ever held as an array.
"""

from __future__ import annotations

import datetime as dt

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import conform
from pipeline.histories.act_order import OWNING_EVENTS, is_item_event, newest_first
from pipeline.histories.acts import MAX_QUERIES

_PLACE = "place"  # counts down to the newest, so that an array sorted by it ends with the newest


def pasts(
    acts: DataFrame,
    *,
    night: dt.date,
    active_days: int,
    max_events: int,
    session_gap_minutes: int,
    partitions: int,
) -> DataFrame:
    """One row per user with item events: the history's columns but for consent and split.

    Args:
        acts: the night's.
        night: the last day that is known; what is dated after it is left out.
        active_days: an event of any kind within so many days makes a user active.
        max_events: how many item events the arrays keep.
        session_gap_minutes: so long without an event ends a session.
        partitions: into how many tasks to cut the users.
    """
    known = acts.where(F.col("event_date") <= F.lit(night)).repartition(partitions, "user_id")
    placed = _with_sessions(known, session_gap_minutes)
    is_item = is_item_event()
    of_item = F.struct(
        _PLACE, "event_time", "event_type", "item_id", "new_target", "cancelled", "sessions_after"
    )
    kept = is_item & (F.col("age") <= max_events)
    asked = ~is_item & (F.col("age") <= MAX_QUERIES)
    owns = F.col("event_type").isin(*OWNING_EVENTS) & ~F.col("cancelled")
    grouped = placed.groupBy("user_id").agg(
        F.sort_array(F.collect_list(F.when(kept, of_item))).alias("past"),
        F.sort_array(F.collect_list(F.when(asked, F.struct(_PLACE, "event_time", "query")))).alias(
            "searches"
        ),
        F.sort_array(F.collect_set(F.when(owns, F.col("item_id")))).alias("owned_item_ids"),
        (F.count_if(is_item) + F.sum("events_before")).cast("int").alias("n_events"),
        F.max("event_time").alias("last_event_time"),
        F.max("event_date").alias("last_event_date"),
    )
    return grouped.where(F.col("n_events") > 0).select(
        "user_id",
        *_arrays(),
        "owned_item_ids",
        "n_events",
        "last_event_time",
        (F.date_diff(F.lit(night), "last_event_date") < active_days).alias("active"),
        _holdout_index().alias("holdout_index"),
    )


def with_users(pasts_of_users: DataFrame, shoppers: DataFrame) -> DataFrame:
    """Pasts beside what the shop last said of each user; `consent` is null where it never did."""
    said = shoppers.select("user_id", "consent", "language", "region")
    return pasts_of_users.join(said, on="user_id", how="left")


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


def _with_sessions(acts: DataFrame, gap_minutes: int) -> DataFrame:
    """Acts with `age` (1: the user's newest), `place` and `sessions_after`.

    Item events and searches rank among themselves. `sessions_after` counts the sessions that begin
    after the event's own.
    """
    by_user = Window.partitionBy("user_id", is_item_event()).orderBy(*newest_first())
    earlier_time = F.lead("event_time").over(by_user)
    earlier_session = F.lead("session_id").over(by_user)
    pause = F.unix_micros("event_time") - F.unix_micros(earlier_time)
    begins = F.coalesce(
        F.col("session_id") != earlier_session, pause > gap_minutes * 60_000_000, F.lit(False)
    )
    aged = acts.select(
        "*", F.row_number().over(by_user).alias("age"), begins.cast("int").alias("begins")
    )
    newer = by_user.rowsBetween(Window.unboundedPreceding, -1)
    after = F.coalesce(F.sum("begins").over(newer), F.lit(0)).cast("int")
    return aged.select("*", after.alias("sessions_after"), (-F.col("age")).alias(_PLACE))


def _arrays() -> list[Column]:
    oldest = F.get("past", F.lit(0))["sessions_after"]
    numbers = F.transform("past", lambda event: oldest - event["sessions_after"] + 1)
    return [
        F.col("past.item_id").alias("item_ids"),
        F.col("past.event_type").alias("event_types"),
        F.col("past.event_time").alias("event_times"),
        numbers.alias("session_numbers"),
        F.col("past.cancelled").alias("cancelled"),
        F.col("searches.query").alias("queries"),
        F.col("searches.event_time").alias("query_times"),
    ]


def _holdout_index() -> Column:
    """The last new target's place in the arrays; null where it is the first, or before them."""
    places = F.transform("past", lambda event, place: F.when(event["new_target"], place))
    # array_max of an empty array, or of nulls alone, is null.
    last = F.array_max(places)
    return F.when(last >= 1, last)
