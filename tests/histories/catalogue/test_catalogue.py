"""The catalogue as of a night: the newest delivery wins, whole."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import check_columns, spark_schema
from pipeline.histories.catalogue.catalogue import catalogue_as_of, complete_days, entries
from pipeline.lake import Partition
from tests.histories.conftest import DAY, item

OLD = DAY - dt.timedelta(days=3)


def catalogue(
    spark: SparkSession, rows: list[dict[str, Any]], complete_on: dt.date | None = None
) -> dict[str, dict[str, Any]]:
    schema = spark_schema(load_contract("cleaned_items")).add("run_date", "date")
    full = [[row.get(name) for name in schema.names] for row in rows]
    made = catalogue_as_of(entries(spark.createDataFrame(full, schema), None), complete_on)
    check_columns(made, load_contract("catalogue"))
    return {row["item_id"]: row.asDict() for row in made.collect()}


def test_what_is_sellable_and_since_when(spark: SparkSession) -> None:
    rows = [
        item("kept", run_date=OLD, price=1.0),
        item("changed", run_date=OLD, price=1.0, brand="Acme"),
        item("changed", run_date=DAY, price=2.0),
        item("delisted", run_date=OLD),
        item("delisted", run_date=DAY, listed=False),
        item("back", run_date=OLD, listed=False, stock=0),
        item("back", run_date=DAY, stock=3),
        item("sold out", run_date=DAY, stock=0),
        item("not said", run_date=DAY, stock=None),
        item("delisted with stock", run_date=DAY, listed=False, stock=9),
    ]
    found = catalogue(spark, rows)
    sellable = {item_id for item_id, row in found.items() if row["sellable"]}
    assert sellable == {"kept", "changed", "back", "not said"}
    assert found["kept"]["first_seen_date"] == OLD
    assert found["changed"]["first_seen_date"] == OLD
    assert found["not said"]["first_seen_date"] == DAY
    # Whole: the newest delivery names no brand, so the item has none.
    assert (found["changed"]["price"], found["changed"]["brand"]) == (2.0, None)


def test_what_a_complete_delivery_leaves_out_is_not_sellable(spark: SparkSession) -> None:
    rows = [
        item("left out", run_date=OLD),
        item("back", run_date=OLD - dt.timedelta(days=1)),
        item("back", run_date=DAY),
        item("delisted", run_date=DAY, listed=False),
        item("changed since", run_date=DAY + dt.timedelta(days=1)),
    ]
    found = catalogue(spark, rows, DAY)
    assert {name for name, row in found.items() if row["sellable"]} == {"back", "changed since"}
    assert found["left out"]["title"] == "Item left out"
    assert sum(row["sellable"] for row in catalogue(spark, rows).values()) == 3


def test_complete_deliveries_are_found_in_the_manifests() -> None:
    def partition(day: dt.date, **facts: Any) -> Partition:
        return Partition(Path("nowhere"), day, "night", {"rows": 1, **facts})

    partial, whole = partition(DAY, complete=False), partition(OLD, complete=True)
    older = partition(OLD - dt.timedelta(days=1), complete=True)
    assert complete_days([whole, older, partial]) == [OLD - dt.timedelta(days=1), OLD]
    assert complete_days([partial, partition(DAY)]) == []


def test_order_does_not_matter_even_where_a_delivery_repeats_an_item(spark: SparkSession) -> None:
    rows = [
        item("a", run_date=DAY, title="one", price=None),
        item("a", run_date=DAY, title="two", price=1.0),
        item("a", run_date=OLD, title="zzz"),
    ]
    assert catalogue(spark, rows) == catalogue(spark, rows[::-1])
    assert catalogue(spark, rows)["a"]["title"] == "two"
