"""Events by hand, in the shape in which the rules over users' days see them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.cleaning import tagging
from pipeline.cleaning.tagging import Rules
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.settings import Cleaning
from pipeline.sources.readers import DAY, FILE
from pipeline.sources.source import load_source

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


def tagged(spark: SparkSession, events: Iterable[dict]) -> DataFrame:
    """As `tag_rows` gives good rows."""
    rows = [tuple(row.get(name) for name in [*COLUMNS, "delivered"]) for row in events]
    schema = spark_schema(load_contract("cleaned_events")).add("delivered", "date")
    frame = spark.createDataFrame(rows, schema).withColumnsRenamed({"delivered": DAY})
    tags = {
        FILE: F.lit("events.jsonl"),
        tagging.OWN_DAY: F.col("event_date"),
        tagging.BUCKET: F.lit(0),
        tagging.FATE: F.when(F.col(DAY) > F.col("event_date"), tagging.LATE).otherwise(tagging.OUT),
        tagging.REASON: F.lit(None).cast("string"),
        tagging.EVIDENCE: tagging.no_evidence(),
        tagging.RAW: F.lit(None).cast("string"),
        tagging.CONTENT: tagging.content("events"),
        tagging.ORDER: F.lit(None).cast("string"),
        tagging.CONSENT_UNREAD: F.lit(False),
    }
    return frame.withColumns(tags)
