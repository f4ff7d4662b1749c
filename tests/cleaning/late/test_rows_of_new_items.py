"""Rows of an item that nobody knew yet are taken in by the night that learns of it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.night import CleanedNight, clean_night
from pipeline.lake import Lake, Run
from pipeline.settings import load_settings
from tests.lake_rows import given_ids, read_rows

DAYS = [dt.date(2026, 3, day) for day in (1, 2, 3)]
ITEMS = "sku,title,brand,category,price,stock,listed\n"
NAMES = ("cleaned_events", "cleaned_reviews", "quarantine", "removed_events", "retractions")


def event(event_id: str, item: str, day: int, user: str = "u1") -> dict:
    return {
        "event_id": event_id,
        "ts": f"2026-03-0{day}T10:00:00Z",
        "type": "view",
        "user": user,
        "item": item,
        "session": "s1",
        "qty": None,
        "price": 9.5,
    }


def review(item: str, body: str) -> dict:
    return {
        "review_id": "r1",
        "ts": "2026-03-01T11:00:00Z",
        "user": "u1",
        "item": item,
        "stars": 5,
        "headline": "Good",
        "body": body,
        "lang": "en",
    }


DELIVERED = {
    1: [event("e1", "known", 1), event("e2", "new", 1), event("e3", "never", 1)],
    2: [event("e4", "known", 2), event("e5", "new", 2)],
    # The first of them was written with the same id again, and the item is known by now.
    3: [event("e6", "new", 3), event("e2", "new", 1)],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("items")
    for number, day in enumerate(DAYS, start=1):
        folder = home / "raw" / f"date={day}"
        folder.mkdir(parents=True)
        (folder / "events.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in DELIVERED[number])
        )
        items = ["known,Lamp,B,Home,9.5,3,true"] + ["new,Vase,B,Home,5,3,true"] * (number == 3)
        (folder / "items.csv").write_text(ITEMS + "\n".join(items) + "\n")
    text = "Write to me@example.com, it is a vase that I like."
    (home / "raw" / f"date={DAYS[0]}" / "reviews.jsonl").write_text(json.dumps(review("new", text)))
    return home


def clean(spark: SparkSession, home: Path, lake: str, *nights: dt.date) -> list[CleanedNight]:
    settings = load_settings(
        None,
        {
            "NIGHTCART_PATHS__RAW": str(home / "raw"),
            "NIGHTCART_PATHS__LAKE": str(home / lake),
            "NIGHTCART_PRIVACY__KEY_FILE": str(home / "user_id.key"),
            "NIGHTCART_SPARK__SHUFFLE_PARTITIONS": "2",
        },
    )
    return [clean_night(spark, settings, Lake(home / lake), Run(day, "r")) for day in nights]


@pytest.fixture(scope="module")
def nights(spark: SparkSession, home: Path) -> list[CleanedNight]:
    return clean(spark, home, "lake", DAYS[1], DAYS[2])


def test_they_lie_in_their_own_day_of_the_night_that_learned_of_the_item(
    home: Path, nights: list[CleanedNight]
) -> None:
    lake = Lake(home / "lake")
    names = [f"e{number}" for number in range(1, 7)]
    accepted = [
        [
            (given_ids([row], "event_id", home / "user_id.key", names)[0], row["event_date"])
            for row in read_rows(lake, "cleaned_events", day)
        ]
        for day in DAYS
    ]
    assert [sorted(rows) for rows in accepted] == [
        [("e1", DAYS[0])],
        [("e4", DAYS[1])],
        [("e2", DAYS[0]), ("e5", DAYS[1]), ("e6", DAYS[2])],
    ]
    assert lake.require("cleaned_events", DAYS[2]).manifest["late"] == {
        "2026-03-01": 1,
        "2026-03-02": 1,
    }
    [review] = read_rows(lake, "cleaned_reviews", DAYS[2])
    assert given_ids([review], "review_id", home / "user_id.key", ["r1"])
    assert review["review_date"] == DAYS[0]
    assert "vase that I like" in review["text"]
    assert "example.com" not in review["text"]


def test_the_user_is_the_same_user(home: Path, nights: list[CleanedNight]) -> None:
    """Quarantine keeps the hash of the id; it is not hashed again."""
    rows = [
        row
        for name in ("cleaned_events", "cleaned_reviews")
        for day in DAYS
        for row in read_rows(Lake(home / "lake"), name, day)
    ]
    assert len({row["user_id"] for row in rows}) == 1


def test_the_ledger_counts_them_apart(nights: list[CleanedNight]) -> None:
    lines = {
        (line.dataset, line.run_date): (line.rows_in, line.rows_out, dict(line.removed))
        for line in nights[1].lines
    }
    assert lines["events", DAYS[2]] == (2, 1, {"duplicate": 1})
    assert lines["events_released", DAYS[2]] == (2, 2, {})
    assert lines["reviews_released", DAYS[2]] == (1, 1, {})
    assert all(line.unaccounted == 0 for night in nights for line in night.lines)


def test_what_is_still_unknown_stays_in_quarantine(home: Path, nights: list[CleanedNight]) -> None:
    refused = [row for day in DAYS for row in read_rows(Lake(home / "lake"), "quarantine", day)]
    assert sorted(json.loads(row["raw"])["item"] for row in refused) == [
        *("never", "new", "new", "new")
    ]


def test_one_pass_over_all_days_gives_the_same_files(
    spark: SparkSession, home: Path, nights: list[CleanedNight]
) -> None:
    clean(spark, home, "at_once", DAYS[2])
    one_by_one, at_once = (
        {
            (name, day): Lake(home / lake).require(name, day).manifest["files"]
            for name in NAMES
            for day in Lake(home / lake).dates(name)
        }
        for lake in ("lake", "at_once")
    )
    assert at_once == one_by_one
