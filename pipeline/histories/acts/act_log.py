"""The log of acts: what must be remembered of each user's past, and no more.

Pure `DataFrame -> DataFrame`. In: the acts that the night before remembered, if any, and what has
been delivered since (`cleaned_events`, `cleaned_reviews`, `retractions`), each row with its
delivery day as `run_date`. Out: the `acts` contract, from which `history.py` makes the histories.

Why a part of the past is enough. A delivery brings, and a retraction takes back, nothing that is
older than the late horizon (`night.py` notices an older act before, and the night is rebuilt). A
return cancels purchases of at most `cancellation_days` before it. So what happened before the
horizon is known for good, and what happened before horizon and cancellation window is cancelled for
good or never. These acts older than the horizon are kept:

- the last `max_events` item events and the last searches, which the arrays may still show;
- the purchases and returns of the cancellation window. With the others that are kept they are a
  whole tail of the user's trades: nothing between them is missing, so a return in the tail finds
  the same purchase as it would in the whole past;
- before these the first act that owns an item, or is a target of it: it decides what is owned
  and what is new. Its neighbours are gone, so it takes no part in cancelling any more (`settled`);
- how many item events are gone, in the `max_events`th of the older item events.

The rule can be applied in steps: acts remembered from remembered and new acts are the acts
remembered from the whole past. A test checks that.

An event that two deliveries brought counts once: the first delivery wins, then the smaller row.

Scale: one shuffle by `user_id`; what follows sorts within it and spills to disk.

Gives up: without a `sequence`, events of one instant and kind stand in the order of their ids.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.datasets import ACTS
from pipeline.histories.acts.act_order import (
    OWNING_EVENTS,
    event_order,
    is_item_event,
    newest_first,
)
from pipeline.histories.acts.cancellations import with_cancelled
from pipeline.histories.past import DELIVERED

MAX_QUERIES = 3
REVIEW = "review:"

_KEY = ("user_id", "event_date", "event_id")
_ACT = (
    "event_time",
    "event_type",
    "item_id",
    "query",
    "session_id",
    "quantity",
    "sequence",
)
_REMEMBERED = ("settled", "events_before")


@dataclass(frozen=True)
class Memory:
    """The limits of what a night remembers of the past, and the event types that are targets."""

    night: dt.date
    horizon_days: int
    cancellation_days: int
    max_events: int
    targets: Sequence[str]

    @property
    def settled_until(self) -> dt.date:
        """The first day of which a later delivery may still bring or take back acts."""
        return self.night - dt.timedelta(days=self.horizon_days)

    @property
    def trades_from(self) -> dt.date:
        """The oldest day of which every purchase and return is remembered."""
        return self.settled_until - dt.timedelta(days=self.cancellation_days)


def delivered_acts(events: DataFrame, reviews: DataFrame) -> DataFrame:
    """Events and reviews (as `rating`), as delivered, in the shape of acts."""
    of_events = events.select(*_KEY, *_ACT, DELIVERED)
    absent = {"query": "string", "session_id": "string", "quantity": "int"}
    of_reviews = reviews.select(
        "user_id",
        F.col("review_date").alias("event_date"),
        # A review's id may equal an event's: they come from different files of the shop.
        F.concat(F.lit(REVIEW), "review_id").alias("event_id"),
        F.col("review_time").alias("event_time"),
        F.lit("rating").alias("event_type"),
        "item_id",
        *(F.lit(None).cast(kind).alias(name) for name, kind in absent.items()),
        "sequence",
        DELIVERED,
    )
    return of_events.unionByName(of_reviews).select(
        "*",
        F.lit(False).alias("settled"),
        F.lit(0).alias("events_before"),
    )


def remembered_acts(acts: DataFrame) -> DataFrame:
    """The `acts` of the night before, beside which `delivered_acts` can be laid."""
    return acts.select(*_KEY, *_ACT, F.col("delivered_date").alias(DELIVERED), *_REMEMBERED)


def retracted_acts(retractions: DataFrame) -> DataFrame:
    """The acts that were taken back, and the newest delivery that did it."""
    act_id = F.when(F.col("dataset") == "reviews", F.concat(F.lit(REVIEW), "event_id")).otherwise(
        F.col("event_id")
    )
    return (
        retractions.select("user_id", "event_date", act_id.alias("event_id"), DELIVERED)
        .groupBy(*_KEY)
        .agg(F.max(DELIVERED).alias("retracted"))
    )


def without_retracted(acts: DataFrame, retracted: DataFrame) -> DataFrame:
    """Acts without those that a delivery after their own took back."""
    beside = acts.join(retracted, on=list(_KEY), how="left")
    stands = F.col("retracted").isNull() | (F.col("retracted") <= F.col(DELIVERED))
    return beside.where(stands).select(*acts.columns)


def without_repeats(acts: DataFrame, partitions: int) -> DataFrame:
    """Each event of a user's day once, however many deliveries brought it; cut by `user_id`."""
    first = F.min(F.struct(DELIVERED, *_ACT, *_REMEMBERED)).alias("first")
    return (
        acts.repartition(partitions, "user_id")
        .groupBy(*_KEY)
        .agg(first)
        .select(
            *_KEY,
            *(F.col(f"first.{name}").alias(name) for name in (*_ACT, DELIVERED, *_REMEMBERED)),
        )
    )


