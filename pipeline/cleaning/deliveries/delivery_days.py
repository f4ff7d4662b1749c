"""Which days a night has to clean: its own, and those before it that are new or have changed."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from pyspark.sql import SparkSession

from pipeline.cleaning.deliveries.changed_days import changed_days
from pipeline.cleaning.deliveries.joined_days import days_joined_otherwise, moved_days
from pipeline.cleaning.deliveries.made_by import made_otherwise
from pipeline.cleaning.deliveries.releases import marked_days, missing_raw_file
from pipeline.cleaning.late.late_dependencies import LateDependencies
from pipeline.cleaning.rows.mapping import Calendar, delivery_day_of_dump
from pipeline.datasets import QUARANTINE, REMOVED_EVENTS, RETRACTIONS, cleaned
from pipeline.errors import InputError
from pipeline.lake import Lake
from pipeline.lineage import Lineage
from pipeline.sources.delivered_files import delivered_dates, missing_files
from pipeline.sources.expressions import own_day
from pipeline.sources.readers import read_rows
from pipeline.sources.source import Source, SourceDataset

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
    of_snapshots: Iterable[dt.date] = (),
) -> Calendar:
    """All delivery days up to and including the night; the night is the last.

    A source of daily files delivers on the days of its files. One of dumps alone delivers, as far
    as a night can tell, on each day that a row is dated, and on the night itself. So does one of
    snapshots on the days (`of_snapshots`) on which the lake has taken in one.

    Raises:
        InputError: the night's required files are not there.
    """
    missing = missing_files(source, raw_root, night)
    if missing:
        found = [
            said for one in source.datasets.values() for said in one.pattern.no_files(raw_root)
        ]
        hint = f". {found[0]}" if found else ""
        raise InputError(
            f"{night} is not delivered: {', '.join(str(Path(raw_root) / name) for name in missing)}"
            f" (source {source.name}, paths.raw {raw_root}) does not exist; "
            f"wait for the file, or correct paths.raw or the source's files pattern{hint}"
        )
    days = {day for day in delivered_dates(source, raw_root, night) if not first or day >= first}
    exact = not days
    if exact:
        days = {day for day in _dump_days(spark, source, raw_root, timezone, night) if day <= night}
        if not days:
            raise InputError(f"source {source.name} has no row dated on or before {night}")
        days = {day for day in days if not first or day >= first}
    days |= {day for day in of_snapshots if day <= night and (not first or day >= first)}
    # Rows of a dump up to the day that expired last are of that day, and are left aside with it.
    days |= {expired} if expired and expired < night else set()
    return Calendar(timezone, tuple(sorted(days | {night})), exact, expired)


def days_of_snapshots(lake: Lake, source: Source) -> set[dt.date]:
    """The days in the lake whose night has read a snapshot."""
    return {
        day
        for name, dataset in source.datasets.items()
        if dataset.delivery == "snapshot"
        for day in {*dataset.snapshots.dates()} & {*lake.dates(cleaned(name))}
    }


def days_to_clean(
    spark: SparkSession,
    lake: Lake,
    source: Source,
    raw_root: Path | str,
    calendar: Calendar,
    *,
    made: Mapping[str, Lineage] | None = None,
    every: bool = False,
) -> list[dt.date]:
    """The night itself, and each earlier day that is not committed whole, or changed since it was.

    Days that have expired are left alone. Where a day became empty (`Calendar.emptied`), the
    first one behind it takes over what no row dates, and is cleaned again too.

    After a changed catalogue every later day is cleaned again too, because the catalogue decides on
    its events and reviews. After any other change, those later days are whose late rows depend on
    the changed day. None of these, nor of `every`, is a day that has lost a raw file of its own:
    it stays as it is, and is named.

    Args:
        made: what each dataset would be made by now; days that were made by something else are
            cleaned again. None: nothing is compared.
        every: all days of the calendar.
    """
    names = [*(cleaned(name) for name in source.datasets), QUARANTINE]
    of_some_days = (REMOVED_EVENTS, RETRACTIONS)
    night = calendar.open_days[-1]
    stays = _StayingDays(lake, raw_root, source)
    again: set[dt.date] = {*calendar.emptied}
    again |= stays.left_out_of(_first_days_after(calendar.emptied, source, calendar))
    if every:
        again |= stays.left_out_of(calendar.open_days)
    released = marked_days(lake, raw_root, source, calendar.open_days)
    for dataset in source.datasets.values():
        changed = changed_days(
            spark, lake, dataset, raw_root, calendar, without_lost=stays.left_out_of
        )
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
        otherwise = _made_otherwise(lake, raw_root, source, dataset.name, made or {}, calendar)
        joined = _joined_otherwise(spark, lake, dataset, raw_root, calendar, stays)
        changed = sorted({*changed, *of_release, *otherwise, *joined})
        if changed and dataset.name == "items":
            later = {day for day in calendar.open_days if day > changed[0]} - {*changed}
            again |= stays.left_out_of(later)
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
    dependencies = LateDependencies(lake)
    dependent = dependencies.out_of_date(calendar.open_days, again)
    if left := dependent - stays.left_out_of(dependent):
        dependent = dependencies.out_of_date(
            [day for day in calendar.open_days if day not in left], again
        )
    if dependent:
        log.warning(
            "%d later days had late rows of such days: these are cleaned again", len(dependent)
        )
    return sorted(again | dependent)


def _first_days_after(
    emptied: Iterable[dt.date], source: Source, calendar: Calendar
) -> set[dt.date]:
    """The days that deliver what emptied ones did and no row dates.

    Of a snapshot, what an emptied day delivered is new on the first day behind it. The rows of a
    dump that have no time are of the first day of all.
    """
    kinds = {dataset.delivery for dataset in source.datasets.values()}
    found: set[dt.date] = set()
    for day in emptied:
        first = next((open_day for open_day in calendar.open_days if open_day > day), None)
        is_first_of_all = first == calendar.open_days[0]
        if first and ("snapshot" in kinds or ("dump" in kinds and is_first_of_all)):
            found.add(first)
    return found


def _joined_otherwise(  # noqa: PLR0917
    spark: SparkSession,
    lake: Lake,
    dataset: SourceDataset,
    raw_root: Path | str,
    calendar: Calendar,
    stays: _StayingDays,
) -> set[dt.date]:
    days = days_joined_otherwise(spark, lake, dataset, raw_root, calendar)
    found = stays.left_out_of(days) if days else set()
    if found:
        log.warning(
            "%s of %d days are joined with other rows since, from %s on: these are cleaned again",
            dataset.name,
            len(found),
            min(found),
        )
    return found


class _StayingDays:
    """Days that nothing but a change of their own cleans again: a raw file of theirs is gone."""

    def __init__(self, lake: Lake, raw_root: Path | str, source: Source) -> None:
        self._lake, self._raw_root, self._source = lake, raw_root, source

    def left_out_of(self, days: Iterable[dt.date]) -> set[dt.date]:
        """The days without those that stay, which a warning names."""
        lost = partial(missing_raw_file, self._lake, self._raw_root, self._source, of_dumps=False)
        missing = {day: lost(day) for day in sorted(days)}
        gone = {day: file for day, file in missing.items() if file is not None}
        if gone:
            log.warning(
                "%d days stay as they are though others are cleaned again: of %s, %s is gone or of "
                "another name than the source's",
                len(gone),
                *next(iter(gone.items())),
            )
        return {*missing} - {*gone}


def no_longer_dated(  # noqa: PLR0917
    spark: SparkSession,
    lake: Lake,
    source: Source,
    raw_root: Path | str,
    made: Mapping[str, Lineage],
    calendar: Calendar,
    first: dt.date | None,
) -> list[dt.date]:
    """Days that a dump was cleaned into by another mapping and has no row of by this one.

    Or by other joined files: an order whose date was corrected takes its lines with it.

    They are made again too, without a row: else each row that was dated wrongly stays in the lake
    beside itself. A dump that has fewer rows now of the days up to the last one in the lake than
    were cleaned from it has dropped its oldest ones, and then nothing tells a day that was dated
    wrongly from one that is gone: all such days stay, with a warning.

    Args:
        calendar: the days that the dumps have rows of now, and the night.
        first: days before it are left aside.
    """
    wrong: set[dt.date] = set()
    for name, now in made.items():
        if source.datasets[name].delivery == "snapshot":
            continue
        committed = [
            day
            for day in lake.dates(cleaned(name), calendar.days[-1])
            if (first is None or day >= first)
            and (calendar.expired is None or day > calendar.expired)
        ]
        earlier = [day for day in committed if day not in calendar.days]
        found = made_otherwise(lake, raw_root, source, name, now, earlier).without_code()
        dataset = source.datasets[name]
        moved = moved_days(lake, dataset, raw_root, calendar.days[-1], earlier)
        gone = {*found.days, *moved}
        if gone and _has_dropped_rows(spark, lake, dataset, raw_root, calendar, committed):
            log.warning(
                "%s of %d days in the lake were made by something else (%s) and stay as they are: "
                "the dump has fewer rows of the days up to %s now than were cleaned from it",
                name,
                len(gone),
                found.differences() or "other joined rows",
                committed[-1],
            )
            return []
        wrong |= gone
    return sorted(wrong)


def _has_dropped_rows(  # noqa: PLR0917
    spark: SparkSession,
    lake: Lake,
    dataset: SourceDataset,
    raw_root: Path | str,
    calendar: Calendar,
    committed: list[dt.date],
) -> bool:
    """Whether a dump has fewer rows than some days in the lake, ascending, were cleaned from.

    What both sides must have is compared: rows dated after the last of these days are new, rows
    before the calendar begins were never cleaned or have expired, and of a damaged day nobody knows
    how many there were.
    """
    whole = {day: lake.whole(cleaned(dataset.name), day) for day in committed}
    before = sum(part.manifest.get("raw_rows", 0) for part in whole.values() if part is not None)
    known = {*calendar.open_days} - {day for day, part in whole.items() if part is None}
    files = dataset.pattern.files(raw_root)
    day = delivery_day_of_dump(dataset, calendar).alias("day")
    upto = calendar.days[-1]
    rows = read_rows(spark, dataset, raw_root, files, upto=upto).groupBy(day).count().collect()
    now = sum(row["count"] for row in rows if row["day"] in known and row["day"] <= committed[-1])
    return bool(now < before)


def _made_otherwise(  # noqa: PLR0917
    lake: Lake,
    raw_root: Path | str,
    source: Source,
    dataset: str,
    made: Mapping[str, Lineage],
    calendar: Calendar,
) -> list[dt.date]:
    if dataset not in made:
        return []
    days = calendar.open_days[:-1]
    found = made_otherwise(lake, raw_root, source, dataset, made[dataset], days).without_code()
    if found.days:
        log.warning(
            "%s of %d days in the lake were made by something else (%s), from %s on: these are "
            "cleaned again",
            dataset,
            len(found.days),
            found.differences(),
            min(found.days),
        )
    if found.gone:
        log.warning(
            "%s of %d days in the lake were made by something else and stay as they are, because "
            "%s and others of their raw files are gone or of another name than the source's",
            dataset,
            len(found.gone),
            next(iter(found.gone.values())),
        )
    return [*found.days]


def _dump_days(
    spark: SparkSession, source: Source, raw_root: Path | str, timezone: str, night: dt.date
) -> set[dt.date]:
    days: set[dt.date] = set()
    for dataset in source.datasets.values():
        if dataset.own_time:
            files = dataset.pattern.files(raw_root)
            rows = read_rows(spark, dataset, raw_root, files, upto=night)
            dated = rows.select(own_day(dataset, timezone).alias("day")).distinct().collect()
            days |= {row["day"] for row in dated if row["day"] is not None}
    return days
