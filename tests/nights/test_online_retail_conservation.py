"""All 305 trading days of a real shop: every invoice line's outcome is as plain Python has it.

The days are taken in by one pass here; that days cleaned one by one give the same files is shown
in tests/cleaning, and on all 305 by `python -m benchmarks.conservation`.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.night import CleanedNight, clean_night
from pipeline.histories.build import build
from pipeline.lake import Lake, Run
from pipeline.settings import load_settings

pytestmark = pytest.mark.slow

LAST = Run(dt.date(2011, 12, 9), "all")
FEES = {*("POST", "DOT", "M", "C2", "D", "S", "BANK CHARGES", "AMAZONFEE", "CRUK", "PADS", "B")}

# What the data set is known for (UCI "Online Retail"), over all rows, whatever else is wrong too.
KNOWN = {
    "rows": 541_909,
    "no customer": 135_080,
    "cancellation": 9_288,
    "quantity not positive": 10_624,
    "price not positive": 2_517,
    "exact duplicate": 5_268,
}

Outcomes = dict[dt.date, Counter[str]]


def dirt_of(row: dict[str, str], seen: bool) -> set[str]:
    """Every known fault of an invoice line, each asked by itself."""
    faults = {
        "no customer": not row["CustomerID"],
        "cancellation": row["InvoiceNo"].startswith("C"),
        "quantity not positive": int(row["Quantity"]) <= 0,
        "price not positive": float(row["UnitPrice"]) <= 0,
        "exact duplicate": seen,
    }
    return {name for name, found in faults.items() if found}


def outcome_of(row: dict[str, str], dirt: set[str]) -> str:
    """The first answer that stands, in the order that the source and the cleaner ask."""
    code = row["StockCode"].strip().upper()
    cancelled, sold = "cancellation" in dirt, "quantity not positive" not in dirt
    if code in FEES or code.startswith("GIFT_"):
        return "not_a_product"
    if "no customer" in dirt and "price not positive" not in dirt and (cancelled or sold):
        return "no_customer"
    if not cancelled and not sold:
        return "stock_adjustment"
    if "price not positive" in dirt:
        return "price_not_positive"
    return "duplicate" if "exact duplicate" in dirt else "out"


@pytest.fixture(scope="module")
def expected(shared_data: Path) -> tuple[Outcomes, Counter[tuple[str, str]]]:
    """By plain Python: each day's outcomes, and how often each fault met each outcome."""
    outcomes: Outcomes = defaultdict(Counter)
    crossed: Counter[tuple[str, str]] = Counter()
    for path in sorted((shared_data / "online_retail").glob("*.csv")):
        seen: set[tuple[str, ...]] = set()
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                values = tuple(row.values())
                dirt = dirt_of(row, values in seen)
                seen.add(values)
                outcome = outcome_of(row, dirt)
                outcomes[dt.date.fromisoformat(path.stem)][outcome] += 1
                for fault in ("rows", *dirt):
                    crossed[fault, outcome] += 1
    return dict(outcomes), crossed


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conservation")


@pytest.fixture(scope="module")
def night(spark: SparkSession, home: Path, shared_data: Path) -> CleanedNight:
    settings = load_settings(
        None,
        {
            "NIGHTCART_SHOP__SOURCE": "online_retail",
            "NIGHTCART_SHOP__TIMEZONE": "Europe/London",
            "NIGHTCART_PATHS__RAW": str(shared_data / "online_retail"),
            "NIGHTCART_PATHS__LAKE": str(home / "lake"),
            "NIGHTCART_PRIVACY__KEY_FILE": str(home / "key"),
            "NIGHTCART_SPARK__SHUFFLE_PARTITIONS": "2",
        },
    )
    lake = Lake(home / "lake")
    cleaned = clean_night(spark, settings, lake, LAST)
    built = build(spark, lake, LAST, settings)
    assert [line for line in built.ledger if line.unaccounted] == []
    return cleaned


@pytest.mark.timeout(1800)
def test_every_day_every_invoice_line_has_its_fate(
    night: CleanedNight, expected: tuple[Outcomes, Counter[tuple[str, str]]]
) -> None:
    found = {
        line.run_date: Counter({"out": line.rows_out, **line.quarantined, **line.removed})
        for line in night.lines
        if line.dataset == "events"
    }
    assert len(found) == 305
    other = {
        day: (dict(found[day] - outcomes), dict(outcomes - found[day]))
        for day, outcomes in expected[0].items()
        if found[day] != outcomes
    }
    assert other == {}
    assert [line for line in night.lines if line.unaccounted] == []


def test_the_known_dirt_is_all_there_and_none_of_it_ends_as_clean(
    night: CleanedNight, expected: tuple[Outcomes, Counter[tuple[str, str]]]
) -> None:
    """The published counts, summed over the outcomes that the ledger was just compared with."""
    _, crossed = expected
    totals: Counter[str] = Counter()
    for (fault, _), rows in crossed.items():
        totals[fault] += rows
    assert totals == KNOWN
    ended_clean = {fault for fault, outcome in crossed if outcome == "out"}
    # A cancellation is a return, and its quantity negative: no fault of a customer's row.
    assert ended_clean == {"rows", "cancellation", "quantity not positive"}
    assert crossed["quantity not positive", "out"] == crossed["cancellation", "out"]
