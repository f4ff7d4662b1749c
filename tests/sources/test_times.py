"""Times however they are written, and a retailer's words for what happened."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pyspark.sql import SparkSession

from pipeline.errors import ContractError
from pipeline.sources.expressions import expression_faults, mapped_values
from pipeline.sources.source import SourceDataset, with_timezone
from pipeline.sources.source_yaml import load_source, parse_source

YAML = """
source: shop
description: A shop whose till, app and importer each write times their own way.
timezone: Europe/Berlin
datasets:
  events:
    files: "{date}.csv"
    format: csv
    columns: [at, what, who]
    map: {event_time: at, event_type: what, user_id: who}
    times:
      event_time: [iso, epoch, dd/MM/yyyy HH:mm, "d.M.yyyy H:mm:ss", "yyyyMMdd'T'HHmmssXXX"]
    event_types: {add_to_cart: cart, in den Warenkorb: cart, Kauf: purchase}
"""
UNPARSABLE = "event_time_unparsable"
# In UTC; Berlin is one hour ahead in winter, two in summer (2026: 29 March to 25 October).
TIMES = {
    "2026-03-01T10:00:00Z": "2026-03-01 10:00",
    "2026-03-01T10:00:00.250+01:00": "2026-03-01 09:00:00.25",
    "2026-03-01 10:00:00-0500": "2026-03-01 15:00",
    "2026-03-01 10:00:00 UTC": "2026-03-01 10:00",
    "2026-03-01 10:00:00 America/New_York": "2026-03-01 15:00",
    "2026-03-01 10:00:00": "2026-03-01 09:00",
    "  2026-07-01T10:00  ": "2026-07-01 08:00",
    "2026-03-01": "2026-02-28 23:00",
    "1772359200": "2026-03-01 10:00",
    "1772359200.5": "2026-03-01 10:00:00.5",
    "1.7723592005E9": "2026-03-01 10:00:00.5",
    "1772359200500": "2026-03-01 10:00:00.5",
    "1772359200500000": "2026-03-01 10:00:00.5",
    "1772359200500000000": "2026-03-01 10:00:00.5",
    "0": "1970-01-01 00:00",
    "-3600": "1969-12-31 23:00",
    "01/03/2026 10:00": "2026-03-01 09:00",
    "1.3.2026 9:05:07": "2026-03-01 08:05:07",
    "20260301T100000+02:00": "2026-03-01 08:00",
    # The hour that clocks skip counts with the offset before; the one that comes twice is the
    # first.
    "2026-03-29 02:30:00": "2026-03-29 01:30",
    "29/03/2026 02:30": "2026-03-29 01:30",
    "2026-10-25 02:30:00": "2026-10-25 00:30",
    "25/10/2026 02:30": "2026-10-25 00:30",
    "2026-10-25T02:30:00+01:00": "2026-10-25 01:30",
    "2026": "1970-01-01 00:33:46",  # too old for any shop: refused by its contract
    # Spark alone would take these for today, and for days that there are not.
    "12:30": None,
    "12:30:00-05:00": None,
    "31/02/2026 10:00": None,
    "2026-02-30T10:00:00Z": None,
    "03/31/2026 10:00": None,
    "yesterday": None,
    "": None,
    "1e30": None,
    "NaN": None,
    "99999999999999999999999999": None,
}
WORDS = {
    "view": "view",
    "Add to Cart": "cart",
    "ADD-TO-CART": "cart",
    "In den  Warenkorb ": "cart",
    "kauf": "purchase",
    "PURCHASE": "purchase",
    "hover": "hover",
    "": "",
    None: None,
}


def events_of(yaml: str) -> SourceDataset:
    return with_timezone(parse_source(yaml, "shop.yaml"), "UTC").datasets["events"]


def test_a_column_of_times_in_many_formats_and_zones(spark: SparkSession) -> None:
    """Each is the instant that it names, or is refused; none is guessed."""
    events = events_of(YAML)
    raw = spark.createDataFrame([(text, "view", "u1") for text in TIMES], events.columns)
    assert expression_faults(raw, events) == []
    values, unparsable = mapped_values(raw, events)
    rows = raw.select(
        "at", values["event_time"].cast("string").alias("found"), unparsable.alias("reason")
    ).collect()
    found = {row["at"]: row["found"] and dt.datetime.fromisoformat(row["found"]) for row in rows}
    assert found == {text: at and dt.datetime.fromisoformat(at) for text, at in TIMES.items()}
    assert {row["at"] for row in rows if row["reason"]} == {t for t, at in TIMES.items() if not at}
    assert {row["reason"] for row in rows} == {None, UNPARSABLE}
    alone, _ = mapped_values(raw, dataclasses.replace(events, times={}))
    shown = raw.select("at", alone["event_time"].cast("string").alias("found"))
    by_default = {row["at"]: row["found"] for row in shown.collect()}
    assert by_default["2026-03-01 10:00:00"] == "2026-03-01 09:00:00"
    for text in ("2026", "12:30", "-3600", "1772359200", "01/03/2026 10:00"):
        assert by_default[text] is None
    # Python's own calendar agrees about the hours that are skipped and that come twice.
    berlin = ZoneInfo("Europe/Berlin")
    for text in ("2026-03-29 02:30:00", "2026-10-25 02:30:00"):
        local = dt.datetime.fromisoformat(text).replace(tzinfo=berlin, fold=0)
        assert local.astimezone(dt.UTC).replace(tzinfo=None) == found[text]


def test_a_retailer_s_words_for_what_happened(spark: SparkSession) -> None:
    """Case, blanks, hyphens and underscores do not matter; a strange word stays as it is."""
    events = events_of(YAML)
    raw = spark.createDataFrame(
        [("0", word, "u1") for word in WORDS], "at string, what string, who string"
    )
    values, _ = mapped_values(raw, events)
    rows = raw.select("what", values["event_type"].alias("found")).collect()
    assert {row["what"]: row["found"] for row in rows} == WORDS


@pytest.mark.parametrize(
    ("was", "becomes", "message"),
    [
        ("iso,", "is,", "neither one of iso, epoch"),
        ("dd/MM/yyyy", "dd/MM/YYYY", "letters Y mean nothing in it"),
        ("dd/MM/yyyy HH:mm,", "HH:mm,", "it names no day"),
        ("[iso, ", "iso #", "must be a list of formats"),
        ("      event_time: [", "      event_tme: [", "did you mean 'event_time'"),
        ("add_to_cart: cart", "add_to_cart: basket", "expected one of view, wishlist"),
        ("Kauf: purchase", "ADD-TO-CART: purchase", "would be both cart and purchase"),
        ("Kauf: purchase", "View: purchase", "would be both view and purchase"),
    ],
)
def test_what_is_no_format_or_word_is_refused_by_name(was: str, becomes: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        parse_source(YAML.replace(was, becomes), "shop.yaml")


def test_a_pattern_that_only_spark_can_refuse(spark: SparkSession) -> None:
    """`source check` and cleaning name it."""
    events = events_of(YAML.replace("dd/MM/yyyy HH:mm,", "ddddddd/MM/yyyy HH:mm,"))
    raw = spark.createDataFrame([], "at string, what string, who string")
    assert expression_faults(raw, events) == [
        "times: event_time: 'ddddddd/MM/yyyy HH:mm' is no pattern that Spark can read by"
    ]


def test_internal_users_become_a_rule_of_every_dataset_that_names_a_user(
    spark: SparkSession, tmp_path: Path
) -> None:
    """By id, by pattern, by a file beside the YAML; anybody else is left alone."""
    (tmp_path / "staff.txt").write_text("# the warehouse\nstaff 7\n\no'neil\n", encoding="utf-8")
    path = tmp_path / "shop.yaml"
    path.write_text(
        YAML.replace(
            "datasets:",
            "internal_users: {ids: [test-1], patterns: ['^qa\\d+$'], file: staff.txt}\ndatasets:",
        )
    )
    (rule,) = load_source(path).datasets["events"].remove
    assert rule.name == "internal_user"
    users = {
        **dict.fromkeys(["test-1", "qa12", "staff 7", "o'neil"], True),
        **dict.fromkeys(["test-10", "qa12x", "staff", "# the warehouse", "u1"], False),
    }
    raw = spark.createDataFrame([(user,) for user in users], "who string")
    rows = raw.selectExpr("who", f"({rule.when}) AS internal").collect()
    assert {row["who"]: row["internal"] for row in rows} == users


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{id: [u1]}", "unknown key 'id'; did you mean 'ids'"),
        ("{patterns: ['(']}", "patterns: '\\('"),
        ("{file: nobody.txt}", "nobody.txt cannot be read"),
        (f"{{ids: [{', '.join(f'u{n}' for n in range(10_001))}]}}", "at most 10,000 are taken"),
    ],
)
def test_internal_users_that_cannot_be_are_refused(entry: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        parse_source(YAML.replace("datasets:", f"internal_users: {entry}\ndatasets:"), "shop.yaml")
