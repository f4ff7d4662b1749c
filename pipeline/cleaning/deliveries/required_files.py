"""A required file that is missing or empty stops the night, with what to do about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.cleaning.night_context import NightContext
from pipeline.errors import InputError
from pipeline.sources.damage import FileDamageError
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.source import SourceDataset


def require_files(
    night: NightContext, dataset: SourceDataset, files: Iterable[DeliveredFile]
) -> None:
    """Refuse a day without a file of a required dataset; a dump's files belong to every day.

    Raises:
        InputError: a required file is missing.
    """
    delivered = {file.date for file in files}
    for day in night.days:
        if day in night.source.closed:
            continue
        if dataset.required and not delivered & {day, None}:
            raise InputError(
                f"{Path(night.raw_root) / dataset.pattern.on(day)} does not exist "
                f"({dataset.where}: files {dataset.files!r}), though {day} delivered others; "
                f"{_remedy(night, day)}"
            )


def require_rows(
    night: NightContext,
    dataset: SourceDataset,
    rows: Mapping[dt.date, int],
    damaged: Iterable[FileDamageError],
) -> None:
    """Refuse a day without a row of a required dataset of daily files.

    Args:
        night: its days are asked.
        dataset: whose files.
        rows: rows by delivery day.
        damaged: files that are left out of `rows`.

    Raises:
        InputError: a required file of a day holds no row.
    """
    empty = [day for day in night.days if not rows.get(day) and day not in night.source.closed]
    if not empty or not dataset.required:
        return
    day = empty[0]
    lost = [damage for damage in damaged if damage.file.date == day]
    if lost:
        raise InputError(
            f"{lost[0]}; no other file of {day} holds a row, and {dataset.where} is "
            f"required; {_remedy(night, day)}"
        )
    raise InputError(
        f"{Path(night.raw_root) / dataset.pattern.on(day)} holds no row; "
        f"{dataset.where} is required, so an empty file is taken for a failed delivery "
        "(write required: false where a day without rows is normal); "
        f"{_remedy(night, day)}"
    )


def _remedy(night: NightContext, day: dt.date) -> str:
    if day == night.run.run_date:
        return "deliver it, then run the date again"
    later = day + dt.timedelta(days=1)
    return (
        f"deliver it, or leave this day and those before it aside: cleaning.first_day = "
        f'"{later}" in the settings (--from {later} for one run)'
    )
