"""Whole nights over files: late data equals on-time data, and any order of lines any other."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from pyspark.sql import SparkSession

from pipeline.cleaning.night import CleanedNight, clean_night
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import check_columns
from pipeline.histories.past import past_rows, read_past
from pipeline.lake import Lake, Run
from pipeline.settings import Settings, load_settings
from pipeline.simulator.shop import simulate_shop

DAYS = [dt.date(2011, 6, 1) + dt.timedelta(days=n) for n in range(3)]
# Low, so that small days have bots too, and some only once they are whole.
LIMITS = {"NIGHTCART_CLEANING__BOT_MAX_EVENTS_PER_DAY": "6"}


def settings_of(home: Path, source: str) -> Settings:
    return load_settings(
        None,
        {
            "NIGHTCART_SHOP__SOURCE": source,
            "NIGHTCART_PATHS__RAW": str(home / "raw"),
            "NIGHTCART_PATHS__LAKE": str(home / "lake"),
            "NIGHTCART_PRIVACY__KEY_FILE": str(home.parent / "user_id.key"),
            "NIGHTCART_SPARK__SHUFFLE_PARTITIONS": "2",
            **LIMITS,
        },
    )


def clean(spark: SparkSession, home: Path, source: str, *nights: dt.date) -> list[CleanedNight]:
    settings = settings_of(home, source)
    return [clean_night(spark, settings, Lake(home / "lake"), Run(day, "r")) for day in nights]


def past(spark: SparkSession, home: Path, name: str, upto: dt.date) -> Counter[tuple]:
    """The rows, without the delivery that brought them."""
    lake = Lake(home / "lake")
    rows = read_past(spark, lake, name, upto).drop("run_date").collect()
    assert len(rows) == past_rows(lake, name, upto)
    return Counter(tuple(row) for row in rows)


def split(lines: dict[dt.date, list[str]], may_wait: Callable[[str, dt.date], bool]) -> None:
    """A third of each day's lines come with a later day's; then every day is shuffled."""
    draw = random.Random(11)
    for number, day in enumerate(DAYS[:-1]):
        waits = [line for line in lines[day] if draw.random() < 0.33 and may_wait(line, day)]
        for line in waits:
            lines[day].remove(line)
            lines[draw.choice(DAYS[number + 1 :])].append(line)
    for day in DAYS:
        draw.shuffle(lines[day])


def is_of_its_day(line: str, day: dt.date) -> bool:
    """A clock that is ahead is none when the line comes later."""
    try:
        return bool(json.loads(line)["ts"][:10] <= day.isoformat())
    except ValueError:
        return False


def split_json_lines(raw: Path, late: Path, name: str) -> None:
    lines = {}
    for day in DAYS:
        text = (raw / f"date={day}" / name).read_text("utf-8")
        lines[day] = text.splitlines()
    split(lines, is_of_its_day)
    for day in DAYS:
        (late / f"date={day}" / name).write_text("\n".join(lines[day]) + "\n", "utf-8")


def test_a_simulated_shop(spark: SparkSession, tmp_path: Path) -> None:
    on_time, late = tmp_path / "on_time", tmp_path / "late"
    for home in (on_time, late):
        simulate_shop(
            home / "raw", users=60, items=40, days=3, seed=3, start_date=DAYS[0], dirt=12.0
        )
    for name in ("events.jsonl", "reviews.jsonl"):
        split_json_lines(on_time / "raw", late / "raw", name)
    clean(spark, on_time, "simulator", DAYS[-1])
    nights = clean(spark, late, "simulator", DAYS[1], DAYS[2])
    assert [night.days for night in nights] == [DAYS[:2], DAYS[2:]]
    for name in ("cleaned_events", "cleaned_reviews"):
        assert past(spark, late, name, DAYS[-1]) == past(spark, on_time, name, DAYS[-1])
    for name in ("retractions", "removed_events"):
        [taken] = Lake(late / "lake").past(name, DAYS[-1])[-1:]
        frame = check_columns(spark.read.parquet(*map(str, taken.files)), load_contract(name))
        assert 0 < frame.count() == frame.select(*load_contract(name).key).distinct().count()
    lines = [line for night in nights for line in night.lines]
    assert all(line.unaccounted == 0 for line in lines)
    again = [line for line in lines if line.dataset == "events_judged_again"]
    assert sum(line.removed.get("bot", 0) for line in again) > 0


def test_a_real_shop(spark: SparkSession, tmp_path: Path, shared_data: Path) -> None:
    on_time, late = tmp_path / "on_time", tmp_path / "late"
    lines = {}
    for home in (on_time, late):
        (home / "raw").mkdir(parents=True)
    for day in DAYS:
        text = (shared_data / "online_retail" / f"{day}.csv").read_text("utf-8")
        (on_time / "raw" / f"{day}.csv").write_text(text, "utf-8")
        header, *lines[day] = text.splitlines()
    split(lines, lambda _line, _day: True)
    for day in DAYS:
        text = "\n".join([header, *lines[day]]) + "\n"
        (late / "raw" / f"{day}.csv").write_text(text, "utf-8")
    clean(spark, on_time, "online_retail", DAYS[-1])
    clean(spark, late, "online_retail", DAYS[1], DAYS[2])
    found = past(spark, late, "cleaned_events", DAYS[-1])
    assert found == past(spark, on_time, "cleaned_events", DAYS[-1])
    assert found.total() > 2000
