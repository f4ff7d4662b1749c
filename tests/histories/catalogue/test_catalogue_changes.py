"""What each delivery changed: in one step, in several, and as of a day."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pyspark.sql import SparkSession

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import check_columns, spark_schema
from pipeline.histories.catalogue.catalogue import catalogue_as_of, entries
from pipeline.histories.catalogue.catalogue_changes import changes, missing_changes
from pipeline.lake import Lake, Run
from tests.histories.conftest import DAY, item
from tests.lake_rows import write_rows

DAYS = [DAY + dt.timedelta(days=n) for n in range(5)]
COMPLETE = [DAYS[0], DAYS[2]]
DELIVERED = [
    item("a", run_date=DAYS[0], price=1.0, stock=3),
    item("b", run_date=DAYS[0]),
    item("c", run_date=DAYS[0]),
    item("a", run_date=DAYS[1], price=2.0, stock=3),
    item("c", run_date=DAYS[1]),
    # b is left out of the whole catalogue, and comes back with another title; d is new.
    item("a", run_date=DAYS[2], price=2.0, stock=0),
    item("c", run_date=DAYS[2]),
    item("d", run_date=DAYS[2]),
    item("b", run_date=DAYS[3], title="Another b"),
    item("c", run_date=DAYS[4], listed=False),
]
EXPECTED = {
    ("a", DAYS[0]): ["new"],
    ("b", DAYS[0]): ["new"],
    ("c", DAYS[0]): ["new"],
    ("a", DAYS[1]): ["price"],
    ("a", DAYS[2]): ["stock"],
    ("b", DAYS[2]): ["left_out"],
    ("d", DAYS[2]): ["new"],
    ("b", DAYS[3]): ["back", "title"],
    ("c", DAYS[4]): ["listed"],
}


def test_in_one_step_and_in_several(spark: SparkSession) -> None:
    schema = spark_schema(load_contract("cleaned_items")).add("run_date", "date")

    def delivered(after: dt.date | None, upto: dt.date) -> Any:
        rows = [
            [row.get(name) for name in schema.names]
            for row in DELIVERED
            if (after is None or row["run_date"] > after) and row["run_date"] <= upto
        ]
        return spark.createDataFrame(rows, schema)

    whole = check_columns(
        changes(entries(delivered(None, DAYS[4]), None), None, COMPLETE),
        load_contract("catalogue_changes"),
    ).collect()
    assert {(row["item_id"], row["changed_date"]): row["changed"] for row in whole} == EXPECTED
    of_b = {row["changed_date"]: row for row in whole if row["item_id"] == "b"}
    assert [of_b[day]["in_assortment"] for day in sorted(of_b)] == [True, False, True]
    # Left out, it keeps what it last was.
    assert of_b[DAYS[2]]["title"] == "Item b"

    since = DAYS[1]
    before = catalogue_as_of(entries(delivered(None, since), None), COMPLETE[0])
    steps = changes(entries(delivered(since, DAYS[4]), before), since, COMPLETE).collect()
    assert sorted(steps) == sorted(row for row in whole if row["changed_date"] > since)


def test_a_delivery_is_told_once_and_anew_if_one_before_it_was_cleaned_again(lake: Lake) -> None:
    deliveries = {str(day): "r1" for day in DAYS[:3]}
    todo = missing_changes(lake, deliveries, "code")
    assert list(todo) == DAYS[:3]
    for day, lineage in todo.items():
        write_rows(lake, "catalogue_changes", Run(day, "n"), [], **lineage.facts())
    assert missing_changes(lake, deliveries, "code") == {}
    more = deliveries | {str(DAYS[3]): "r1"}
    assert list(missing_changes(lake, more, "code")) == [DAYS[3]]
    again = deliveries | {str(DAYS[1]): "r2"}
    assert list(missing_changes(lake, again, "code")) == DAYS[1:3]
    assert list(missing_changes(lake, deliveries, "other")) == DAYS[:3]
