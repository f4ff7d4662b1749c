"""Where a user's session ends: the session gap, and the retailer's own session ids.

A session is the retailer's own where two neighbouring events both name one: another id, another
session. Else it ends with `histories.session_gap_minutes` without an item event. Searches do not
count here, because only the last few of them are remembered.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.histories.acts.act_order import is_item_event, newest_first


def with_sessions(acts: DataFrame, gap_minutes: int) -> DataFrame:
    """Acts with `age` (1: the user's newest) and `sessions_after`.

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
    return aged.select("*", after.alias("sessions_after"))


def session_numbers(events: str) -> Column:
    """The number of each event's session, from 1, in an array of events with `sessions_after`."""
    oldest = F.get(events, F.lit(0))["sessions_after"]
    return F.transform(events, lambda event: oldest - event["sessions_after"] + 1)
