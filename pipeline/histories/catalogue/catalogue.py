"""The catalogue as known at the end of a night's day, one row an item.

Pure `DataFrame -> DataFrame`. In: the `catalogue` of the night before, if any, and the deliveries
of `cleaned_items` since, with their delivery day as `run_date`. Out: the `catalogue` contract, the
same whether it was made in one step from the whole past or night by night.

The newest delivery of an item wins, whole: a value that it leaves out is not filled from an older
one. A delivery has one row an item by contract; should two meet, the greater row in the contract's
column order wins, so that the answer does not depend on the order of files.

An item that is no longer delivered keeps its last known row. Many shops deliver only changed items,
and `online_retail` learns of its items from their sales, so absence means nothing there; such a
shop takes an item off sale by delivering it with `listed` false or `stock` 0. If the source
declares a delivery of items to be the whole catalogue (`complete: true`), an item that the newest
such delivery left out, or that cleaning refused there, is not sellable.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import conform
from pipeline.datasets import CATALOGUE
from pipeline.histories.past import DELIVERED
from pipeline.lake import Partition

FACTS = ("title", "brand", "category", "price", "stock", "listed")


def complete_days(partitions: Iterable[Partition]) -> list[dt.date]:
    """The delivery days of `cleaned_items` that brought the whole catalogue, ascending."""
    return sorted(part.run_date for part in partitions if part.manifest.get("complete"))


def entries(delivered: DataFrame, before: DataFrame | None) -> DataFrame:
    """Every known row of each item: `item_id`, its delivery day, its facts, `first_seen_date`.

    Args:
        delivered: rows of `cleaned_items`.
        before: the `catalogue` that they follow; none of what was delivered is older.
    """
    since = F.col(DELIVERED).alias("first_seen_date")
    rows = delivered.select("item_id", DELIVERED, *FACTS, since)
    if before is None:
        return rows
    known = F.col("delivered_date").alias(DELIVERED)
    return rows.unionByName(before.select("item_id", known, *FACTS, "first_seen_date"))


def catalogue_as_of(known: DataFrame, complete_on: dt.date | None = None) -> DataFrame:
    """`entries` as the `catalogue` contract.

    Args:
        known: what `entries` returns.
        complete_on: the newest day that delivered the whole catalogue.
    """
    newest = known.groupBy("item_id").agg(
        F.max(F.struct(DELIVERED, *FACTS)).alias("newest"),
        F.min("first_seen_date").alias("first_seen_date"),
    )
    in_stock = F.coalesce(F.col("newest.stock") != 0, F.lit(True))
    is_delivered = F.lit(True)
    if complete_on is not None:
        is_delivered = F.col(f"newest.{DELIVERED}") >= F.lit(complete_on)
    flat = newest.select(
        "item_id",
        *(F.col(f"newest.{name}").alias(name) for name in FACTS),
        F.col(f"newest.{DELIVERED}").alias("delivered_date"),
        (F.col("newest.listed") & in_stock & is_delivered).alias("sellable"),
        "first_seen_date",
    )
    return conform(flat, load_contract(CATALOGUE))
