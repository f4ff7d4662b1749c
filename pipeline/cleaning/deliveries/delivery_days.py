"""Which days a night has to clean: its own, and those before it that are new or have changed."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path

from pyspark.sql import SparkSession

from pipeline.cleaning.deliveries.changed_days import changed_days
from pipeline.cleaning.deliveries.releases import marked_days
from pipeline.cleaning.late.late_dependencies import LateDependencies
from pipeline.cleaning.rows.mapping import Calendar
from pipeline.datasets import QUARANTINE, REMOVED_EVENTS, RETRACTIONS, cleaned
from pipeline.errors import InputError
from pipeline.lake import Lake
from pipeline.sources.delivered_files import delivered_dates, missing_files
from pipeline.sources.expressions import own_day
from pipeline.sources.readers import read_rows
from pipeline.sources.source import Source

log = logging.getLogger("nightcart")


def delivery_calendar(
    spark: SparkSession,
    source: Source,
    raw_root: Path | str,
    timezone: str,
    *,
    night: dt.date,
    first: dt.date | None,
    expired: dt.date | None = None,
) -> Calendar:
    """All delivery days up to and including the night; the night is the last.

    A source of daily files delivers on the days of its files. One of dumps alone delivers, as far
    as a night can tell, on each day that a row is dated, and on the night itself.

    Raises:
        InputError: the night's required files are not there.
    """
    missing = missing_files(source, raw_root, night)
    if missing:
        raise InputError(
            f"{night} is not delivered: {', '.join(str(Path(raw_root) / name) for name in missing)}"
            f" (source {source.name}, paths.raw {raw_root}) does not exist; "
            "wait for the file, or correct paths.raw or the source's files pattern"
        )
    days = {day for day in delivered_dates(source, raw_root, night) if not first or day >= first}
    exact = not days
    if exact:
        days = {day for day in _dump_days(spark, source, raw_root, timezone) if day <= night}
        if not days:
            raise InputError(f"source {source.name} has no row dated on or before {night}")
        days = {day for day in days if not first or day >= first}
    # Rows of a dump up to the day that expired last are of that day, and are left aside with it.
    days |= {expired} if expired and expired < night else set()
    return Calendar(timezone, tuple(sorted(days | {night})), exact, expired)


def days_to_clean(
    spark: SparkSession, lake: Lake, source: Source, raw_root: Path | str, calendar: Calendar
) -> list[dt.date]:
    """The night itself, and each earlier day that is not committed whole, or changed since it was.

    Days that have expired are left alone.

    After a changed catalogue every later day is cleaned again too, because the catalogue decides on
    its events and reviews. After any other change, those later days are whose late rows depend on
    the changed day.
    """
    names = [*(cleaned(name) for name in source.datasets), QUARANTINE]
    of_some_days = (REMOVED_EVENTS, RETRACTIONS)
    night = calendar.open_days[-1]
    again: set[dt.date] = set()
    released = marked_days(lake, raw_root, calendar.open_days)
    for dataset in source.datasets.values():
        changed = changed_days(spark, lake, dataset, raw_root, calendar)
        if changed:
            log.warning(
                "%s of %d days in the lake changed since, from %s on: these are cleaned again",
                dataset.name,
                len(changed),
                changed[0],
            )
        of_release = [day for day, datasets in released.items() if dataset.name in datasets]
        if of_release:
            log.info(
                "refused %s of %d days are released, from %s on: these are cleaned again",
                dataset.name,
                len(of_release),
                of_release[0],
            )
        changed = sorted({*changed, *of_release})
        if changed and dataset.name == "items":
            changed = [day for day in calendar.open_days if day >= changed[0]]
        again |= {*changed}
    again |= {
        day
        for day in calendar.open_days
        if day == night
        or any(lake.whole(name, day) is None for name in names)
        or any(
            lake.is_pointed(name, day) and lake.whole(name, day) is None for name in of_some_days
        )
    }
    dependent = LateDependencies(lake).out_of_date(calendar.open_days, again)
    if dependent:
        log.warning(
            "%d later days had late rows of such days: these are cleaned again", len(dependent)
        )
    return sorted(again | dependent)


def _dump_days(
    spark: SparkSession, source: Source, raw_root: Path | str, timezone: str
) -> set[dt.date]:
    days: set[dt.date] = set()
    for dataset in source.datasets.values():
        if dataset.own_time:
            rows = read_rows(spark, dataset, raw_root, dataset.pattern.files(raw_root))
            dated = rows.select(own_day(dataset, timezone).alias("day")).distinct().collect()
            days |= {row["day"] for row in dated if row["day"] is not None}
    return days
