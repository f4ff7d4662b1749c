"""The catalogue as known at the end of a night's day: one row an item.

The newest delivery of an item wins, whole: a value that it leaves out is not filled from an older
one. A delivery has one row an item by contract; should two meet, the greater row in the contract's
column order wins, so that the answer does not depend on the order of files.

An item that is no longer delivered keeps its last known row. Many shops deliver only what changed,
and `online_retail` learns of its items from their sales, so there absence says nothing; such a shop
takes an item off sale by delivering it with `listed` false or `stock` 0. Where the source says that
a delivery of items is the whole catalogue (`complete: true`), an item that the newest such delivery
left out, or that cleaning refused there, is not sellable.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import conform
from pipeline.histories.past import DELIVERED
from pipeline.lake import Partition

_FACTS = ("title", "brand", "category", "price", "stock", "listed")


def newest_complete(partitions: Iterable[Partition]) -> dt.date | None:
    """The newest delivery day of `cleaned_items` that brought the whole catalogue, if any did."""
    whole = [part.run_date for part in partitions if part.manifest.get("complete")]
    return max(whole, default=None)


def catalogue_as_of(items: DataFrame, complete_on: dt.date | None = None) -> DataFrame:
    """`cleaned_items` of the past (with its delivery day) as the `catalogue` contract.

    Args:
        items: every row of the past.
        complete_on: the newest day that delivered the whole catalogue.
    """
    newest = F.max(F.struct(DELIVERED, *_FACTS))
    known = items.groupBy("item_id").agg(
        newest.alias("newest"), F.min(DELIVERED).alias("first_seen_date")
    )
    in_stock = F.coalesce(F.col("newest.stock") != 0, F.lit(True))
    is_delivered = F.lit(True)
    if complete_on is not None:
        is_delivered = F.col(f"newest.{DELIVERED}") >= F.lit(complete_on)
    flat = known.select(
        "item_id",
        *(F.col(f"newest.{name}").alias(name) for name in _FACTS if name != "listed"),
        (F.col("newest.listed") & in_stock & is_delivered).alias("sellable"),
        "first_seen_date",
    )
    return conform(flat, load_contract("catalogue"))