def remember(unique: DataFrame, memory: Memory) -> DataFrame:
    """Decide which acts must be remembered, and mark cancelled, owning and new ones.

    Args:
        unique: as `without_repeats` returns them.
        memory: the limits.

    Returns:
        the columns of the `acts` contract, and `is_kept`: the other acts may be dropped.
    """
    known = F.col("event_date") <= F.lit(memory.night)
    marked = _with_firsts(with_cancelled(unique, memory.night, memory.cancellation_days), memory)
    is_item = is_item_event()
    day = F.col("event_date")
    is_old = day < F.lit(memory.settled_until)
    is_trade = F.col("event_type").isin("purchase", "return")
    may_be_cancelled = is_trade & (day >= F.lit(memory.trades_from))
    most = F.when(is_item, F.lit(memory.max_events)).otherwise(F.lit(MAX_QUERIES))
    by_age = Window.partitionBy("user_id", is_item, is_old).orderBy(*newest_first())
    of_user = Window.partitionBy("user_id")
    aged = marked.withColumn("age", F.row_number().over(by_age))
    in_tail = ~is_old | (F.col("age") <= most) | may_be_cancelled
    placed = aged.select(
        "*",
        in_tail.alias("in_tail"),
        (in_tail | (is_item & (F.col("is_first_owner") | F.col("is_first_had")))).alias("is_kept"),
        (is_item & is_old & (F.col("age") == memory.max_events)).alias("is_oldest"),
    )
    gone = is_item & ~F.col("is_kept")
    counted = placed.select(
        "*",
        F.sum(F.col("events_before") + gone.cast("int")).over(of_user).alias("events_gone"),
    )
    oldest = F.col("is_oldest")
    rows = counted.withColumns(
        {
            "new_target": F.col("is_first_target") & known,
            "settled": ~F.col("in_tail"),
            "events_before": F.when(oldest, F.col("events_gone")).otherwise(F.lit(0)),
            "delivered_date": F.col(DELIVERED),
        }
    )
    columns = spark_schema(load_contract(ACTS))
    typed = (F.col(column.name).cast(column.dataType).alias(column.name) for column in columns)
    return rows.select(*typed, "is_kept")


def _with_firsts(acts: DataFrame, memory: Memory) -> DataFrame:
    """Which act is the first to own its item, and which is a new target.

    A cancelled purchase is neither, and does not stand in the way of a later one.
    """
    before = (
        Window.partitionBy("user_id", "item_id")
        .orderBy(*event_order())
        .rowsBetween(Window.unboundedPreceding, -1)
    )
    counts = ~F.col("cancelled")
    owns = F.col("event_type").isin(*OWNING_EVENTS) & counts
    had = F.col("event_type").isin(*sorted({*OWNING_EVENTS, *memory.targets})) & counts
    is_target = F.col("event_type").isin(*memory.targets) & counts

    def none_before(condition: Column) -> Column:
        return F.coalesce(F.sum(condition.cast("int")).over(before), F.lit(0)) == 0

    return acts.select(
        "*",
        (owns & none_before(owns)).alias("is_first_owner"),
        (had & none_before(had)).alias("is_first_had"),
        (is_target & none_before(had)).alias("is_first_target"),
    )
