"""Events by hand, in the shape in which the rules over users' days see them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.cleaning.rows import row_rules
from pipeline.cleaning.rows.row_rules import Rules
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.settings import Cleaning
from pipeline.sources.reader_columns import DAY, FILE
from pipeline.sources.source_yaml import load_source

DATE = dt.date(2026, 3, 1)
MIDNIGHT = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
COLUMNS = load_contract("cleaned_events").column_names


def rules_of(limits: Cleaning) -> Rules:
    """The simulated shop's events, under some thresholds."""
    return Rules(load_source("simulator").datasets["events"], "simulator", "UTC", limits)


def event(user: str, event_id: str, second: float, kind: str = "view", **more: Any) -> dict:
    """One event of the day; `delivered` is its delivery (by default the day itself)."""
    event = {
        "event_id": event_id,
        "event_time": MIDNIGHT + dt.timedelta(seconds=second),
        "event_date": DATE,
        "event_type": kind,
        "user_id": user,
        "item_id": None if kind == "search" else "i1",
        "source": "simulator",
        "delivered": DATE,
    }
    return event | more


def with_row_outcomes(spark: SparkSession, events: Iterable[dict]) -> DataFrame:
    """As `apply_row_rules` gives good rows."""
    rows = [tuple(row.get(name) for name in [*COLUMNS, "delivered"]) for row in events]
    schema = spark_schema(load_contract("cleaned_events")).add("delivered", "date")
    frame = spark.createDataFrame(rows, schema).withColumnsRenamed({"delivered": DAY})
    columns = {
        FILE: F.lit("events.jsonl"),
        row_rules.OWN_DAY: F.col("event_date"),
        row_rules.BUCKET: F.lit(0),
        row_rules.OUTCOME: F.when(F.col(DAY) > F.col("event_date"), row_rules.LATE).otherwise(
            row_rules.ACCEPTED
        ),
        row_rules.REASON: F.lit(None).cast("string"),
        row_rules.EVIDENCE: row_rules.no_evidence(),
        row_rules.RAW: F.lit(None).cast("string"),
        row_rules.CONTENT: row_rules.content("events"),
        row_rules.ORDER: F.lit(None).cast("string"),
        row_rules.CONSENT_UNREAD: F.lit(False),
    }
    return frame.withColumns(columns)
