"""What a shopper's consent is after a delivery: a refusal is never lost."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.night import CleanedNight, clean_night
from pipeline.errors import GateError
from pipeline.lake import Lake, Run
from pipeline.pseudonym import pseudonym, read_or_make_key
from pipeline.settings import Settings

DAY = dt.date(2026, 3, 1)
EVENT = {
    "event_id": "e1",
    "ts": "2026-03-01T10:00:00+00:00",
    "type": "view",
    "user": "u1",
    "item": "i1",
    "session": "s1",
    "qty": None,
    "price": 9.5,
}
ITEM = "sku,title,brand,category,price,stock,listed\ni1,Lamp,,,9.5,3,true\n"
LATEST_BY = """
source: shop
description: A shop that says when a shopper answered.
datasets:
  items:
    files: "date={date}/items.csv"
    format: csv
    columns: [sku, title, brand, category, price, stock, listed]
    map: {item_id: sku}
  users:
    files: "date={date}/users.csv"
    format: csv
    columns: [user, consent, lang, country]
    map: {user_id: user, consent: consent, region: country}
    latest_by: lang
  events:
    files: "date={date}/events.jsonl"
    format: jsonl
    columns: [event_id, ts, type, user, item, session, qty, price]
    map: {event_time: ts, event_type: type, user_id: user, item_id: item}
"""


def _clean(
    spark: SparkSession, settings: Settings, lake: Lake, *users: str
) -> tuple[CleanedNight, dict[str, bool]]:
    """Deliver users rows, clean the day: what the night did, and each user's consent."""
    folder = Path(settings.paths.raw) / f"date={DAY}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "items.csv").write_text(ITEM)
    (folder / "events.jsonl").write_text(json.dumps(EVENT) + "\n")
    (folder / "users.csv").write_text("\n".join(["user,consent,lang,country", *users]) + "\n")
    night = clean_night(spark, settings, lake, Run(DAY, "night"))
    key = read_or_make_key(settings.privacy.key_file)
    names = {pseudonym(f"u{number}", key): f"u{number}" for number in range(100)}
    rows = [
        row
        for file in lake.require("cleaned_users", DAY).files
        for row in pq.read_table(file).to_pylist()
    ]
    return night, {names[row["user_id"]]: row["consent"] for row in rows}


def test_of_two_answers_in_one_delivery_the_refusal_wins(
    spark: SparkSession, settings: Settings, lake: Lake
) -> None:
    """Whatever the rows hash to: ten users, each with a yes and a no that differ."""
    users = [f"u{n},{answer},en,DE" for n in range(10) for answer in ("true", "false")]
    night, consent = _clean(spark, settings, lake, *users)
    assert consent == {f"u{n}": False for n in range(10)}
    (line,) = [line for line in night.lines if line.dataset == "users"]
    assert line.quarantined == {"user_id_conflict": 10}


def test_a_later_answer_wins_and_of_equally_late_ones_the_refusal(
    spark: SparkSession, settings: Settings, lake: Lake, tmp_path: Path
) -> None:
    """`latest_by` comes first."""
    source = tmp_path / "shop.yaml"
    source.write_text(LATEST_BY)
    shop = dataclasses.replace(settings.shop, source=str(source))
    settings = dataclasses.replace(settings, shop=shop)
    tied = [f"u{n},{answer},7,DE" for n in range(10) for answer in ("true", "false")]
    later = ["u20,false,1,DE", "u20,true,2,DE", "u21,true,1,DE", "u21,false,2,DE"]
    _, consent = _clean(spark, settings, lake, *tied, *later)
    assert consent == {f"u{n}": False for n in range(10)} | {"u20": True, "u21": False}


def test_no_readable_answer_is_a_refusal(
    spark: SparkSession, settings: Settings, lake: Lake
) -> None:
    """Kept as one, so that an older yes ends; counted; beside a yes, it wins."""
    users = [
        "u1,,en,DE",
        "u2,perhaps,en,DE",
        "u3,true,en,DE",
        "u3,,en,DE",
        "u4,true,en,DE",
        f"u5,false,en,{'x' * 200}",  # nothing else about a refusal gets it refused
        f"u6,true,en,{'x' * 200}",
        ",,en,DE",
    ]
    night, consent = _clean(spark, settings, lake, *users)
    assert consent == {"u1": False, "u2": False, "u3": False, "u4": True, "u5": False}
    assert night.consent_unread == 3
    (line,) = [line for line in night.lines if line.dataset == "users"]
    assert (line.check().rows_in, line.rows_out) == (8, 5)
    assert line.quarantined == {
        "region_too_long": 1,
        "user_id_conflict": 1,
        "user_id_missing": 1,
    }


def test_a_day_of_answers_that_nobody_can_read_stops_the_night(
    spark: SparkSession, settings: Settings, lake: Lake
) -> None:
    """A mapping gone wrong must not quietly refuse for everybody."""
    with pytest.raises(GateError, match="consent_unreadable 30"):
        _clean(spark, settings, lake, *(f"u{n},perhaps,en,DE" for n in range(30)))
