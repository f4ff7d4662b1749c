"""Which copies of tables below the raw root nobody needs any more, and their removal.

A day's copy goes when its delivery has expired in the lake, because then it is never cleaned again,
and when it is older than `retention.tables_days`. What the next fetch looks at stays: the newest
fetch, days with a row within the overlap before its end, and the newest fetch up to the last day
that expired, behind which the first one that is left goes on. Where nobody can tell, because a file
cannot be read or the source has another watermark now, days stay, and a warning says what to do.
"""

from __future__ import annotations

import datetime as dt
import logging
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import durable
from pipeline.arrow_columns import compute as pc
from pipeline.lake import storage_errors
from pipeline.settings import Settings, shop_timezone
from pipeline.sources.shop_source import shop_source
from pipeline.sources.source import Source
from pipeline.sources.table import Table
from pipeline.sources.tables.fetch import lower_of
from pipeline.sources.tables.folder import TableFolder, table_folders
from pipeline.sources.tables.reader import NOT_OF_TYPE
from pipeline.sources.tables.window import Value, Zones, column_of

log = logging.getLogger("nightcart")


def expire_tables(
    settings: Settings, until: dt.date | None, today: dt.date, *, dry_run: bool = False
) -> int:
    """Remove copies of tables whose deliveries have expired; how many days of how many tables.

    Args:
        settings: `paths.raw`, the source, and `retention.tables_days`.
        until: the newest delivery that has expired; none: nothing goes.
        today: the last day that counts.
        dry_run: only count; nothing is changed, also not what a killed fetch left to be ended.

    Raises:
        ContractError: the shop's source is none.
        InputError: the record of a fetch cannot be read.
        StorageError: the disk or a permission refuses.
    """
    raw, number = Path(settings.paths.raw), 0
    folders = table_folders(raw) if until else []
    if until is None or not folders:
        return 0
    until = min(until, today - dt.timedelta(days=settings.retention.tables_days + 1))
    source = shop_source(settings)
    zones = Zones(ZoneInfo(source.timezone), shop_timezone(settings))
    for folder in folders:
        with ExitStack() as held:
            held.enter_context(storage_errors(f"cannot remove what was kept in {folder.root}"))
            if not dry_run:
                held.enter_context(folder.alone())
                folder.end_exchange()
            for day in expiring(folder, source, zones, until):
                number += 1
                if not dry_run:
                    durable.remove(folder.of(day))
    return number


def expiring(folder: TableFolder, source: Source, zones: Zones, until: dt.date) -> list[dt.date]:
    """The days up to `until` that no later night reads and no later fetch compares with."""
    nights = folder.nights()
    if not nights:
        return []
    stays = {nights[-1], *[night for night in nights if night <= until][-1:]}
    dataset = source.datasets.get(folder.root.name)
    table = dataset.table if dataset else None
    days = [day for day in folder.days() if day <= until and day not in stays]
    if table is None or not table.watermark or not days:
        return days
    return _below_overlap(folder, table, zones, nights[-1], days)


def _below_overlap(
    folder: TableFolder, table: Table, zones: Zones, newest: dt.date, days: list[dt.date]
) -> list[dt.date]:
    """The days without a row that the next fetch would ask for again."""
    files = folder.files(newest)
    if not files:
        return []
    record = folder.record(newest)
    try:
        mark = column_of(pq.read_schema(files[0]), table.watermark, zones, table)
        now, then = [mark.name, mark.kind], record["watermark"]
        if now != then:
            raise _NotToldError(f"its watermark is {now} now, and was {then} then")
        lower = lower_of(record, mark, table)
    except (_NotToldError, KeyError, ArithmeticError, OSError, *NOT_OF_TYPE) as error:
        log.warning(
            "no day of %s goes, because nobody can tell which ones the next fetch compares with "
            "(the fetch of %s: %s): put what is damaged back from a backup, or remove the folder, "
            "and the next night takes the whole table by the source as it is now",
            folder.root,
            newest,
            _first_line(error),
        )
        return []
    if lower is None:
        return []  # all rows are asked for again
    return [day for day in days if not _may_have_from(folder, day, table.watermark, lower)]


def _may_have_from(folder: TableFolder, day: dt.date, watermark: str, lower: Value) -> bool:
    """Whether a day has a row that the next fetch would ask for again, or nobody can tell."""
    try:
        return _has_from(folder.files(day), watermark, lower)
    except (KeyError, OSError, pa.ArrowException) as error:
        log.warning(
            "%s stays, because nobody can tell whether the next fetch compares with it (%s): put "
            "it back from a backup, or remove it, for its delivery has expired",
            folder.of(day),
            _first_line(error),
        )
        return True


class _NotToldError(Exception):
    """What was kept does not say what the next fetch would ask for."""


def _first_line(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"there is no {error.args[0] if error.args else error}"
    return (str(error).splitlines() or [type(error).__name__])[0]


def _has_from(files: list[Path], watermark: str, lower: Value) -> bool:
    for file in files:
        values = pq.read_table(file, columns=[watermark])[watermark]
        kind = values.type
        try:
            least: Any = Decimal(lower) if pa.types.is_decimal(kind) else lower
            newer = pc.greater_equal(values, pa.scalar(least, kind))
        except NOT_OF_TYPE:
            return True
        if pc.any(newer).as_py():
            return True
    return False
