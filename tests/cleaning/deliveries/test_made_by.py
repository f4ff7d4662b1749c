"""Days in the lake that were cleaned by another mapping, zone, limit or code."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.deliveries.delivery_days import days_to_clean, no_longer_dated
from pipeline.cleaning.deliveries.made_by import MadeOtherwise, described, made_by, made_otherwise
from pipeline.cleaning.deliveries.raw_files import raw_facts
from pipeline.cleaning.night import clean_night
from pipeline.cleaning.rows.mapping import Calendar
from pipeline.lake import Lake, Run
from pipeline.lineage import Lineage
from pipeline.settings import Settings
from pipeline.sources.source import with_timezone
from pipeline.sources.source_yaml import load_source
from tests.lake_rows import write_rows

DAY = dt.date(2026, 3, 1)
SHOP = """
source: shop
description: A dump whose seconds were first read as milliseconds.
timezone: UTC
datasets:
  events:
    files: "events.csv"
    format: csv
    delivery: dump
    columns: [user, item, kind, ts]
    map: {event_time: ts, event_type: kind, user_id: user, item_id: item}
    times: {event_time: [epoch_millis]}
  items:
    same_files_as: events
    map: {item_id: item, title: item}
"""
DAILY = """
source: shop
description: Daily files.
datasets:
  events:
    files: "events_{date}.csv"
    format: csv
    columns: [w, u, i]
    map: {event_time: w, event_type: "'view'", user_id: u, item_id: i}
  reviews:
    files: "reviews_{date}.csv"
    required: false
    format: csv
    columns: [w, u, i, r, x]
    map: {review_time: w, user_id: u, item_id: i, rating: r, text: x}
