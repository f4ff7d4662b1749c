"""What each delivery changed in the catalogue: price, title, stock, on sale or not, as of any day.

In: every known row of each item (`catalogue.entries`). Out: `catalogue_changes`, one partition a
delivery of `cleaned_items`, made once: later nights neither read nor write it again. A partition
is made from all deliveries up to its own. Its lineage names its own and has a digest of those
before, which would be a line a delivery in each partition. If one of them was cleaned again, the
partitions from there on are made anew.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import conform
from pipeline.datasets import CATALOGUE_CHANGES, CLEANED_ITEMS
from pipeline.histories.catalogue.catalogue import FACTS
from pipeline.histories.past import DELIVERED
from pipeline.lake import Lake
from pipeline.lineage import Lineage, lineage_of

# In a lineage: a digest of the deliveries before, none of the first.
BEFORE = "deliveries_before"


def missing_changes(lake: Lake, deliveries: Mapping[str, str], code: str) -> dict[dt.date, Lineage]:
    """Delivery days whose changes are not in the lake, and what each is to be made from.

    Args:
        deliveries: ISO date -> directory of every delivery of items up to the night, ascending.
        code: what says how changes are told.
    """
    before, missing = "", {}
    for day, directory in deliveries.items():
        lineage = Lineage({CLEANED_ITEMS: {day: directory}}, code, {BEFORE: before})
        before = hashlib.sha256(f"{before} {day} {directory}".encode()).hexdigest()[:16]
        date = dt.date.fromisoformat(day)
        made = lake.whole(CATALOGUE_CHANGES, date)
        if made is None or lineage_of(made) != lineage:
            missing[date] = lineage
    return missing


def changes(known: DataFrame, since: dt.date | None, complete: Sequence[dt.date]) -> DataFrame:
    """What each delivery after `since` changed, as the `catalogue_changes` contract.

    Args:
        known: what `entries` returns, with the catalogue as of `since` where there is one.
        since: the last delivery whose changes are known already.
        complete: all days that delivered the whole catalogue, from the newest at or before
            `since` on.
    """
    one_a_day = known.groupBy("item_id", DELIVERED).agg(F.max(F.struct(*FACTS)).alias("facts"))
    by_day = Window.partitionBy("item_id").orderBy(DELIVERED)
    day, later = F.col(DELIVERED), F.lead(DELIVERED).over(by_day)
    left_out_on = _first_after(day, complete)
    versions = one_a_day.select(
        "item_id",
        DELIVERED,
        "facts",
        F.lag("facts").over(by_day).alias("earlier"),
        _first_after(F.lag(DELIVERED).over(by_day), complete).alias("missed"),
        F.when(later.isNull() | (left_out_on < later), left_out_on).alias("left_out_on"),
    )
    is_new = F.col("earlier").isNull()
    is_back = F.col("missed") < day
    differing = [
        F.when(~F.col("facts")[name].eqNullSafe(F.col("earlier")[name]) & ~is_new, F.lit(name))
        for name in FACTS
    ]
    named = F.array_compact(
        F.array(F.when(is_new, F.lit("new")), F.when(is_back, F.lit("back")), *differing)
    )
    there = F.struct(
        day.alias("changed_date"), named.alias("changed"), F.lit(True).alias("in_assortment")
    )
    gone = F.struct(
        F.col("left_out_on").alias("changed_date"),
        F.array(F.lit("left_out")).alias("changed"),
        F.lit(False).alias("in_assortment"),
    )
    rows = versions.select("item_id", "facts", F.explode(F.array(there, gone)).alias("row")).select(
        "item_id", "facts.*", "row.*"
    )
    is_change = F.col("changed_date").isNotNull() & (F.size("changed") > 0)
    if since is not None:
        is_change &= F.col("changed_date") > F.lit(since)
    return conform(rows.where(is_change), load_contract(CATALOGUE_CHANGES))


def _first_after(day: Column, days: Sequence[dt.date]) -> Column:
    """The first of some days that is after a day; null where there is none."""
    if not days:
        return F.lit(None).cast("date")
    return F.array_min(F.filter(F.array(*(F.lit(one) for one in days)), lambda one: one > day))
