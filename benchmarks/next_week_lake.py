"""Nights of a real shop a month apart, up to the histories that `benchmarks.next_week` trains on.

Every delivery is cleaned once; then `build_histories` makes each night as of its date, by the
pipeline's own code, in a lake that is kept. Training works in a copy of it made of links, one for
each way to start, so that champions of one are none of the other's.

What was bought afterwards is read from the cleaned events of later days, which no night has read.
"""

from __future__ import annotations

import calendar
import datetime as dt
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pyarrow.dataset as ds
from pyspark.sql import SparkSession

from pipeline.cleaning.night import clean_night
from pipeline.histories.build import build
from pipeline.lake import CURRENT, Lake, Run
from pipeline.settings import Settings, load_settings
from pipeline.spark_session import open_spark

WEEK = dt.timedelta(days=7)
RUN_ID = "benchmark"
DAY = re.compile(r"\d{4}-\d\d-\d\d")  # in the name of a delivery's file or folder
# What training and evaluation read of a night.
READ = ("histories", "catalogue", "item_words", "cleaned_reviews")


def settings_for(data: Path, scratch: Path, lake: Path, changed: Sequence[str]) -> Settings:
    """The defaults, for this shop, with what was changed by `SECTION.KEY=VALUE`."""
    given = {
        "shop.source": data.name,
        "shop.timezone": "Europe/London",
        "paths.raw": str(data),
        "paths.lake": str(lake),
        "privacy.key_file": str(scratch / "user_id.key"),
        "reasons.enabled": "false",
        **dict(change.split("=", 1) for change in changed),
    }
    return load_settings(
        None, {f"NIGHTCART_{key.replace('.', '__').upper()}": given[key] for key in given}
    )


def nights_of(data: Path, n: int, apart: str, last: dt.date | None = None) -> list[dt.date]:
    """The last night has a whole week of deliveries after it; the others come before it.

    Args:
        last: another last night than the latest that there can be.
    """
    found = (DAY.search(path.name) for path in data.iterdir())
    days = sorted(dt.date.fromisoformat(day.group()) for day in found if day)
    latest = days[-1] - WEEK
    if last is not None and last > latest:
        raise SystemExit(f"--last {last}: there is no whole week after it; the latest is {latest}")
    last = last or latest
    if apart == "day":
        return [day for day in days if day <= last][-n:]
    nights = [_months_before(last, number) for number in reversed(range(n))]
    if not nights or nights[0] <= days[0]:
        raise SystemExit(f"{data} has {days[0]} to {days[-1]}: too little for {n} months to {last}")
    return nights


def _months_before(day: dt.date, months: int) -> dt.date:
    month = day.year * 12 + day.month - 1 - months
    year, month = month // 12, month % 12 + 1
    return dt.date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def prepare(settings: Settings, nights: Sequence[dt.date], last_delivery: dt.date) -> None:
    """Clean what is not cleaned yet, build what is not built yet; nights in order."""
    lake = Lake(settings.paths.lake)
    missing = [night for night in nights if lake.current("histories", night) is None]
    if not missing and lake.current("cleaned_events", last_delivery) is not None:
        return
    spark: SparkSession = open_spark(settings.spark, "benchmark")
    try:
        if lake.current("cleaned_events", last_delivery) is None:
            clean_night(spark, settings, lake, Run(last_delivery, RUN_ID))
        for night in missing:
            build(spark, lake, Run(night, RUN_ID), settings)
            print(f"{night}: {lake.require('histories', night).rows:,} histories", flush=True)
    finally:
        spark.stop()


def link(lake: Path, to: Path) -> None:
    """Bring histories that are not there yet into a lake of models; files are never changed."""
    for dataset in READ:
        for pointer in sorted((lake / dataset).glob(f"run_date=*/{CURRENT}")):
            target = to / dataset / pointer.parent.name
            if not (target / CURRENT).exists():
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(pointer.parent, target, copy_function=os.link)


def bought_after(lake: Lake, night: dt.date, event_types: Sequence[str]) -> dict[str, set[str]]:
    """Items that each user bought in the seven days after the night."""
    files: list[str] = []
    day = night + dt.timedelta(days=1)
    while day <= night + WEEK:
        partition = lake.current("cleaned_events", day)
        files += [str(path) for path in partition.files] if partition else []
        day += dt.timedelta(days=1)
    if not files:
        return {}
    inside = (
        (ds.field("event_date") > night)
        & (ds.field("event_date") <= night + WEEK)
        & ds.field("event_type").isin(list(event_types))
    )
    table = ds.dataset(files, format="parquet").to_table(["user_id", "item_id"], filter=inside)
    bought: dict[str, set[str]] = defaultdict(set)
    for row in table.to_pylist():
        if row["item_id"] is not None:
            bought[row["user_id"]].add(row["item_id"])
    return dict(bought)
