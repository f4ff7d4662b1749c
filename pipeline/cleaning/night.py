"""One night's cleaning: raw files in; cleaned datasets, quarantine and ledger lines out.

Reads the source's files below `paths.raw`, `cleaned_items` of days before (the items that were
known), earlier rows of the days that late rows belong to, and who was erased (`pipeline.erased`).
Keeps what it reads of files that are overwritten (`deliveries.take_snapshots`), whatever becomes of
the night. Writes `cleaned_<dataset>` of every dataset of the source and `quarantine`, one partition
per delivery day, and `removed_events` and `retractions` of the days that have any. All of these are
written to scratch, counted and checked first: a night that is refused commits nothing. Days are
committed oldest first, so a night that is cut off in the middle leaves whole days, and the next one
takes in the rest. The ledger is written before them, so that no day is ever in the lake without its
lines; a retry keeps the lines of days that it finds done.
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from pyspark.sql import SparkSession

from pipeline.cleaning.commit_days import commit_days
from pipeline.cleaning.dataset_pass import CleanedDataset, clean_dataset
from pipeline.cleaning.deliveries.delivery import Delivery, inspect_delivery
from pipeline.cleaning.deliveries.delivery_days import (
    days_of_snapshots,
    days_to_clean,
    delivery_calendar,
    no_longer_dated,
)
from pipeline.cleaning.deliveries.made_by import made_by
from pipeline.cleaning.deliveries.take_snapshots import Taking, take_snapshots
from pipeline.cleaning.late.late_counts import LateRows
from pipeline.cleaning.night_context import NightContext
from pipeline.datasets import CLEANED_ITEMS
from pipeline.erased import is_under_way, read_erased
from pipeline.errors import InputError, SettingsError
from pipeline.lake import Lake, Run, storage_errors
from pipeline.lake_key import key_file_of_lake
from pipeline.ledger import LedgerLine, stage_lines, write_ledger
from pipeline.retention.expired import expired_until, refuse_expired
from pipeline.settings import Settings
from pipeline.sources.allowed_sql import check_sql
from pipeline.sources.shop_source import shop_source
from pipeline.stages import CLEAN

log = logging.getLogger("nightcart")

OTHER_IDS = (
    "the source makes user ids in another way than when users were erased: whoever has another id "
    "now comes back. Erase them by the ids of now: `nightcart erase --file F`"
)
CUT_OFF = "an erasure was cut off, and the lake still holds who was to go: run `nightcart erase`"


@dataclass(frozen=True)
class CleanedNight:
    """What a night's cleaning did."""

    days: list[dt.date]
    lines: list[LedgerLine]
    bots: dict[str, int] = field(default_factory=dict)
    consent_unread: int = 0
    warnings: list[str] = field(default_factory=list)
    snapshots: dict[str, str] = field(default_factory=dict)  # dataset -> what has changed


