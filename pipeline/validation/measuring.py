"""The profiles of deliveries, counted by Spark in one aggregation per dataset.

Reads cleaned rows or quarantine, gives rows of the dataset `profiles`. There is one scan of the
columns and no shuffle of rows, for any number of deliveries: nulls of every column, the newest
instant, rows by known value, and, for columns that a dataset rule names, the approximate number of
different values (HyperLogLog). Exact numbers would shuffle every value.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.contracts.contract import Column, Contract
from pipeline.contracts.drift_rules import KINDS
from pipeline.contracts.spark import quoted
from pipeline.contracts.sql_text import sql_string
from pipeline.datasets import QUARANTINE

ProfileRow = dict[str, Any]

# An unknown word is shown if it may be a name of something, and occurs too often to be personal.
_SHOWN_WORD = re.compile(r"[^\W\d][\w .:/+-]{0,39}")
_SHOWN_WORDS = 5
_SHOWN_ROWS = 5
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def measure(
    frame: DataFrame, contract: Contract, dataset: str, days: Collection[dt.date]
) -> dict[dt.date, list[ProfileRow]]:
    """Profile rows of a dataset by delivery day; a day without rows has zeros.

    Args:
        frame: the contract's columns beside `run_date`, the delivery day.
        contract: of the dataset.
        dataset: its name in the lake.
        days: the delivery days that the frame holds.
    """
    aggregates = [F.count(F.lit(1)).alias("rows")]
    for number, column in enumerate(contract.columns):
        aggregates += [
            aggregate.alias(f"{name}{number}")
            for name, aggregate in _aggregates(column, contract).items()
        ]
    found = {
        row["run_date"]: row.asDict()
        for row in frame.groupBy("run_date").agg(*aggregates).collect()
    }
    return {day: _rows_of(contract, dataset, found.get(day, {})) for day in days}


def measure_quarantine(
    frame: DataFrame, words: Mapping[str, str], days: Collection[dt.date]
) -> dict[dt.date, list[ProfileRow]]:
    """Profile rows of refused rows, by delivery day, dataset and reason.

    Args:
        frame: the quarantine contract's columns beside `run_date`.
        words: reason -> the raw column that holds the refused word.
        days: the delivery days that the frame holds.
    """
    word = F.lit(None).cast("string")
    for reason, column in words.items():
        path = sql_string("$['" + column + "']")
        held = F.expr(f"get_json_object(raw, {path})")
        word = F.when(F.col("reason") == reason, held).otherwise(word)
    counted = frame.groupBy("run_date", "dataset", "reason", word.alias("word")).count()
    by_day: dict[dt.date, dict[str, dict[str | None, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in counted.collect():
        by_day[row["run_date"]][f"{row['dataset']}.{row['reason']}"][row["word"]] = row["count"]
    return {
        day: [_refused_row(name, counts) for name, counts in sorted(by_day[day].items())]
        for day in days
    }


def _aggregates(column: Column, contract: Contract) -> dict[str, SparkColumn]:
    """What is counted of a column."""
    value = F.col(quoted(column.name))
    aggregates = {"nulls": F.count_if(value.isNull())}
    if column.name in _named(contract, "expect_distinct_like_same_weekday"):
        aggregates["distinct"] = F.approx_count_distinct(value)
    if column.type == "timestamp":
        aggregates["latest"] = F.unix_micros(F.max(value))
    for number, known in enumerate(column.values):
        aggregates[f"value{number}_"] = F.count_if(value == known)
    return aggregates


def _named(contract: Contract, expectation: str) -> set[str]:
    """Columns that the contract's rules of a kind name."""
    assert expectation in KINDS
    return {
        column
        for rule in contract.dataset_rules
        if rule.expectation == expectation
        for column in rule.kwargs["columns"]
    }


def _rows_of(contract: Contract, dataset: str, found: Mapping[str, Any]) -> list[ProfileRow]:
    return [
        {
            "dataset": dataset,
            "column": column.name,
            "rows": found.get("rows", 0),
            "nulls": found.get(f"nulls{number}", 0),
            "distinct": found.get(f"distinct{number}"),
            "counts": {
                known: found.get(f"value{place}_{number}", 0)
                for place, known in enumerate(column.values)
            }
            or None,
            "latest": _instant(found.get(f"latest{number}")),
        }
        for number, column in enumerate(contract.columns)
    ]


def _refused_row(name: str, counts: Mapping[str | None, int]) -> ProfileRow:
    rows = sum(counts.values())
    words = {
        word: count
        for word, count in sorted(counts.items(), key=lambda entry: (-entry[1], str(entry[0])))
        if word is not None and count >= _SHOWN_ROWS and _SHOWN_WORD.fullmatch(word)
    }
    return {
        "dataset": QUARANTINE,
        "column": name,
        "rows": rows,
        "nulls": 0,
        "distinct": None,
        "counts": dict(list(words.items())[:_SHOWN_WORDS]) or None,
        "latest": None,
    }


def _instant(micros: int | None) -> dt.datetime | None:
    return None if micros is None else _EPOCH + dt.timedelta(microseconds=micros)
