"""What a source's mapping costs: Python sees only texts that the source has."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.rows.mapping import Calendar, map_rows
from pipeline.pseudonym import KeyFile
from pipeline.sources.reader_columns import BROKEN, DAY, NO_ELEMENT, READER_COLUMNS
from pipeline.sources.source_yaml import load_source, parse_source
from tests.key_files import key_file


@pytest.mark.parametrize(("source", "asked"), [("simulator", True), ("online_retail", False)])
def test_python_is_asked_only_where_there_is_a_text_to_scrub(
    spark: SparkSession, source: str, asked: bool
) -> None:
    dataset = load_source(source).datasets["events"]
    columns = [
        *(f"cast(id AS string) AS `{name}`" for name in dataset.columns),
        *(
            f"cast(null AS {'date' if name == DAY else 'string'}) AS `{name}`"
            for name in READER_COLUMNS
        ),
    ]
    raw = spark.range(1).selectExpr(*columns)
    mapped = map_rows(raw, dataset, Calendar("UTC", (dt.date(2026, 3, 1),)), KeyFile("", ""))
    plan = mapped._jdf.queryExecution().optimizedPlan().toString()
    assert ("EvalPython" in plan) == asked, plan


LINES = """
source: shop
description: Lines of orders whose state changes.
datasets:
  events:
    files: "lines_{date}.csv"
    format: csv
    columns: [order, sku]
    with: {orders: {files: "orders_{date}.csv", columns: [id, who, at, state], on: {order: id}}}
    map: {event_time: orders.at, user_id: orders.who, item_id: sku,
          event_type: "CASE WHEN orders.state = 'back' THEN 'return' ELSE 'purchase' END"}
"""


def test_an_id_made_of_content_outlives_what_is_joined(spark: SparkSession, tmp_path: Path) -> None:
    """An order that is paid and then sent is one purchase; at another time it is another."""
    dataset = parse_source(LINES, "shop.yaml").datasets["events"]
    at = "2026-03-01 10:00:00"
    rows = [
        {"orders.at": at, "orders.state": "paid"},
        {"orders.at": at, "orders.state": "sent"},
        {"orders.at": at, "orders.state": "back"},
        {"orders.at": "2026-03-01 11:00:00", "orders.state": "paid"},
    ]
    given = [{"order": "o1", "sku": "i1", "orders.who": "ann"} | row for row in rows]
    names = (*READER_COLUMNS, BROKEN, NO_ELEMENT)
    types = {name: "date" if name == DAY else "string" for name in names}
    schema = ", ".join(f"`{name}` string" for name in dataset.columns)
    raw = spark.createDataFrame([tuple(map(row.get, dataset.columns)) for row in given], schema)
    raw = raw.selectExpr("*", *(f"CAST(NULL AS {kind}) AS {name}" for name, kind in types.items()))
    key = key_file(tmp_path, b"k" * 32)
    mapped = map_rows(raw, dataset, Calendar("UTC", (dt.date(2026, 3, 1),)), key)
    paid, sent, back, later = (row[0] for row in mapped.select("__content_id").collect())
    assert paid == sent
    assert len({paid, back, later}) == 3
