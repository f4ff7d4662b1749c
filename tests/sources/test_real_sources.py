"""The shipped sources on public data: the known kinds of dirt under their own reasons."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import shutil
from collections import Counter
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from pyspark.sql import SparkSession

from jobs import clean
from pipeline.cleaning.night import CleanedNight, clean_night
from pipeline.lake import Lake, Run
from pipeline.ledger import read_ledger
from pipeline.pseudonym import pseudonym, read_or_make_key
from pipeline.settings import Settings

FEES = {
    *("POST", "DOT", "M", "C2", "D", "S", "BANK CHARGES", "AMAZONFEE", "CRUK", "PADS", "B"),
}


def _of(settings: Settings, source: str) -> Settings:
    return dataclasses.replace(settings, shop=dataclasses.replace(settings.shop, source=source))


def _rows(lake: Lake, name: str) -> list[dict]:
    files = [str(file) for date in lake.dates(name) for file in lake.require(name, date).files]
    return ds.dataset(files).to_table().to_pylist()


def test_online_retail_days_through_the_job(
    spark: SparkSession, tmp_path: Path, shared_data: Path
) -> None:
    """Three days, counted here in plain Python: what becomes of every invoice line."""
    days = ["2010-12-01", "2010-12-02", "2011-08-12"]
    (tmp_path / "raw").mkdir()
    for day in days:
        shutil.copy(shared_data / f"online_retail/{day}.csv", tmp_path / "raw")
    config = tmp_path / "nightcart.toml"
    config.write_text(
        '[shop]\nsource = "online_retail"\ntimezone = "Europe/London"\n'
        '[paths]\nraw = "raw"\nlake = "lake"\n[privacy]\nkey_file = "key"\n'
        "[spark]\nshuffle_partitions = 2\n"
    )
    assert clean.main(["--date", days[-1], "--config", str(config), "--run-id", "r"]) == 0

    lake = Lake(tmp_path / "lake")
    lines = read_ledger(lake, Run(dt.date.fromisoformat(days[-1]), "r"))
    assert len(lines) == 3 * len(days)
    key = read_or_make_key(tmp_path / "key")
    returned = 0
    for day in days:
        expected, users, items = Counter[str](), set(), set()
        seen = set()
        with (tmp_path / f"raw/{day}.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                outcome = _outcome(row)
                if outcome == "out" and tuple(row.values()) in seen:
                    outcome = "duplicate"
                elif outcome == "out":
                    seen.add(tuple(row.values()))
                    returned += row["InvoiceNo"].startswith("C")
                    users.add(pseudonym(row["CustomerID"].removesuffix(".0"), key))
                    items.add(row["StockCode"].upper())
                expected[outcome] += 1
        (line,) = (x for x in lines if x.dataset == "events" and x.run_date.isoformat() == day)
        assert {"out": line.rows_out, **line.quarantined, **line.removed} == expected
        events = [
            row
            for file in lake.require("cleaned_events", line.run_date).files
            for row in ds.dataset(str(file)).to_table().to_pylist()
        ]
        assert {row["user_id"] for row in events} == users
        assert {row["item_id"] for row in events} == items
    events = _rows(lake, "cleaned_events")
    assert Counter(row["event_type"] for row in events)["return"] == returned > 0
    assert min(row["quantity"] for row in events) > 0
    # 08:26 in London on 1 December is 08:26 UTC; in August London is an hour ahead.
    assert min(row["event_time"] for row in events).isoformat() == "2010-12-01T08:26:00+00:00"
    titles = {row["item_id"]: row["title"] for row in _rows(lake, "cleaned_items")}
    assert titles["85123A"] == "WHITE HANGING HEART T-LIGHT HOLDER"
    assert not set(titles) & FEES


def _outcome(row: dict[str, str]) -> str:
    """What online_retail.yaml says of an invoice line."""
    code, price, quantity = row["StockCode"].upper(), float(row["UnitPrice"]), int(row["Quantity"])
    cancelled = row["InvoiceNo"].startswith("C")
    if code in FEES or code.startswith("GIFT_"):
        return "not_a_product"
    if not row["CustomerID"] and price > 0 and (cancelled or quantity > 0):
        return "no_customer"
    if not cancelled and quantity <= 0:
        return "stock_adjustment"
    return "price_not_positive" if price <= 0 else "out"


def test_rees46_ends_in_a_truncated_line(
    spark: SparkSession, settings: Settings, lake: Lake, shared_data: Path
) -> None:
    """The whole sample: the cut line is quarantined in each dataset that reads it."""
    settings = dataclasses.replace(
        _of(settings, "rees46_sample"),
        paths=dataclasses.replace(settings.paths, raw=str(shared_data / "rees46_sample")),
    )
    night = clean_night(spark, settings, lake, Run(dt.date(2019, 10, 1), "r"))
    lines = {line.dataset: line for line in night.lines}
    assert lines["events"].rows_in == 17_435
    assert lines["events"].quarantined == {"unreadable_line": 1}
    assert {line.quarantined["unreadable_line"] for line in night.lines} == {1}
    (refused,) = (row for row in _rows(lake, "quarantine") if row["dataset"] == "events")
    # Which of its fields is the user's id is not certain any more: an outline is kept.
    assert refused["raw"].startswith("9999-99-99 99:99:99 xxx,xxxx,99999999,")
    assert refused["file"] == "events_2019-10-01.csv"
    assert "52040330" not in refused["raw"]
    events = _rows(lake, "cleaned_events")
    assert {row["event_type"] for row in events} == {"view", "cart", "purchase"}
    assert {row["item_id"] for row in events} <= {
        row["item_id"] for row in _rows(lake, "cleaned_items")
    }


def test_reviews_without_words_keep_their_stars(
    spark: SparkSession, settings: Settings, lake: Lake, shared_data: Path
) -> None:
    """All seven of the data set, among a hundred other reviews, each on its own day."""
    with (shared_data / "musical_instruments/reviews.csv").open(newline="", encoding="utf-8") as f:
        header, *reviews = csv.reader(f)
    empty = [row for row in reviews if not row[3]]
    assert len(empty) == 7
    later = [row for row in reviews[:150] if row[3] and row[6] > "1388534400"][:40]
    raw = Path(settings.paths.raw)
    raw.mkdir()
    with (raw / "reviews.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *empty, *later])
    night = clean_night(
        spark, _of(settings, "amazon_reviews"), lake, Run(dt.date(2014, 7, 31), "r")
    )
    _check_musical(
        night, lake, rows_in=len(empty) + len(later), days={row[6] for row in empty + later}
    )
    assert _rows(lake, "quarantine") == []
    stars = [(row[1], float(row[4])) for row in empty]
    without = [row for row in _rows(lake, "cleaned_reviews") if row["text"] is None]
    assert sorted((row["item_id"], row["rating"]) for row in without) == sorted(stars)


def _check_musical(night: CleanedNight, lake: Lake, rows_in: int, days: set[str]) -> None:
    reviews = [line for line in night.lines if line.dataset == "reviews"]
    assert sum(line.rows_in for line in reviews) == rows_in
    dated = {dt.datetime.fromtimestamp(int(second), dt.UTC).date() for second in days}
    assert set(night.days) == dated | {dt.date(2014, 7, 31)}
    for row in _rows(lake, "cleaned_reviews"):
        assert "&#34;" not in (row["text"] or "")


@pytest.mark.parametrize("night", ["2014-01-05"])
def test_a_dump_gives_nothing_of_the_future(
    spark: SparkSession, settings: Settings, lake: Lake, night: str
) -> None:
    """A row without a time goes to quarantine on the first day, one of tomorrow is not read."""
    raw = Path(settings.paths.raw)
    raw.mkdir()
    columns = "reviewerID,asin,helpful,reviewText,overall,summary,unixReviewTime,reviewTime"
    seconds = {"d1": "1388620800", "d3": "1388793600", "none": "", "d9": "1389312000"}
    body = "".join(f'{user},A1,,"two\nlines",5,S,{when},\n' for user, when in seconds.items())
    (raw / "reviews.csv").write_text(f"{columns}\n{body}")
    cleaned = clean_night(
        spark, _of(settings, "amazon_reviews"), lake, Run(dt.date.fromisoformat(night), "r")
    )
    found = {
        line.run_date.isoformat(): (line.rows_in, line.rows_out, dict(line.quarantined))
        for line in cleaned.lines
        if line.dataset == "reviews"
    }
    assert found == {
        "2014-01-02": (2, 1, {"undated": 1}),
        "2014-01-04": (1, 1, {}),
        "2014-01-05": (0, 0, {}),
    }
