"""Which purchase a return cancels.

A `return` cancels the newest purchase before it of the same user and item that is not cancelled
yet, if that was at most `cancellation_days` days ago by the shop's calendar. A purchase whose units
have all come back, by one return or by several, is cancelled; as long as some units are kept, it
stands. If either quantity is not known, the whole purchase is returned. A return of more units than
the purchase had cancels that purchase and no other.

Pure `DataFrame -> DataFrame`. A cancelled purchase stays in the history, as an event that happened;
it neither owns its item nor is a target.
"""

from __future__ import annotations

import datetime as dt

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipeline.histories.acts.act_order import event_order

# A fold over one item's purchases and returns of one user, oldest first: `open` is the stack of
# purchases that still stand, `units` what is left of each (null: not known).
_FOLD = """
aggregate(
  trades,
  cast(struct(array() AS open, array() AS cancelled) AS
    struct<open: array<struct<place: int, day: date, units: int>>, cancelled: array<int>>),
  (seen, act) -> CASE
    WHEN act.event_type = 'purchase' THEN named_struct(
      'open', concat(seen.open, array(named_struct(
        'place', act.place, 'day', act.event_date, 'units', act.quantity))),
      'cancelled', seen.cancelled)
    WHEN size(seen.open) = 0
      OR datediff(act.event_date, get(seen.open, size(seen.open) - 1).day) > {days} THEN seen
    WHEN coalesce(act.quantity < get(seen.open, size(seen.open) - 1).units, false)
    THEN named_struct(
      'open', concat(slice(seen.open, 1, size(seen.open) - 1), array(named_struct(
        'place', get(seen.open, size(seen.open) - 1).place,
        'day', get(seen.open, size(seen.open) - 1).day,
        'units', get(seen.open, size(seen.open) - 1).units - act.quantity))),
      'cancelled', seen.cancelled)
    ELSE named_struct(
      'open', slice(seen.open, 1, size(seen.open) - 1),
      'cancelled', concat(seen.cancelled, array(get(seen.open, size(seen.open) - 1).place)))
  END)
"""


def with_cancelled(acts: DataFrame, night: dt.date, cancellation_days: int) -> DataFrame:
    """Acts with `cancelled`: purchases that returns took back whole, by the end of the night's day.

    Settled acts take no part. Only where an item was returned are its trades gathered.
    """
    trades = (
        F.col("event_type").isin("purchase", "return")
        & ~F.col("settled")
        & (F.col("event_date") <= F.lit(night))
    )
    in_order = Window.partitionBy("user_id", "item_id").orderBy(*event_order())
    of_item = in_order.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    placed = acts.select(
        "*",
        F.row_number().over(in_order).alias("place"),
        F.count_if(trades & (F.col("event_type") == "return")).over(of_item).alias("returns"),
    )
    takes_part = trades & (F.col("returns") > 0)
    trade = F.struct("place", "event_type", "event_date", "quantity")
    folded = placed.withColumn(
        "trades", F.collect_list(F.when(takes_part, trade)).over(of_item)
    ).withColumn("fold", F.when(takes_part, F.expr(_FOLD.format(days=cancellation_days))))
    return folded.select(
        *acts.columns,
        F.coalesce(F.array_contains("fold.cancelled", F.col("place")), F.lit(False)).alias(
            "cancelled"
        ),
    )
