"""One row per user with item events: the ordered past as known at the end of a night's day.

Pure `DataFrame -> DataFrame`. In: the night's `acts` and `user_attributes`. Out: the `histories`
contract. What is owned, new and cancelled is decided where the whole past is at hand
(`acts/act_log.py`); here the tail of each user's past becomes arrays.

Scale: one shuffle by `user_id`; the windows and the aggregation that follow sort within it and
spill to disk, and only the last `max_events` events of a user are ever held as an array.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import conform
from pipeline.datasets import HISTORIES
from pipeline.histories.activity import is_active
from pipeline.histories.acts.act_log import MAX_QUERIES
from pipeline.histories.acts.act_order import OWNING_EVENTS, is_item_event
from pipeline.histories.holdout import holdout_index, holdout_split
from pipeline.histories.sessions import session_numbers, with_sessions

_PLACE = "place"  # counts down to the newest, so that an array sorted by it ends with the newest


def event_histories(
    acts: DataFrame,
    *,
    night: dt.date,
    active_days: int,
    max_events: int,
    session_gap_minutes: int,
    partitions: int,
    repeat_types: Sequence[str] = (),
) -> DataFrame:
    """One row per user with item events: the history's columns without consent and split.

    Args:
        acts: the night's.
        night: the last day that is known; later acts are left out.
        active_days: an event of any kind within so many days makes a user active.
        max_events: how many item events the arrays keep.
        session_gap_minutes: so long without an event ends a session.
        partitions: into how many tasks to cut the users.
        repeat_types: as in `holdout_index`.
    """
    known = acts.where(F.col("event_date") <= F.lit(night)).repartition(partitions, "user_id")
    aged = with_sessions(known, session_gap_minutes)
    placed = aged.select("*", (-F.col("age")).alias(_PLACE))
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
        is_active("last_event_date", night, active_days).alias("active"),
        holdout_index("past", repeat_types).alias("holdout_index"),
    )


def with_user_attributes(histories_of_events: DataFrame, user_attributes: DataFrame) -> DataFrame:
    """Histories with each user's attributes; `consent` is null for users without any."""
    attributes = user_attributes.select("user_id", "consent", "language", "region")
    return histories_of_events.join(attributes, on="user_id", how="left")


def histories(joined: DataFrame, seed: int) -> DataFrame:
    """`with_user_attributes` as the `histories` contract: unknown consent is no consent."""
    rows = joined.withColumn("consent", F.coalesce("consent", F.lit(False))).withColumn(
        "holdout_split", F.when(F.col("holdout_index").isNotNull(), holdout_split(seed))
    )
    return conform(rows, load_contract(HISTORIES))


def _arrays() -> list[Column]:
    return [
        F.col("past.item_id").alias("item_ids"),
        F.col("past.event_type").alias("event_types"),
        F.col("past.event_time").alias("event_times"),
        session_numbers("past").alias("session_numbers"),
        F.col("past.cancelled").alias("cancelled"),
        F.col("searches.query").alias("queries"),
        F.col("searches.event_time").alias("query_times"),
    ]
