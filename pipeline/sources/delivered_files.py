"""Which required files of a source are there: the days that are delivered, the files still missing.

Standard library only, so that a task that waits for files may ask.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pipeline.sources.source import Source, SourceDataset


def missing_files(
    source: Source, raw_root: Path | str, date: dt.date, *, of_tables: bool = True
) -> list[str]:
    """Patterns, below the raw root, of required files that a day has not delivered (yet).

    On a day on which the shop is closed nothing is required. A day that reads a kept snapshot needs
    no file of it.

    Args:
        source: whose files.
        raw_root: where they lie.
        date: the day.
        of_tables: also those in which the rows of a table are kept, which nobody delivers.
    """
    if date in source.closed:
        return []
    fetched = {dataset.files for dataset in source.datasets.values() if dataset.table is not None}
    asked = [
        table
        for dataset in source.datasets.values()
        if dataset.required and (of_tables or dataset.files not in fetched)
        for table in (dataset, *(join.table for join in dataset.joins))
        if table.required
    ]
    return sorted(
        {
            table.pattern.on(date)
            for table in asked
            if not table.pattern.files(raw_root, date) and not _is_kept(table, date)
        }
    )


def _is_kept(dataset: SourceDataset, date: dt.date) -> bool:
    return dataset.delivery == "snapshot" and dataset.snapshots.sees_kept(date)


def delivered_dates(source: Source, raw_root: Path | str, upto: dt.date) -> list[dt.date]:
    """Days, ascending and not after `upto`, that have a required file.

    A dump holds all its days in one set of files, so a source of dumps has none here: only
    reading it tells (`pipeline.cleaning.deliveries.delivery_days`).
    """
    found = {
        file.date
        for dataset in source.datasets.values()
        if dataset.required and dataset.delivery == "daily"
        for file in dataset.pattern.files(raw_root)
    }
    return sorted(date for date in found if date is not None and date <= upto)
