"""Cleaned days move from scratch into the lake, oldest first.

The datasets of one day go at once: a commit is mostly waiting for the disk (two flushes of 3 ms
each where it was measured), and a dump has thousands of days. The cleaned datasets of a day go
last: their manifests say what the day was made from, so a day that is cut off before them is
cleaned again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
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
from pipeline.lake import Run
from pipeline.ledger import LedgerLine
from pipeline.sources.source import TIME_COLUMN


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


def _commit_dataset(
    night: NightContext, delivery: Delivery, line: LedgerLine, late: LateRows
) -> None:
    day, dataset = line.run_date, delivery.dataset
    name, run = f"cleaned_{dataset.name}", Run(day, night.run.run_id)
    directory = night.lake.begin(name, run)
    files = day_files(night.scratch / dataset.name, day)
    lineage = night.made_by.get(dataset.name)
    facts: dict[str, Any] = lineage.facts() if lineage else {}
    if dataset.name in TIME_COLUMN:
        facts |= {"late": late_rows(files, day), "restored": late.restored(day)}
        if oldest := late.oldest.get(day):
            facts[DEPENDENCIES] = LateDependencies(night.lake).of_delivery(
                dataset.name, day, oldest
            )
    facts |= delivery.looked_up.facts(day)
    move_cleaned(directory, files, dataset.name, day)
    withdrawn = day_files(withdrawn_scratch(night.scratch, dataset.name), day)
    gone = rows_in(withdrawn)
    move_into(directory, withdrawn, "withdrawn-")
    facts |= delivery.raw_files_of(day)
    night.lake.commit(
        name,
        run,
        rows=line.rows_out + late.restored(day) + late.released_in(day) + gone,
        source=night.source.name,
        raw_rows=line.rows_in - delivery.rows_in_damaged(night.run.run_date)[day],
        complete=dataset.complete and bool(facts[RAW_FILES]),
        **facts,
    )


def _commit_quarantine(night: NightContext, day: dt.date, deliveries: list[Delivery]) -> None:
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
    night.lake.commit(QUARANTINE, run, rows=rows, source=night.source.name)


def _commit_removed(night: NightContext, day: dt.date) -> None:
    files = {
        prefix: day_files(night.scratch / kind, day)
        for kind, prefix in ((REMOVED_EVENTS, "part-"), (LATE_REMOVED, "late-"))
    }
    _commit_if_any(night, REMOVED_EVENTS, day, files)


def _commit_retractions(night: NightContext, day: dt.date, deliveries: list[Delivery]) -> None:
    """Commit the rows that were taken back; the manifest counts them by dataset."""
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
    night: NightContext, name: str, day: dt.date, files: Mapping[str, list[Path]], **facts: Any
) -> None:
    """Commit a dataset that most days have no rows of; a day that had rows gets an empty file.

    Args:
        files: by the prefix that their names get.
    """
    rows = sum(rows_in(of) for of in files.values())
    if not rows and not night.lake.is_pointed(name, day):
        return
    run = Run(day, night.run.run_id)
    directory = night.lake.begin(name, run)
    for prefix, of in files.items():
        move_into(directory, of, prefix)
    if not rows:
        write_empty(directory, name, "none-")
    night.lake.commit(name, run, rows=rows, source=night.source.name, **facts)
