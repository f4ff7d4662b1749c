"""Numbers and ids as retailers write them, by the SQL that reads them."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.errors import ContractError
from pipeline.sources.numbers import id_sql, number_sql, numbers_of, strips_decimal

# kind, marks -> text -> number
NUMBERS: dict[tuple[str, str], dict[str, float | None]] = {
    ("int", ""): {
        "2": 2,
        "2.0": 2,
        " -3.00 ": -3,
        "2.": 2,
        "2.5": None,
        "2,0": None,
        "x": None,
        "99999999999.0": None,
    },
    ("bigint", ""): {"99999999999.0": 99999999999, "1e3": None},
    ("double", ""): {"1.5": 1.5, "12,50": None},
    ("double", ",."): {
        "12,50": 12.5,
        "1.299,00": 1299,
        "1.299": 1299,
        "1299": 1299,
        "-1.000.000,5": -1000000.5,
        "12.50": None,
        "1.29.9": None,
        "": None,
    },
    ("double", ","): {"12,50": 12.5, "1.299,00": None},
    ("double", ". "): {"1 299.50": 1299.5, "1,5": None},
    ("double", ".'"): {"1'299.50": 1299.5},
    ("int", ",."): {"1.000": 1000, "2,0": 2, "2,5": None},
}
IDS = {"17850.0": "17850", "17850": "17850", "17850.50": "17850.50", "A1.0": "A1.0", "0.0": "0"}


def test_numbers_and_ids(spark: SparkSession) -> None:
    """One query for all: each text by its own SQL."""
    cases = [
        (number_sql(f'"{text}"', kind, marks), number)
        for (kind, marks), texts in NUMBERS.items()
        for text, number in texts.items()
    ]
    columns = [F.expr(sql).cast("double").alias(str(n)) for n, (sql, _) in enumerate(cases)]
    ids = [F.expr(id_sql(f"'{text}'")).alias(text) for text in IDS]
    (row,) = spark.range(1).select(*columns, *ids).collect()
    assert list(row)[: len(cases)] == [number for _, number in cases]
    assert list(row)[len(cases) :] == [*IDS.values()]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"price": {"decimal": ";"}}, "decimal must be"),
        ({"price": {"decimal": ",", "group": ","}}, "group must be one character"),
        ({"price": {"group": "0"}}, "group must be one character"),
        ({"user_id": {"decimal": ","}}, "unknown key 'user_id'"),
        ({"quantity": {"decimal": ","}}, "unknown key 'quantity'"),
    ],
)
def test_an_entry_that_cannot_be_meant_is_refused(entry: dict, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        numbers_of(entry, "events", ["price", "user_id"], "here")
    with pytest.raises(ContractError, match="must be true or false"):
        strips_decimal({"strip_decimal": "yes"}, "here")
