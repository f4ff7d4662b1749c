"""One night's cleaning: raw files in; cleaned datasets, quarantine and ledger lines out.

Reads the source's files below `paths.raw` and, for what the catalogue knew, `cleaned_items` of
days before, and what earlier deliveries brought of days of which rows come late. Writes
`cleaned_<dataset>` of every dataset of the source and `quarantine`, one partition per delivery day,
and `removed_events` and `retractions` of the days that have any. Everything is written to scratch, counted and checked first: a night
that is refused commits nothing. Days are committed oldest first, so a night that is cut off in the
middle leaves whole days, and the next one takes in the rest. The ledger is written before them, so
that no day is ever in the lake without its lines; a retry keeps the lines of days that it finds done.
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipeline.cleaning.changed_days import file_sizes
from pipeline.cleaning.dataset_pass import Delivery, Night, clean_dataset, look_at
from pipeline.cleaning.day_files import (
    LATE_REMOVED,
    REMOVED_EVENTS,
    day_files,
    late_quarantine,
    late_rows,
    move_cleaned,
    move_into,
    quarantine_scratch,
    rows_in,
    write_empty,
)
from pipeline.cleaning.delivery_days import days_to_clean, delivery_calendar
from pipeline.cleaning.judged_days import JUDGED_WITH, JudgedDays
from pipeline.cleaning.late_pass import RETRACTIONS, LateRows, retractions_scratch
from pipeline.errors import InputError, SettingsError
from pipeline.lake import Lake, Run, storage_errors
from pipeline.ledger import LedgerLine, stage_lines, write_ledger
from pipeline.pseudonym import read_or_make_key
from pipeline.settings import Settings
from pipeline.sources.source import TIME_COLUMN, load_source, with_timezone

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
    night = Night(spark, settings, lake, run, source, calendar, days, key, scratch)
    log.info("source %s: %d days to clean, %s to %s", source.name, len(days), days[0], days[-1])

    lines: list[LedgerLine] = []
    bots: dict[str, int] = {}
    consent_unread = 0
    late: dict[str, LateRows] = {}
    warnings: list[str] = []
    # Every file is looked at before the first is cleaned: a wrong one stops the night in seconds.
    deliveries = [look_at(night, dataset) for dataset in source.datasets.values()]
    for delivery in deliveries:
        cleaned = clean_dataset(night, delivery)
        lines += cleaned.lines
        bots |= cleaned.bots
        consent_unread += cleaned.consent_unread
        late[delivery.dataset.name] = cleaned.late
        warnings += cleaned.warnings
        if delivery.dataset.name == "items":
            _refuse_empty_catalogue(night, cleaned.lines)
    done = [line for line in stage_lines(lake, run, STAGE) if line.run_date not in set(days)]
    write_ledger(lake, run, STAGE, [*done, *lines])
    _commit(night, deliveries, lines, late)
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


def _commit(
    night: Night,
    deliveries: list[Delivery],
    lines: list[LedgerLine],
    late: Mapping[str, LateRows],
) -> None:
    """Move each day into the lake, oldest first.

    The datasets of one day go at once: a commit is mostly waiting for the disk (two flushes of
    3 ms each where it was measured), and a dump has thousands of them. The cleaned ones go last:
    it is their manifests that say what a day was made from, so one that was cut off before them is
    cleaned again.
    """
    of = {(line.run_date, line.dataset): line for line in lines}
    with ThreadPoolExecutor(len(deliveries) + 3) as pool:
        for day in night.days:
            beside = [
                pool.submit(_commit_quarantine, night, day, deliveries),
                pool.submit(_commit_removed, night, day),
                pool.submit(_commit_retractions, night, day, deliveries),
            ]
            for commit in beside:
                commit.result()
            commits = [
                pool.submit(_commit_dataset, night, delivery, of[day, name], late[name])
                for delivery in deliveries
                if (name := delivery.dataset.name)
            ]
            for done in commits:
                done.result()


def _commit_dataset(night: Night, delivery: Delivery, line: LedgerLine, late: LateRows) -> None:
    day, dataset = line.run_date, delivery.dataset
    name, run = f"cleaned_{dataset.name}", Run(day, night.run.run_id)
    directory = night.lake.begin(name, run)
    files = day_files(night.scratch / dataset.name, day)
    facts: dict[str, Any] = {}
    if dataset.name in TIME_COLUMN:
        facts = {"late": late_rows(files, day), "restored": late.restored(day)}
        if oldest := late.oldest.get(day):
            facts[JUDGED_WITH] = JudgedDays(night.lake).judged_with(dataset.name, day, oldest)
    move_cleaned(directory, files, dataset.name, day)
    raw_files = file_sizes(delivery.files_of(day))
    night.lake.commit(
        name,
        run,
        rows=line.rows_out + late.restored(day) + late.released_in(day),
        source=night.source.name,
        raw_files=raw_files,
        raw_rows=line.rows_in - delivery.rows_in_damaged(night.run.run_date)[day],
        complete=dataset.complete and bool(raw_files),
        **facts,
    )


def _commit_quarantine(night: Night, day: dt.date, deliveries: list[Delivery]) -> None:
    directory = night.lake.begin("quarantine", Run(day, night.run.run_id))
    rows = 0
    for dataset in (delivery.dataset.name for delivery in deliveries):
        refused = day_files(quarantine_scratch(night.scratch, dataset), day)
        again = day_files(late_quarantine(night.scratch, dataset), day)
        rows += rows_in([*refused, *again])
        move_into(directory, refused, f"{dataset}-")
        move_into(directory, again, f"{dataset}-late-")
    if not rows:
        write_empty(directory, "quarantine", "none-")
    run = Run(day, night.run.run_id)
    night.lake.commit("quarantine", run, rows=rows, source=night.source.name)


def _commit_removed(night: Night, day: dt.date) -> None:
    files = {
        prefix: day_files(night.scratch / kind, day)
        for kind, prefix in ((REMOVED_EVENTS, "part-"), (LATE_REMOVED, "late-"))
    }
    _commit_if_any(night, REMOVED_EVENTS, day, files)


def _commit_retractions(night: Night, day: dt.date, deliveries: list[Delivery]) -> None:
    """The manifest says how many rows are of which dataset, so that nobody has to count."""
    files = {
        delivery.dataset.name: day_files(
            retractions_scratch(night.scratch, delivery.dataset.name), day
        )
        for delivery in deliveries
    }
    rows = {dataset: rows_in(of) for dataset, of in files.items() if of}
    prefixed = {f"{dataset}-": of for dataset, of in files.items()}
    _commit_if_any(night, RETRACTIONS, day, prefixed, by_dataset=rows)


def _commit_if_any(
    night: Night, name: str, day: dt.date, files: Mapping[str, list[Path]], **facts: Any
) -> None:
    """Most days have no such rows; one that had, and has none any more, gets an empty file.

    Args:
        files: by the prefix that their names get.
    """
    rows = sum(rows_in(of) for of in files.values())
    if not rows and night.lake.current(name, day) is None:
        return
    run = Run(day, night.run.run_id)
    directory = night.lake.begin(name, run)
    for prefix, of in files.items():
        move_into(directory, of, prefix)
    if not rows:
        write_empty(directory, name, "none-")
    night.lake.commit(name, run, rows=rows, source=night.source.name, **facts)