def clean_night(
    spark: SparkSession,
    settings: Settings,
    lake: Lake,
    run: Run,
    first: dt.date | None = None,
    *,
    every: bool = False,
) -> CleanedNight:
    """Clean the night's delivery, and first every earlier one that is new to the lake or changed.

    Args:
        first: deliveries before this day are left aside; by default `cleaning.first_day`.
        every: clean every earlier delivery again, too.

    Raises:
        SettingsError: `cleaning.first_day` is no date.
        ContractError: the source has an expression that is not allowed, or is no Spark SQL.
        InputError: files are missing, empty, or not what the source says; or the night's own
            delivery has expired.
        GateError: too much would be quarantined, or the ledger does not balance.
    """
    refuse_expired(lake, run.run_date)
    timezone = settings.shop.timezone
    source = shop_source(settings)
    check_sql(spark, source)
    calendar = delivery_calendar(
        spark,
        source,
        settings.paths.raw,
        timezone,
        night=run.run_date,
        first=first or _first_day(settings),
        expired=expired_until(lake),
        of_snapshots=days_of_snapshots(lake, source),
    )
    key = key_file_of_lake(lake, settings.privacy.key_file)
    noted = read_erased(lake)
    erased = frozenset(noted.digests)
    # Before anything asks what the days are known from.
    of_snapshots = take_snapshots(Taking(spark, settings, run, key, erased), source)
    made = made_by(source, settings)
    if calendar.exact:
        emptied = no_longer_dated(
            spark,
            lake,
            source,
            settings.paths.raw,
            made,
            calendar,
            first or _first_day(settings),
        )
        calendar = replace(calendar, emptied=tuple(emptied))
    days = days_to_clean(spark, lake, source, settings.paths.raw, calendar, made=made, every=every)
    scratch = lake.work(CLEAN, run)
    with storage_errors(f"cannot write {scratch}"):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
    night = NightContext(
        spark, settings, lake, run, source, calendar, days, key, scratch, erased, made
    )
    log.info("source %s: %d days to clean, %s to %s", source.name, len(days), days[0], days[-1])

    lines: list[LedgerLine] = []
    bots: dict[str, int] = {}
    consent_unread = 0
    late: dict[str, LateRows] = {}
    warnings: list[str] = [*([CUT_OFF] if is_under_way(lake) else []), *of_snapshots]
    if erased and noted.user_ids not in ("", source.user_ids_digest):
        log.warning(OTHER_IDS)
        warnings.append(OTHER_IDS)
    # Every file is looked at before the first is cleaned: a wrong one stops the night in seconds.
    deliveries = [inspect_delivery(night, dataset) for dataset in source.datasets.values()]
    snapshots = {
        delivery.dataset.name: said
        for delivery in deliveries
        if delivery.changes and (said := delivery.changes.of(run.run_date).said())
    }
    for delivery, cleaned in zip(deliveries, _clean(night, deliveries), strict=True):
        lines += cleaned.lines
        bots |= cleaned.bots
        consent_unread += cleaned.consent_unread
        late[delivery.dataset.name] = cleaned.late
        warnings += cleaned.warnings
    done = [line for line in stage_lines(lake, run, CLEAN) if line.run_date not in set(days)]
    write_ledger(lake, run, CLEAN, [*done, *lines])
    commit_days(night, deliveries, lines, late)
    shutil.rmtree(scratch, ignore_errors=True)
    return CleanedNight(days, lines, bots, consent_unread, warnings, snapshots)


def _clean(night: NightContext, deliveries: list[Delivery]) -> list[CleanedDataset]:
    """The pass of each dataset: items first, which the others look up, then the others at once.

    While Spark plans one pass, which keeps one core busy, the others' rows are worked on. Of a
    single day one pass follows the other: its writes set an option of the whole session
    (`write_outcomes`).
    """
    done: dict[str, CleanedDataset] = {}
    for delivery in deliveries:
        if delivery.dataset.name == "items":
            done["items"] = clean_dataset(night, delivery)
            _refuse_empty_catalogue(night, done["items"].lines)
    others = [delivery for delivery in deliveries if delivery.dataset.name not in done]
    with ThreadPoolExecutor(len(others) or 1 if len(night.days) > 1 else 1) as pool:
        passes = [pool.submit(clean_dataset, night, delivery) for delivery in others]
    for delivery, one in zip(others, passes, strict=True):
        done[delivery.dataset.name] = one.result()
    return [done[delivery.dataset.name] for delivery in deliveries]


def _first_day(settings: Settings) -> dt.date | None:
    text = settings.cleaning.first_day
    try:
        return dt.date.fromisoformat(text) if text else None
    except ValueError:
        raise SettingsError(
            f"cleaning.first_day must be a date such as 2026-03-01 or empty, found {text!r}"
        ) from None


def _refuse_empty_catalogue(night: NightContext, lines: list[LedgerLine]) -> None:
    before = night.lake.dates(CLEANED_ITEMS, night.run.run_date)
    kept = sum(
        night.lake.require(CLEANED_ITEMS, day).rows for day in before if day not in set(night.days)
    )
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
