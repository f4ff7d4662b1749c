"""Files of several layouts that are one dataset: parsing, the rows, and a night over both."""

from __future__ import annotations

import dataclasses
import datetime as dt
import gzip
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.night import clean_night
from pipeline.errors import ContractError, InputError
from pipeline.lake import Lake, Run
from pipeline.settings import Settings
from pipeline.sources.source_yaml import parse_source

OLD, NEW = dt.date(2026, 2, 28), dt.date(2026, 3, 1)
SHOP = """
source: shop
description: A shop that moved to another system in March.
datasets:
  events:
    layouts:
      - files: "sales_{date}.csv"
        format: csv
        options: {delimiter: ";", encoding: windows-1252}
        columns: [When, Kunde, Artikel, Preis]
        to: 2026-02-28
        map: {event_time: When, event_type: "'purchase'", user_id: Kunde, item_id: Artikel,
              price: Preis}
        times: {event_time: ["dd.MM.yyyy HH:mm"]}
        numbers: {price: {decimal: ","}}
        remove:
          - {rule: test, when: "Kunde = 'test'", description: A tester.}
      - files: "sales_{date}.jsonl"
        format: jsonl
        columns: [ts, customer, sku, price]
        from: 2026-03-01
        map: {event_time: ts, event_type: "'purchase'", user_id: customer, item_id: sku,
              price: price, quantity: "2"}
        times: {event_time: [epoch_seconds]}
"""
WRONG = {
    "layouts must be a list of two or more": ('      - files: "sales_{date}.jsonl"', None),
    "from must be a date": ("from: 2026-03-01", "from: March"),
    "from lies behind to": ("to: 2026-02-28", "from: 2026-03-02\n        to: 2026-02-28"),
    "explode and layouts do not go together": ("from: 2026-03-01", "explode: {sku: one}"),
    "required is of the whole dataset": ("from: 2026-03-01", "required: false"),
    "a raw column may not be called 'layout'": ("customer, sku, price]", "customer, sku, Layout]"),
    "differ in case only": ("customer, sku, price]", "customer, sku, preis]"),
    "unknown key 'until'": ("from: 2026-03-01", "until: 2026-03-01"),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_layouts_are_refused_by_name(message: str) -> None:
    old, new = WRONG[message]
    text = SHOP.replace(old, new, 1) if new else SHOP[: SHOP.index(old)]
    with pytest.raises(ContractError) as caught:
        parse_source(text, "shop.yaml")
    assert message in str(caught.value)


def test_each_day_has_the_files_of_its_layout(tmp_path: Path) -> None:
    """A stray file of the other layout is none of the day's."""
    for day in (OLD, NEW):
        for ending in ("csv", "jsonl"):
            (tmp_path / f"sales_{day}.{ending}").touch()
    pattern = parse_source(SHOP, "shop.yaml").datasets["events"].pattern
    assert [file.relative for file in pattern.files(tmp_path)] == [
        f"sales_{OLD}.csv",
        f"sales_{NEW}.jsonl",
    ]
    assert pattern.on(OLD) == f"sales_{OLD}.csv"
    assert pattern.matches(f"sales_{NEW}.jsonl", NEW)
    assert not pattern.matches(f"sales_{NEW}.csv", NEW)
    same = SHOP.replace("{date}.jsonl", "{date}.csv").replace("to: 2026-02-28", "to: 2026-03-01")
    with pytest.raises(InputError, match=r"2026-03-01\.csv is of two layouts"):
        parse_source(same, "shop.yaml").datasets["events"].pattern.files(tmp_path)


def test_a_night_over_both_layouts(
    spark: SparkSession, settings: Settings, lake: Lake, tmp_path: Path
) -> None:
    """Times, numbers, encodings and rules of each are its own; the days lie side by side."""
    (tmp_path / "shop.yaml").write_text(SHOP)
    shop = dataclasses.replace(settings.shop, source=str(tmp_path / "shop.yaml"))
    settings = dataclasses.replace(settings, shop=shop)
    raw = Path(settings.paths.raw)
    raw.mkdir()
    lines = "When;Kunde;Artikel;Preis\n28.02.2026 10:00;ä1;i1;9,50\n28.02.2026 11:00;test;i1;1,0\n"
    (raw / f"sales_{OLD}.csv").write_text(lines + "28.02.2026 12:00;a2;i1\n", "windows-1252")
    at = int(dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC).timestamp())
    new = f'{{"ts": {at}, "customer": "ä1", "sku": "i2", "price": 3.25}}\n'
    (raw / f"sales_{NEW}.jsonl.gz").write_bytes(gzip.compress(new.encode()))
    night = clean_night(spark, settings, lake, Run(NEW, "r"))
    of = {line.run_date: line.check() for line in night.lines if line.dataset == "events"}
    assert (of[OLD].rows_in, of[OLD].rows_out) == (3, 1)
    assert (of[OLD].removed, of[OLD].quarantined) == ({"test": 1}, {"unreadable_line": 1})
    assert (of[NEW].rows_in, of[NEW].rows_out) == (1, 1)
    columns = ["event_time", "user_id", "item_id", "price", "quantity"]
    rows = [
        row
        for day in (OLD, NEW)
        for file in lake.require("cleaned_events", day).files
        for row in pq.ParquetFile(file).read(columns).to_pylist()
    ]
    assert [(row["item_id"], row["price"], row["quantity"]) for row in rows] == [
        ("i1", 9.5, None),
        ("i2", 3.25, 2),
    ]
    assert [row["event_time"].isoformat()[:16] for row in rows] == [
        "2026-02-28T10:00",
        "2026-03-01T09:00",
    ]
    assert len({row["user_id"] for row in rows}) == 1
    assert clean_night(spark, settings, lake, Run(NEW, "r2")).days == [NEW]


@pytest.mark.parametrize("items", ["sales_{date}.csv", "sales_{date}.jsonl"])
def test_a_dataset_of_one_layouts_files_knows_their_users(items: str) -> None:
    """Also where it is joined with them."""
    text = f"""
  items:
    files: "{items}"
    format: csv
    columns: [Kunde, customer, Artikel]
    map: {{item_id: Artikel}}
  reviews:
    files: "reviews_{{date}}.csv"
    format: csv
    columns: [who, at, sku]
    with: {{sale: {{files: "{items}", columns: [sku, Kunde, customer, note], on: {{sku: sku}}}}}}
    map: {{review_time: at, user_id: who, item_id: sku, rating: "5",
          title: "concat(sale.Kunde, sale.customer)", text: sale.note}}
"""
    datasets = parse_source(SHOP + text, "shop.yaml").datasets
    assert datasets["events"].user_columns == ("Kunde", "customer")  # and not `layout`
    assert datasets["items"].users_elsewhere == ("Kunde", "customer")
    assert datasets["reviews"].users_elsewhere == ("sale.Kunde", "sale.customer")
