"""The newest word on each shopper, and since when it is that, in one step and in several."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pyspark.sql import SparkSession

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import check_columns, spark_schema
from pipeline.histories.user_attributes import user_attributes_as_of
from tests.histories.conftest import DAY, user
from tests.lake_rows import user_id_of

DAYS = [DAY + dt.timedelta(days=n) for n in range(4)]
DELIVERED = [
    user("same", run_date=DAYS[0], language="en"),
    user("withdrew", run_date=DAYS[0]),
    user("same", run_date=DAYS[1], language="en"),
    user("withdrew", False, run_date=DAYS[1]),
    user("moved", run_date=DAYS[1], region="ES"),
    user("withdrew", run_date=DAYS[2]),
    user("moved", run_date=DAYS[3], region="FR"),
    user("withdrew", False, run_date=DAYS[3]),
    user("withdrew", True, run_date=DAYS[3]),  # against the contract: the refusal wins
]


def test_consent_as_of_each_day_in_one_step_and_in_several(spark: SparkSession) -> None:
    schema = spark_schema(load_contract("cleaned_users")).add("run_date", "date")

    def delivered(days: list[dt.date]) -> Any:
        rows = [
            [row.get(name) for name in schema.names]
            for row in reversed(DELIVERED)
            if row["run_date"] in days
        ]
        return spark.createDataFrame(rows, schema)

    before = None
    consent = {}
    for day in DAYS:
        made = check_columns(
            user_attributes_as_of(delivered([day]), before, 2), load_contract("user_attributes")
        ).collect()
        before = spark.createDataFrame(made, spark_schema(load_contract("user_attributes")))
        by_user = {row["user_id"]: row for row in made}
        consent[day] = by_user[user_id_of("withdrew")]["consent"]
    assert list(consent.values()) == [True, False, True, False]
    whole = user_attributes_as_of(delivered(DAYS), None, 2).collect()
    assert sorted(made) == sorted(whole)

    withdrew, same, moved = (by_user[user_id_of(name)] for name in ("withdrew", "same", "moved"))
    assert (withdrew["consent_date"], withdrew["delivered_date"]) == (DAYS[3], DAYS[3])
    assert (same["consent_date"], same["changed_date"]) == (DAYS[0], DAYS[0])
    assert same["delivered_date"] == DAYS[1]
    assert (moved["region"], moved["consent_date"], moved["changed_date"]) == (
        "FR",
        DAYS[1],
        DAYS[3],
    )