"""
EVENTS = "user,item,kind,ts\nu1,a,view,1512100000\nu1,b,purchase,1512110000\nu2,c,view,1512200000\n"


@pytest.fixture
def shop(settings: Settings, tmp_path: Path) -> Settings:
    raw = Path(settings.paths.raw)
    raw.mkdir()
    (raw / "events.csv").write_text(EVENTS)
    (tmp_path / "shop.yaml").write_text(SHOP)
    return dataclasses.replace(
        settings, shop=dataclasses.replace(settings.shop, source=str(tmp_path / "shop.yaml"))
    )


def now(shop: Settings, dataset: str = "events") -> Lineage:
    source = with_timezone(load_source(shop.shop.source), shop.shop.timezone)
    return made_by(source, shop)[dataset]


def corrected(shop: Settings, old: str = "epoch_millis", new: str = "epoch_seconds") -> None:
    path = Path(shop.shop.source)
    path.write_text(path.read_text().replace(old, new))


def compared(shop: Settings, lake: Lake, dataset: str = "events") -> MadeOtherwise:
    source = with_timezone(load_source(shop.shop.source), shop.shop.timezone)
    return made_otherwise(lake, shop.paths.raw, source, dataset, now(shop, dataset), [DAY])


def differences(shop: Settings, lake: Lake) -> list[str]:
    return compared(shop, lake).days.get(DAY, [])


def test_each_thing_that_decides_is_named(shop: Settings, lake: Lake) -> None:
    """The mapping, the zone, a limit; not where files lie or whether they must be there."""
    files = load_source(shop.shop.source).datasets["events"].pattern.files(shop.paths.raw)
    write_rows(
        lake,
        "cleaned_events",
        Run(DAY, "r"),
        [],
        raw_files=raw_facts(files),
        **now(shop).facts(),
    )
    assert differences(shop, lake) == []
    corrected(shop, "format: csv", "format: csv\n    required: false")
    assert differences(shop, lake) == []
    assert described(lake, shop) == []
    corrected(shop)
    assert differences(shop, lake) == ["mapping"]
    assert "events of 2026-03-01: another mapping." in described(lake, shop)[0]
    cleaning = dataclasses.replace(shop.cleaning, bot_max_events_per_day=5)
    berlin = dataclasses.replace(shop.shop, timezone="Europe/Berlin")
    other = dataclasses.replace(shop, cleaning=cleaning, shop=berlin)
    assert differences(other, lake) == ["limits", "mapping", "timezone"]
    (Path(shop.paths.raw) / "events.csv").unlink()
    assert differences(shop, lake) == []
    assert "(events.csv): they stay as they are" in described(lake, shop)[0]


def test_a_day_whose_files_the_source_does_not_name_any_more_stays(
    shop: Settings, lake: Lake
) -> None:
    """Reviews come as Parquet now. The night would find no review of the day, and keep none."""
    path = Path(shop.shop.source)
    path.write_text(DAILY)
    raw = Path(shop.paths.raw)
    for name in ("events", "reviews"):
        (raw / f"{name}_{DAY}.csv").write_text("x")
        made = {**now(shop, name).facts(), "raw_files": {f"{name}_{DAY}.csv": 1}}
        write_rows(lake, f"cleaned_{name}", Run(DAY, "r"), [], **made)
    corrected(shop, "reviews_{date}.csv", "opinions_{date}.csv")
    assert compared(shop, lake, "reviews") == MadeOtherwise("reviews", {})
    corrected(shop, "i, r, x]", "i, r, x, y]")
    corrected(shop, "'view'", "'purchase'")
    for name in ("events", "reviews"):
        found = compared(shop, lake, name)
        assert (found.days, found.gone) == ({}, {DAY: f"reviews_{DAY}.csv"})
    corrected(shop, "opinions_", "reviews_")
    assert compared(shop, lake, "reviews").days == {DAY: ["mapping"]}


def test_a_day_that_stays_is_not_cleaned_again_for_other_days(shop: Settings, lake: Lake) -> None:
    """Neither after the catalogue of the day before, nor for late rows, nor by `--again`."""
    items = "  items:\n    files: i_{date}.csv\n    format: csv\n    columns: [i]\n    map: MAP\n"
    Path(shop.shop.source).write_text(DAILY + items.replace("MAP", "{item_id: i, title: i}"))
    days = [DAY + dt.timedelta(days=n) for n in range(4)]
    source = with_timezone(load_source(shop.shop.source), shop.shop.timezone)
    for day in days:
        write_rows(lake, "quarantine", Run(day, "r"), [])
        for name, dataset in source.datasets.items():
            (Path(shop.paths.raw) / dataset.pattern.on(day)).write_text("x")
            facts: dict[str, Any] = {
                "raw_files": raw_facts(dataset.pattern.files(shop.paths.raw, day))
            }
            if name == "events":
                facts["judged_with"] = {"oldest": str(DAY), "deliveries": {}}
            write_rows(lake, f"cleaned_{name}", Run(day, "r"), [], **facts)
    lost, night = days[1], days[3]
    (Path(shop.paths.raw) / f"reviews_{lost}.csv").unlink()
    session: SparkSession = None  # type: ignore[assignment]  # only dumps are read by it
    asked = (session, lake, source, shop.paths.raw, Calendar("UTC", tuple(days), exact=False))
    others = [DAY, days[2], night]
    assert days_to_clean(*asked, made=made_by(source, shop)) == others
    assert days_to_clean(*asked, every=True) == others
    lake.require("cleaned_events", lost).paths[0].write_bytes(b"")
    assert days_to_clean(*asked, made=made_by(source, shop)) == days


def test_other_code_is_named_and_a_partition_without_lineage_is_made_again(
    shop: Settings, lake: Lake
) -> None:
    raw_files = {"events.csv": len(EVENTS)}
    older = dataclasses.replace(now(shop), code="0" * 16)
    write_rows(lake, "cleaned_events", Run(DAY, "r"), [], raw_files=raw_files, **older.facts())
    found = compared(shop, lake)
    assert (found.days, found.without_code().days) == ({DAY: ["code"]}, {})
    assert "--again" in described(lake, shop)[0]
    write_rows(lake, "cleaned_events", Run(DAY, "s"), [], raw_files=raw_files)
    assert differences(shop, lake) == ["an older version"]


def test_a_rolling_dump_empties_no_day_that_it_has_dropped(
    spark: SparkSession, shop: Settings, lake: Lake
) -> None:
    """Tonight's new rows are as many as the dropped ones; a damaged day stops nothing."""
    corrected(shop)
    days = [DAY + dt.timedelta(days=n) for n in range(4)]
    for day in days[:3]:
        facts = {"raw_rows": 2, "raw_files": {"events.csv": 1}}
        write_rows(lake, "cleaned_events", Run(day, "r"), [], **facts)
    noons = [int(dt.datetime(d.year, d.month, d.day, 12, tzinfo=dt.UTC).timestamp()) for d in days]
    dump = [f"u{n},a,view,{noon}" for noon in noons[1:] for n in range(2)]
    (Path(shop.paths.raw) / "events.csv").write_text("\n".join(["user,item,kind,ts", *dump]))
    source = with_timezone(load_source(shop.shop.source), shop.shop.timezone)
    asked = (source, shop.paths.raw, {"events": now(shop)}, Calendar("UTC", tuple(days[1:])), None)
    assert no_longer_dated(spark, lake, *asked) == []
    lake.require("cleaned_events", days[2]).paths[0].write_bytes(b"")
    assert no_longer_dated(spark, lake, *asked) == []


def test_a_corrected_unit_leaves_each_event_once_in_its_day(
    spark: SparkSession, shop: Settings, lake: Lake
) -> None:
    """The days of 1970 are empty then, items too; the next night has nothing to make again."""
    last = dt.date(2017, 12, 2)
    clean_night(spark, shop, lake, Run(last, "wrong"))
    assert lake.dates("cleaned_events") == [dt.date(1970, 1, 18), last]
    corrected(shop)
    night = clean_night(spark, shop, lake, Run(last, "right"))
    assert night.days == [dt.date(1970, 1, 18), dt.date(2017, 12, 1), last]
    rows = {
        name: {day: lake.require(name, day).rows for day in lake.dates(name)}
        for name in ("cleaned_events", "cleaned_items")
    }
    assert list(rows["cleaned_events"].values()) == [0, 2, 1]
    assert list(rows["cleaned_items"].values()) == [0, 3, 0]
    (file,) = lake.require("cleaned_events", last).files
    assert pq.ParquetFile(file).read().column("event_time").to_pylist() == [
        dt.datetime(2017, 12, 2, 7, 33, 20, tzinfo=dt.UTC)
    ]
    assert described(lake, shop) == []
