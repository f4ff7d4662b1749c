"""Night after night through cleaning and histories, against one rebuild from the whole past."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.night import clean_night
from pipeline.histories.build import build
from pipeline.histories.increment import INCREMENTAL
from pipeline.lake import Lake, Run
from pipeline.settings import Settings
from pipeline.simulator.shop import simulate_shop

pytestmark = pytest.mark.slow

DATASETS = ("acts", "catalogue", "user_attributes", "histories", "item_words")
DAYS = [dt.date(2026, 3, 1) + dt.timedelta(days=n) for n in range(3)]


def checksums(lake: Lake, night: dt.date) -> list[tuple[str, str, str]]:
    return [
        (name, entry["path"], entry["sha256"])
        for name in DATASETS
        for entry in lake.require(name, night).manifest["files"]
    ]


def with_histories(settings: Settings, **values: object) -> Settings:
    return dataclasses.replace(
        settings,
        histories=dataclasses.replace(settings.histories, **values),  # type: ignore[arg-type]
        generation=dataclasses.replace(settings.generation, k=2),
    )


def one_by_one_equals_a_rebuild(
    spark: SparkSession, settings: Settings, nights: Sequence[dt.date]
) -> Lake:
    """Clean and build each night, then the last one again from the whole past."""
    lake = Lake(settings.paths.lake)
    for night in nights:
        run = Run(night, "one")
        clean_night(spark, settings, lake, run)
        built = build(spark, lake, run, settings).report["built"]
        if night != nights[0]:
            assert set(built.values()) == {INCREMENTAL}
    last = nights[-1]
    found = checksums(lake, last)
    again = build(spark, lake, Run(last, "again"), settings, rebuild=True).report["built"]
    assert INCREMENTAL not in again.values()
    assert checksums(lake, last) == found
    return lake


def test_a_simulated_shop_with_late_rows(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    """Whatever day a random third of the events and reviews is delivered on."""
    raw = tmp_path / "raw"
    simulate_shop(raw, users=40, items=30, days=len(DAYS), seed=5, start_date=DAYS[0])
    chance = random.Random(6)
    for name in ("events.jsonl", "reviews.jsonl"):
        of_day: dict[dt.date, list[bytes]] = {day: [] for day in DAYS}
        for place, day in enumerate(DAYS):
            path = raw / f"date={day}" / name
            for line in path.read_bytes().splitlines():
                late = chance.choice(DAYS[place:]) if chance.random() < 0.3 else day
                of_day[late].append(line)
        for day, lines in of_day.items():
            (raw / f"date={day}" / name).write_bytes(b"".join(line + b"\n" for line in lines))
    chosen = with_histories(settings, max_events=8, cancellation_days=1)
    chosen = dataclasses.replace(
        chosen,
        shop=dataclasses.replace(chosen.shop, source="simulator"),
        cleaning=dataclasses.replace(chosen.cleaning, late_horizon_days=1),
    )
    lake = one_by_one_equals_a_rebuild(spark, chosen, DAYS)
    assert sum(lake.require("cleaned_events", DAYS[-1]).manifest["late"].values()) > 0


def test_consecutive_days_of_online_retail(
    spark: SparkSession, settings: Settings, shared_data: Path
) -> None:
    nights = [dt.date(2011, 6, day) for day in (2, 3, 5)]
    chosen = with_histories(settings, max_events=5, cancellation_days=1)
    chosen = dataclasses.replace(
        chosen,
        shop=dataclasses.replace(chosen.shop, source="online_retail", timezone="Europe/London"),
        paths=dataclasses.replace(chosen.paths, raw=str(shared_data / "online_retail")),
        cleaning=dataclasses.replace(
            chosen.cleaning, first_day=nights[0].isoformat(), late_horizon_days=1
        ),
    )
    lake = one_by_one_equals_a_rebuild(spark, chosen, nights)
    acts = lake.require("acts", nights[-1]).rows
    delivered = sum(part.rows for part in lake.past("cleaned_events", nights[-1]))
    assert acts < delivered, "nothing is forgotten: this proves little"
