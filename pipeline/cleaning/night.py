"""One night's cleaning: raw files in; cleaned datasets, quarantine and ledger lines out.

Reads the source's files below `paths.raw` and, for what the catalogue knew, `cleaned_items` of
days before. Writes `cleaned_<dataset>` of every dataset of the source and `quarantine`, one
partition per delivery day. Everything is written to scratch, counted and checked first: a night
that is refused commits nothing. Days are committed oldest first, so a night that is cut off in the
middle leaves whole days, and the next one takes in the rest. The ledger is written before them, so
that no day is ever in the lake without its lines; a retry keeps the lines of days that it finds done.
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pyspark.sql import SparkSession

from pipeline.cleaning.changed_days import file_sizes
from pipeline.cleaning.dataset_pass import Delivery, Night, clean_dataset, look_at
from pipeline.cleaning.day_files import (
    day_files,
    late_rows,
    move_cleaned,
    move_into,
    quarantine_scratch,
    rows_in,
    write_empty,
)
from pipeline.cleaning.delivery_days import days_to_clean, delivery_calendar
from pipeline.cleaning.releases import items_known_on
from pipeline.errors import InputError, SettingsError
from pipeline.lake import Lake, Run, storage_errors
from pipeline.ledger import LedgerLine, stage_lines, write_ledger
from pipeline.pseudonym import read_or_make_key
from pipeline.settings import Settings
from pipeline.sources.source import load_source, with_timezone

log = logging.getLogger("nightcart")

STAGE = "clean"


@dataclass(frozen=True)
class CleanedNight:
    """What a night's cleaning did."""

    days: list[dt.date]
    lines: list[LedgerLine]
    bots: dict[str, int] = field(default_factory=dict)
    consent_unread: int = 0
    warnings: list[str] = field(default_factory=list)


def clean_night(
    spark: SparkSession, settings: Settings, lake: Lake, run: Run, first: dt.date | None = None
) -> CleanedNight:
    """Clean the night's delivery, and first every earlier one that is new to the lake or changed.

    Args:
        first: deliveries before this day are left aside; by default `cleaning.first_day`.

    Raises:
        SettingsError: `cleaning.first_day` is no date.
        InputError: files are missing, empty, or not what the source says.
        GateError: too much would be quarantined, or the ledger does not balance.
    """
    timezone = settings.shop.timezone
    source = with_timezone(load_source(settings.shop.source), timezone)
    calendar = delivery_calendar(
        spark,
        source,
        settings.paths.raw,
        timezone,
        night=run.run_date,
        first=first or _first_day(settings),
    )
    days = days_to_clean(spark, lake, source, settings.paths.raw, calendar)
    scratch = lake.work(STAGE, run)
    with storage_errors(f"cannot write {scratch}"):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
    key = read_or_make_key(settings.privacy.key_file)
    known = {day: items_known_on(lake, day, run.run_date) for day in days}
    released = {day: on for day, on in known.items() if on != day}
    night = Night(spark, settings, lake, run, source, calendar, days, key, scratch, released)
    log.info("source %s: %d days to clean, %s to %s", source.name, len(days), days[0], days[-1])

    lines: list[LedgerLine] = []
    bots: dict[str, int] = {}
    consent_unread = 0
    warnings: list[str] = []
    # Every file is looked at before the first is cleaned: a wrong one stops the night in seconds.
    deliveries = [look_at(night, dataset) for dataset in source.datasets.values()]
    for delivery in deliveries:
        cleaned = clean_dataset(night, delivery)
        lines += cleaned.lines
        bots |= cleaned.bots
        consent_unread += cleaned.consent_unread
        warnings += cleaned.warnings
        if delivery.dataset.name == "items":
            _refuse_empty_catalogue(night, cleaned.lines)
    done = [line for line in stage_lines(lake, run, STAGE) if line.run_date not in set(days)]
    write_ledger(lake, run, STAGE, [*done, *lines])
    _commit(night, deliveries, lines)
    shutil.rmtree(scratch, ignore_errors=True)
    return CleanedNight(days, lines, bots, consent_unread, warnings)


def _first_day(settings: Settings) -> dt.date | None:
    text = settings.cleaning.first_day
    try:
        return dt.date.fromisoformat(text) if text else None
    except ValueError:
        raise SettingsError(
            f"cleaning.first_day must be a date such as 2026-03-01 or empty, found {text!r}"
        ) from None


def _refuse_empty_catalogue(night: Night, lines: list[LedgerLine]) -> None:
    before = night.lake.past("cleaned_items", night.run.run_date)
    kept = sum(part.rows for part in before if part.run_date not in set(night.days))
    if not kept and not sum(line.rows_out for line in lines):
        items = night.source.datasets["items"]
        reasons: Counter[str] = Counter()
        for line in lines:
            reasons.update(line.quarantined)
        why = f" (refused: {dict(reasons.most_common(3))})" if reasons else ""
        raise InputError(
            f"the catalogue is empty: {Path(night.raw_root) / items.pattern.on(night.run.run_date)}"
            f" gave not one item{why}. Without items there is nothing to recommend; "
            f"check the file and {items.where}"
        )


def _commit(night: Night, deliveries: list[Delivery], lines: list[LedgerLine]) -> None:
    """Move each day into the lake, oldest first.

    The datasets of one day go at once: a commit is mostly waiting for the disk (two flushes of
    3 ms each where it was measured), and a dump has thousands of them.
    """
    of = {(line.run_date, line.dataset): line for line in lines}
    with ThreadPoolExecutor(len(deliveries)) as pool:
        for day in night.days:
            todays = [of[day, delivery.dataset.name] for delivery in deliveries]
            commits = [
                pool.submit(_commit_dataset, night, delivery, line)
                for delivery, line in zip(deliveries, todays, strict=True)
            ]
            for commit in commits:
                commit.result()
            # Last, alone: it spends a release of the day, which must not be before the rest.
            _commit_quarantine(night, day, todays)


def _commit_dataset(night: Night, delivery: Delivery, line: LedgerLine) -> None:
    day, dataset = line.run_date, delivery.dataset
    name, run = f"cleaned_{dataset.name}", Run(day, night.run.run_id)
    directory = night.lake.begin(name, run)
    files = day_files(night.scratch / dataset.name, day)
    late = late_rows(files, day)
    move_cleaned(directory, files, dataset.name, day)
    raw_files = file_sizes(delivery.files_of(day))
    night.lake.commit(
        name,
        run,
        rows=line.rows_out,
        source=night.source.name,
        raw_files=raw_files,
        raw_rows=line.rows_in - delivery.rows_in_damaged(night.run.run_date)[day],
        complete=dataset.complete and bool(raw_files),
        late=late,
    )


def _commit_quarantine(night: Night, day: dt.date, lines: list[LedgerLine]) -> None:
    run = Run(day, night.run.run_id)
    directory = night.lake.begin("quarantine", run)
    rows = 0
    for line in lines:
        refused = quarantine_scratch(night.scratch, line.dataset)
        files = day_files(refused, day)
        rows += rows_in(files)
        move_into(directory, files, f"{line.dataset}-")
    if not rows:
        write_empty(directory, "quarantine", "none-")
    known_on = night.items_known_on.get(day)
    night.lake.commit(
        "quarantine",
        run,
        rows=rows,
        source=night.source.name,
        items_known_on=known_on.isoformat() if known_on else None,
    )
