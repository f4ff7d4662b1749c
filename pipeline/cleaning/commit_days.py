"""Cleaned days move from scratch into the lake, oldest first.

A commit is mostly waiting for the disk, and a dump has thousands of days. So the partitions of some
days are closed at once (files, directories, manifests: nobody sees them yet, and the flushes wait
together); then their pointers are put in the order of the days. The cleaned datasets of a day are
pointed at last: their manifests say what the day was made from, so a day that is cut off before
them is cleaned again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.cleaning.day_files import (
    LATE_REMOVED,
    day_files,
    late_quarantine,
    late_rows,
    move_cleaned,
    move_into,
    quarantine_scratch,
    rows_in,
    write_empty,
)
from pipeline.cleaning.deliveries.delivery import Delivery
from pipeline.cleaning.deliveries.raw_files import RAW_FILES
from pipeline.cleaning.late.late_counts import LateRows
from pipeline.cleaning.late.late_dependencies import DEPENDENCIES, LateDependencies
from pipeline.cleaning.late.late_pass import RETRACTIONS, retractions_scratch
from pipeline.cleaning.night_context import NightContext
from pipeline.cleaning.withdrawn import withdrawn_scratch
from pipeline.datasets import QUARANTINE, REMOVED_EVENTS
from pipeline.lake import Partition, Run
from pipeline.ledger import LedgerLine
from pipeline.sources.source import TIME_COLUMN

# More of either does not shorten the waiting where it was measured; each closes a few files.
_DAYS_AT_ONCE, _THREADS = 16, 16

# What is closed and not pointed at yet, by dataset and day.
Closed = dict[tuple[str, dt.date], Partition]


@dataclass(frozen=True)
class _Closing:
    """The partitions of a day that are being closed: those beside the cleaned ones, and these."""

    beside: list[Future[Partition | None]]
    cleaned: list[Future[Partition | None]]

    @property
    def all(self) -> list[Future[Partition | None]]:
        return [*self.beside, *self.cleaned]


def commit_days(
    night: NightContext,
    deliveries: list[Delivery],
    lines: list[LedgerLine],
    late: Mapping[str, LateRows],
) -> None:
    """Commit every dataset of every day of the night.

    Args:
        night: whose scratch holds the files.
        deliveries: of each dataset.
        lines: the night's ledger lines.
        late: what became of late rows, by dataset.
    """
    of = {(line.run_date, line.dataset): line for line in lines}
    with ThreadPoolExecutor(_THREADS) as pool:
        for first in range(0, len(night.days), _DAYS_AT_ONCE):
            closing: dict[dt.date, _Closing] = {}
            closed: Closed = {}
            for day in night.days[first : first + _DAYS_AT_ONCE]:
                earlier = [one for each in closing.values() for one in each.all]
                closing[day] = _Closing(
                    [
                        pool.submit(_close_quarantine, night, day, deliveries),
                        pool.submit(_close_removed, night, day, closed),
                        pool.submit(_close_retractions, night, day, deliveries, closed),
                    ],
                    [],
                )
                # Threads take them in this order, so that none waits for one that has no thread.
                before = [*earlier, *closing[day].beside]
                for delivery in deliveries:
                    name = delivery.dataset.name
                    line = of[day, name]
                    closing[day].cleaned.append(
                        pool.submit(
                            _close_dataset, night, delivery, line, late[name], closed, before
                        )
                    )
            for each in closing.values():
                wait(each.all)
            _point(night, closing)


def _point(night: NightContext, closing: Mapping[dt.date, _Closing]) -> None:
    """Point the dates at what was closed: each day's cleaned datasets after all beside them.

    Days that are new to the lake go together, in their order. One that is there already goes alone,
    so that a kill leaves no other day with rows of two runs. Where a day could not be closed, the
    days before it are pointed at, and a retry goes on from there.
    """
    faults = ((day, future.exception()) for day, each in closing.items() for future in each.all)
    failed, fault = next(((day, fault) for day, fault in faults if fault), (None, None))
    days = [day for day in closing if failed is None or day < failed]
    is_new = not any(night.lake.is_pointed(QUARANTINE, day) for day in days)
    whole = [closing[day] for day in days]
    for each in [whole] if is_new else [[one] for one in whole]:
        night.lake.point_all(_done(future for one in each for future in one.beside))
        night.lake.point_all(_done(future for one in each for future in one.cleaned))
    if fault is not None:
        raise fault


def _done(futures: Iterable[Future[Partition | None]]) -> list[Partition]:
    return [partition for future in futures if (partition := future.result()) is not None]


def _close_dataset(  # noqa: PLR0917
    night: NightContext,
    delivery: Delivery,
    line: LedgerLine,
    late: LateRows,
    closed: Closed,
    before: Iterable[Future[Partition | None]],
) -> Partition:
    day, dataset = line.run_date, delivery.dataset
    name, run = f"cleaned_{dataset.name}", Run(day, night.run.run_id)
    directory = night.lake.begin(name, run)
    files = day_files(night.scratch / dataset.name, day)
    lineage = night.made_by.get(dataset.name)
    facts: dict[str, Any] = lineage.facts() if lineage else {}
    if dataset.name in TIME_COLUMN:
        facts |= {"late": late_rows(files, day), "restored": late.restored(day)}
        if oldest := late.oldest.get(day):
            wait(before)  # it names their files
            facts[DEPENDENCIES] = LateDependencies(night.lake, {**closed}).of_delivery(
                dataset.name, day, oldest
            )
    facts |= delivery.looked_up.facts(day)
    move_cleaned(directory, files, dataset.name, day)
    withdrawn = day_files(withdrawn_scratch(night.scratch, dataset.name), day)
    gone = rows_in(withdrawn)
    move_into(directory, withdrawn, "withdrawn-")
    facts |= delivery.raw_files_of(day)
    closed[name, day] = partition = night.lake.close(
        name,
        run,
        rows=line.rows_out + late.restored(day) + late.released_in(day) + gone,
        source=night.source.name,
        raw_rows=line.rows_in - delivery.rows_in_damaged(night.run.run_date)[day],
        complete=dataset.complete and bool(facts[RAW_FILES]),
        **facts,
    )
    return partition


def _close_quarantine(night: NightContext, day: dt.date, deliveries: list[Delivery]) -> Partition:
    directory = night.lake.begin(QUARANTINE, Run(day, night.run.run_id))
    rows = 0
    for dataset in (delivery.dataset.name for delivery in deliveries):
        refused = day_files(quarantine_scratch(night.scratch, dataset), day)
        again = day_files(late_quarantine(night.scratch, dataset), day)
        rows += rows_in([*refused, *again])
        move_into(directory, refused, f"{dataset}-")
        move_into(directory, again, f"{dataset}-late-")
    if not rows:
        write_empty(directory, QUARANTINE, "none-")
    run = Run(day, night.run.run_id)
    return night.lake.close(QUARANTINE, run, rows=rows, source=night.source.name)


def _close_removed(night: NightContext, day: dt.date, closed: Closed) -> Partition | None:
    files = {
        prefix: day_files(night.scratch / kind, day)
        for kind, prefix in ((REMOVED_EVENTS, "part-"), (LATE_REMOVED, "late-"))
    }
    return _close_if_any(night, REMOVED_EVENTS, day, files, closed)


def _close_retractions(
    night: NightContext, day: dt.date, deliveries: list[Delivery], closed: Closed
) -> Partition | None:
    """Close the rows that were taken back; the manifest counts them by dataset."""
    files = {
        delivery.dataset.name: day_files(
            retractions_scratch(night.scratch, delivery.dataset.name), day
        )
        for delivery in deliveries
    }
    rows = {dataset: rows_in(of) for dataset, of in files.items() if of}
    prefixed = {f"{dataset}-": of for dataset, of in files.items()}
    return _close_if_any(night, RETRACTIONS, day, prefixed, closed, by_dataset=rows)


def _close_if_any(
    night: NightContext,
    name: str,
    day: dt.date,
    files: Mapping[str, list[Path]],
    closed: Closed,
    **facts: Any,
) -> Partition | None:
    """Close a dataset that most days have no rows of; a day that had rows gets an empty file.

    Args:
        files: by the prefix that their names get.
    """
    rows = sum(rows_in(of) for of in files.values())
    if not rows and not night.lake.is_pointed(name, day):
        return None
    run = Run(day, night.run.run_id)
    directory = night.lake.begin(name, run)
    for prefix, of in files.items():
        move_into(directory, of, prefix)
    if not rows:
        write_empty(directory, name, "none-")
    partition = night.lake.close(name, run, rows=rows, source=night.source.name, **facts)
    closed[name, day] = partition
    return partition
