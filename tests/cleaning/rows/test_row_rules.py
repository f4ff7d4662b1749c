"""Which rule decides on a row by itself."""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.cleaning.rows.row_rules import OUTCOME, REASON, first_outcome
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.sources.reader_columns import LINE
from pipeline.sources.source_yaml import load_source


def test_a_rule_that_removes_a_row_without_a_time_is_named(spark: SparkSession) -> None:
    """Such as Olist's `order_unknown`: the order would have brought the time."""
    rows = [(None, "order_unknown"), (None, None), ("{", "order_unknown")]
    frame = spark.createDataFrame(rows, f"{LINE} string, __remove string")
    null = {
        field.name: F.lit(None).cast(field.dataType)
        for field in spark_schema(load_contract("raw_events"))
    }
    context = {name: F.lit(None).cast("timestamp") for name in ("delivery_end", "horizon_start")}
    said = {name: F.lit(None).cast("string") for name in ("__refuse", "__unparsable")}
    frame = frame.withColumns(null | context | said)
    frame = frame.withColumns({"item_known": F.lit(True), "__undated": F.lit(True)})
    events = load_source("olist").datasets["events"]
    found = [(row[OUTCOME], row[REASON]) for row in first_outcome(frame, events).collect()]
    assert found == [
        ("removed", "order_unknown"),
        ("quarantined", "undated"),
        ("quarantined", "unreadable_line"),
    ]
