"""Deliveries that have expired are left aside, whatever of them is still delivered."""

from __future__ import annotations

import dataclasses
import datetime as dt
from argparse import Namespace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.wait_for_raw import work as wait
from pipeline.cleaning.deliveries.delivery_days import days_to_clean, delivery_calendar
from pipeline.cleaning.late.late_dependencies import DEPENDENCIES, LateDependencies
from pipeline.cleaning.night import clean_night
from pipeline.cleaning.rows.mapping import Calendar, delivery_day_of_dump
from pipeline.code_digest import SPARK_SESSION, code_digest
from pipeline.datasets import EXPIRING_DELIVERIES
from pipeline.errors import DamagedError, InputError
from pipeline.lake import Lake, Run
from pipeline.lineage import Lineage, inputs_of
from pipeline.retention.expired import EXPIRED_FILE, expired_until, note_expired
from pipeline.settings import Settings
from pipeline.sources.source import Source
from pipeline.sources.source_yaml import load_source, parse_source
from pipeline.stage import Stage
from pipeline.validation.profiles import read_or_make_profiles
from tests.lake_rows import write_rows

DAYS = [dt.date(2026, 3, n) for n in range(1, 6)]
NO_SPARK: SparkSession = None  # type: ignore[assignment]  # only dumps are read by it
SHOP = """
source: shop
description: A shop with a file of events a day.
datasets:
  events:
    files: "events_{date}.csv"
    format: csv
    columns: [n, at, what, who, sku]
    map: {event_id: n, event_time: at, event_type: what, user_id: who, item_id: sku}
"""


@pytest.fixture
def shop(settings: Settings, tmp_path: Path) -> Settings:
    raw = Path(settings.paths.raw)
    raw.mkdir()
    (tmp_path / "shop.yaml").write_text(SHOP)
    for day in DAYS:
        (raw / f"events_{day}.csv").write_text("n,at,what,who,sku\n")
    return dataclasses.replace(
        settings, shop=dataclasses.replace(settings.shop, source=str(tmp_path / "shop.yaml"))
    )


@pytest.fixture
def source(shop: Settings) -> Source:
    return load_source(shop.shop.source)


def clean(lake: Lake, days: list[dt.date]) -> None:
    for day in days:
        for name in ("cleaned_events", "quarantine"):
            write_rows(lake, name, Run(day, "r"), [])


def wanted(lake: Lake, source: Source, shop: Settings, night: dt.date) -> list[dt.date]:
    calendar = delivery_calendar(
        NO_SPARK,
        source,
        shop.paths.raw,
        "UTC",
        night=night,
        first=None,
        expired=expired_until(lake),
    )
    return days_to_clean(NO_SPARK, lake, source, shop.paths.raw, calendar)


def test_a_delivery_that_has_expired_is_not_cleaned_again_though_its_file_is_there(
    lake: Lake, source: Source, shop: Settings
) -> None:
    clean(lake, DAYS[2:4])
    assert wanted(lake, source, shop, DAYS[4]) == [DAYS[0], DAYS[1], DAYS[4]]
    note_expired(lake, DAYS[1])
    assert wanted(lake, source, shop, DAYS[4]) == [DAYS[4]]
    (Path(shop.paths.raw) / f"events_{DAYS[0]}.csv").write_text("corrected")
    assert wanted(lake, source, shop, DAYS[4]) == [DAYS[4]]


def test_its_night_is_refused(lake: Lake, shop: Settings) -> None:
    note_expired(lake, DAYS[1])
    with pytest.raises(InputError, match=r"2026-03-02 has expired by \[retention\].*another lake"):
        clean_night(NO_SPARK, shop, lake, Run(DAYS[1], "again"))
    with pytest.raises(InputError, match="2026-03-02 has expired"):
        wait(Stage("wait_for_raw", Run(DAYS[1], "again"), shop, lake), Namespace())


def test_a_later_delivery_whose_late_rows_were_judged_with_it_stays(lake: Lake) -> None:
    clean(lake, DAYS[:2])
    judged = LateDependencies(lake).of_delivery("events", DAYS[2], DAYS[0])
    assert list(judged["deliveries"]) == [str(day) for day in DAYS[:2]]
    write_rows(lake, "cleaned_events", Run(DAYS[2], "r"), [], **{DEPENDENCIES: judged})
    assert LateDependencies(lake).out_of_date(DAYS[:3], []) == set()
    for name in EXPIRING_DELIVERIES:
        for path in lake.dataset(name).glob(f"run_date={DAYS[0]}/current.json"):
            path.unlink()
    assert LateDependencies(lake).out_of_date(DAYS[1:3], []) == {DAYS[2]}
    note_expired(lake, DAYS[0])
    assert LateDependencies(lake).out_of_date(DAYS[1:3], []) == set()
    write_rows(lake, "cleaned_events", Run(DAYS[1], "again"), [{"event_id": "e"}])
    assert LateDependencies(lake).out_of_date(DAYS[1:3], []) == {DAYS[2]}


def test_a_file_that_does_not_say_what_has_expired_stops_the_night(lake: Lake) -> None:
    note_expired(lake, DAYS[0])
    path = lake.root / EXPIRED_FILE
    path.write_bytes(path.read_bytes().replace(b"2026-03-01", b"2026-04-01"))
    with pytest.raises(DamagedError, match="does not say which deliveries have expired"):
        expired_until(lake)


def test_drift_is_told_by_the_profile_of_a_delivery_that_has_expired(
    lake: Lake, shop: Settings
) -> None:
    code = code_digest("pipeline.validation.profiles", SPARK_SESSION)
    for day in DAYS:
        made = {
            name: write_rows(lake, name, Run(day, "r"), [])
            for name in ("cleaned_events", "cleaned_users", "quarantine")
        }
        write_rows(lake, "profiles", Run(day, "r"), [], **Lineage(inputs_of(made), code).facts())
    for name in ("cleaned_events", "quarantine"):
        for day in DAYS[:2]:
            (lake.date_directory(name, day) / "current.json").unlink()
    (lake.date_directory("profiles", DAYS[0]) / "current.json").unlink()
    note_expired(lake, DAYS[1])
    found = read_or_make_profiles(NO_SPARK, lake, Run(DAYS[4], "r"), shop)
    assert [profile.day for profile in found.past] == DAYS[1:4], "measured from nothing"


@pytest.mark.parametrize("exact", [True, False])
def test_rows_of_a_dump_that_are_older_are_left_aside_with_the_day_that_expired_last(
    spark: SparkSession, exact: bool
) -> None:
    yaml = SHOP.replace("_{date}", "").replace("    format", "    delivery: dump\n    format")
    dataset = parse_source(yaml, "test").datasets["events"]
    calendar = Calendar("UTC", (DAYS[1], DAYS[2], DAYS[4]), exact, expired=DAYS[1])
    at = [f"{day} 10:00:00" for day in DAYS] + [None]
    raw = spark.createDataFrame([(time,) for time in at], "at string")
    days = raw.select(delivery_day_of_dump(dataset, calendar).alias("day")).collect()
    of = DAYS[:5] if exact else [DAYS[1], DAYS[1], DAYS[2], DAYS[4], DAYS[4]]
    # What has no time is of the first day that is still cleaned.
    assert [row["day"] for row in days] == [*of, DAYS[2]]
