"""What a source's mapping costs: Python sees only texts that the source has."""

from __future__ import annotations

import datetime as dt

import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.rows.mapping import Calendar, map_rows
from pipeline.pseudonym import KeyFile
from pipeline.sources.reader_columns import DAY, READER_COLUMNS
from pipeline.sources.source_yaml import load_source


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
