"""What a night would do, told without an engine: `nightcart run --dry-run`.

Looks at names and sizes of raw files, pointers and records of the lake, and the first megabyte of
text files. Writes nothing. Gives up: rows of compressed text (bytes are said), and which days a
dump holds, which only reading it tells.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from jobs.cli.night_order import NightOrder

if TYPE_CHECKING:
    from pipeline.lake import Lake
    from pipeline.settings import Settings
    from pipeline.sources.source import Source

SAMPLE = 1 << 20
# Of a lake without a night: docs/experiments/whole-nights.md and cleaning.md, on 2 cores.
SECONDS_OF_A_SMALL_NIGHT, ROWS_A_SECOND = 170, 50_000


def would_do(settings: Settings, lake: Lake, order: NightOrder) -> tuple[list[str], bool]:
    """Lines to print, and whether the night could end with lists as far as can be told."""
    from pipeline.sources.delivered_files import missing_files
    from pipeline.sources.required import missing_datasets
    from pipeline.sources.shop_source import shop_source
    from pipeline.stages import NAMES

    source = shop_source(settings)
    date, raw = order.run_date, Path(settings.paths.raw)
    faults = [*missing_datasets(source)]
    faults += [
        f"missing in {raw}: {name}" for name in missing_files(source, raw, date, of_tables=False)
    ]
    stages = NAMES[NAMES.index(order.from_stage) :] if order.from_stage else NAMES
    days = _days(source, lake, raw, date)
    rows = 0
    lines = [f"Night of {date}, source {source.name}, lake {lake.root}. Nothing is written."]
    lines.append(f"stages        {', '.join(stages)}")
    if order.from_stage is None:
        lines.append(_said_days(days, date))
        lines += [f"              {text}" for text in _made_otherwise(lake, settings)]
        for name, dataset in source.datasets.items():
            wanted = set(days) if dataset.delivery == "daily" else None
            files = [
                Path(file.path)
                for file in dataset.pattern.files(raw)
                if wanted is None or file.date is None or file.date in wanted
            ]
            size = sum(file.stat().st_size for file in files)
            known = [_rows(file, dataset.format) for file in files]
            there = sum(n for n in known if n is not None)
            rows += there
            about = f"about {there:,} rows" if None not in known else "rows not counted"
            lines.append(f"{name:<13} {len(files):,} files, {size / 1e6:,.1f} MB, {about}")
    for what, said, fault in _material(settings, lake, date, cleans=order.from_stage is None):
        lines.append(f"{what:<13} {said}")
        faults += [said] if fault else []
    faults += _base_model_faults(settings)
    lines.append(f"how long      {_how_long(lake, rows)}")
    lines += [f"FAULT         {fault}" for fault in faults]
    return lines, not faults


def _days(source: Source, lake: Lake, raw: Path, night: dt.date) -> list[dt.date]:
    """The night and each earlier day that was delivered and is not in the lake."""
    from pipeline.datasets import cleaned
    from pipeline.retention.expired import expired_until
    from pipeline.sources.delivered_files import delivered_dates

    there = [set(lake.dates(cleaned(name))) for name in source.datasets]
    done = set.intersection(*there) if there else set()
    gone = expired_until(lake)
    new = {
        day
        for day in delivered_dates(source, raw, night)
        if day not in done and (gone is None or day > gone)
    }
    return sorted(new | {night})


def _said_days(days: list[dt.date], night: dt.date) -> str:
    before = len(days) - 1
    if not before:
        return f"to clean      {night} alone, and earlier days whose files have changed since"
    return (
        f"to clean      {len(days):,} days from {days[0]} on: the night and {before:,} that are not "
        "in the lake yet, and days whose files have changed since"
    )


def _made_otherwise(lake: Lake, settings: Settings) -> list[str]:
    from pipeline.cleaning.deliveries.made_by import described

    return described(lake, settings)


def _rows(path: Path, form: str) -> int | None:
    """Exact of Parquet, by the lines of the first megabyte of text; None of what is compressed."""
    if form == "parquet":
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                return int(file.metadata.num_rows)
        except Exception:  # damaged: the night says what is wrong with it
            return None
    if path.suffix in {".gz", ".zst", ".bz2"}:
        return None
    with path.open("rb") as file:
        head = file.read(SAMPLE)
    lines = head.count(b"\n") + (not head.endswith(b"\n") if head else 0)
    return round(lines * path.stat().st_size / len(head)) if head else 0


def _material(
    settings: Settings, lake: Lake, night: dt.date, *, cleans: bool
) -> Iterator[tuple[str, str, bool]]:
    """What is said of consent, the catalogue and training, and whether it ends the night.

    Args:
        cleans: whether the night cleans first, which may bring users who agree.
    """
    from pipeline.datasets import HISTORIES, cleaned
    from pipeline.errors import GateError, SettingsError
    from pipeline.histories.consent_check import refuse_no_consent

    if not lake.dates(cleaned("users"), night):
        yield "consent", "not known before the first cleaning", False
    else:
        try:
            refuse_no_consent(lake, night)
            yield "consent", "there are users who agree", False
        except SettingsError as error:  # no key opens the file
            yield "consent", str(error), True
        except GateError as error:
            final = not cleans or _users_stay(settings, lake, night)
            yield "consent", str(error) if final else f"so far {error}", final
    items = lake.dates(cleaned("items"), night)
    said = f"delivered on {len(items):,} days, the last {items[-1]}" if items else "not cleaned yet"
    yield "catalogue", said, False
    histories = lake.dates(HISTORIES, night)
    last = lake.whole(HISTORIES, histories[-1]) if histories else None
    needed = f"training needs {settings.training.min_users:,} users who agree"
    if last is None:
        yield "to train on", f"not known before the first night ({needed})", False
    else:
        yield "to train on", f"{last.rows:,} histories on {last.run_date} ({needed})", False


def _users_stay(settings: Settings, lake: Lake, night: dt.date) -> bool:
    """Whether the night cleans no users: its day is there, and all are made as they are now."""
    from pipeline.datasets import cleaned

    days = lake.dates(cleaned("users"))
    return night in days and not any(
        line.startswith("users of ") and line.endswith("cleans them again")
        for line in _made_otherwise(lake, settings)
    )


def _base_model_faults(settings: Settings) -> list[str]:
    """What is wrong with a base model that is a directory."""
    if not settings.model.base_model:
        return []
    from pipeline.errors import SettingsError
    from pipeline.training.base_model import refuse_missing_base_model

    try:
        refuse_missing_base_model(settings.model.base_model)
    except SettingsError as error:
        return [str(error)]
    return []


def _how_long(lake: Lake, rows: int) -> str:
    from jobs.cli.stage_records import last_nights

    took = [night.seconds for night in last_nights(lake, 20) if night.published]
    if took:
        return (
            f"about {median(took) / 60:.0f} min, an estimate: the median of the last {len(took)} "
            "published nights"
        )
    seconds = SECONDS_OF_A_SMALL_NIGHT + rows / ROWS_A_SECOND
    return (
        f"from {seconds / 60:.0f} min on, an estimate by size: no night of this lake was published; "
        "training takes longer for more shoppers"
    )
