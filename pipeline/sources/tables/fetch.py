"""Ask a source's tables for what is new since the last night, and keep it below the raw root.

Reads the tables of a source YAML, and what earlier fetches have kept. Writes, a dataset, the rows
of a night as Parquet and the record of the fetch (`folder`). A night that has its record is not
asked again, so a rerun sees the same rows.

Which rows. The first fetch takes the whole table up to the end of the night's day (from
`cleaning.first_day` on, if it is set); each later one begins where the last one ended, less the
overlap, and leaves out what was taken (`taken`). The overlap finds what came late: a transaction
whose rows had their watermark before the last fetch and were committed after it. Where PostgreSQL
shows since when the oldest open transaction has been writing, the next fetch begins there, if that
is earlier. Rows of one watermark that come at different times are told by their columns.
Rows of users who were erased from the lake are left out, and counted in the record.

Which day. Events and reviews lie in the shop's day of their time; one that comes after its day's
fetch, in the night that takes it. Items and users say how something is now, whenever that was
written: the first fetch puts them into the first day that has events, for nothing older is known,
and later ones into the day of their watermark. A table without a watermark is taken whole by each
night.

Gives up: a row without a watermark is taken by the first fetch only (of events and reviews never),
which counts such rows; a row that is deleted is not noticed; a transaction that stays open for
longer than the overlap, and that the user may not see, is lost.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.arrow_columns import compute as pc
from pipeline.errors import InputError
from pipeline.sources.delivered_files import delivered_dates
from pipeline.sources.source import KEY_COLUMN, Source, SourceDataset, columns_read
from pipeline.sources.table import Table
from pipeline.sources.tables.folder import DayWriter, TableFolder
from pipeline.sources.tables.open_table import Access, opened
from pipeline.sources.tables.people import PersonColumns
from pipeline.sources.tables.reader import NotOfTypeError, TableReader, take_as_text
from pipeline.sources.tables.taken import Taken
from pipeline.sources.tables.window import NUMBER, TIMES, Column, Value, Window, Zones, column_of

log = logging.getLogger("nightcart")

_SAY_EVERY_ROWS = 500_000


@dataclass(frozen=True)
class Asked:
    """What a fetch is asked for.

    Attributes:
        night: the day whose end it takes rows up to.
        now: when it asks.
        zones: of the source, for its local times, and of the shop, for the days.
        first_day: rows of days before are not taken; None: all are.
        again: whether to ask though the night has its rows.
        is_erased: whether an id is of a user who was erased from the lake; None: nobody was.
    """

    night: dt.date
    now: dt.datetime
    zones: Zones
    first_day: dt.date | None = None
    again: bool = False
    is_erased: Callable[[str], bool] | None = None


@dataclass(frozen=True)
class Fetched:
    """What came of the tables of a night: the records of those that were asked, what is missing."""

    records: dict[str, dict[str, Any]]
    missing: list[str]


def fetch_tables(source: Source, access: Access, asked: Asked) -> Fetched:
    """Fetch each table of a source that the night has not asked yet.

    The dataset that a night is made of comes first. Where it has no row of the day (yet), nothing
    is kept of it, and the others are not asked.

    Raises:
        InputError, SettingsError, StartError: a table cannot be read, or what was kept does not fit
            to the source any more; what to do is said.
    """
    records: dict[str, dict[str, Any]] = {}
    for dataset in sorted(source.datasets.values(), key=lambda one: one is not source.main):
        if dataset.table is None:
            continue
        record, missing = _fetch(source, dataset, dataset.table, access, asked)
        if missing:
            return Fetched(records, [missing])
        if record is not None:
            records[dataset.name] = record
    return Fetched(records, [])


def _fetch(
    source: Source, dataset: SourceDataset, table: Table, access: Access, asked: Asked
) -> tuple[dict[str, Any] | None, str]:
    folder = TableFolder(access.raw_root, dataset.name)
    with folder.alone():
        folder.end_exchange()
        if _is_there(folder, dataset, asked):
            return None, ""
        folder.clear_aside()
        try:
            scratch = dataclasses.replace(access, scratch=folder.aside)
            with opened(table, dataset.own.columns, scratch) as reader:
                fetch = _Fetch(source, dataset, table, folder, reader, asked)
                if missing := fetch.missing():
                    return None, missing
                record = fetch.run()
            folder.put(asked.night, record)
        finally:
            folder.remove_aside()
    return record, ""


def _is_there(folder: TableFolder, dataset: SourceDataset, asked: Asked) -> bool:
    """Whether the night's rows are kept.

    Raises:
        InputError: they are to be asked for again, and lie in a later night's fetch.
    """
    owner = next((night for night in folder.nights() if night >= asked.night), None)
    if owner is None or (asked.again and owner == asked.night):
        return False
    if asked.again:
        raise InputError(
            f"{dataset.where}: {asked.night} was taken with {owner}, in one fetch: ask for "
            f"{owner} again"
        )
    if owner != asked.night and not folder.files(asked.night) and dataset.required:
        raise InputError(
            f"{dataset.where}: the table had no row of {asked.night} when it was asked for {owner}; "
            "there is nothing to make this night of. If rows came since, ask again: "
            f"nightcart run --date {owner} --fetch-again"
        )
    return True


class _Fetch:
    """One table, one night."""

    def __init__(  # noqa: PLR0917
        self,
        source: Source,
        dataset: SourceDataset,
        table: Table,
        folder: TableFolder,
        reader: TableReader,
        asked: Asked,
    ) -> None:
        self._source, self._dataset, self._table = source, dataset, table
        self._folder, self._reader, self._asked = folder, reader, asked
        self._raw_root = folder.root.parents[1]
        earlier = [night for night in folder.nights() if night < asked.night]
        self._before: dict[str, Any] | None = folder.record(earlier[-1]) if earlier else None
        self._before_night = earlier[-1] if earlier else None
        self._mark = self._column(table.watermark)
        self._day = self._column(table.day)
        self._refuse_what_does_not_fit()
        self._people = PersonColumns.of(dataset, source.datasets.values())
        self._lower = self._lower_bound()
        self._window = self._wanted()

    def missing(self) -> str:
        """What the night cannot do without and the table does not have yet; empty: nothing."""
        night, day = self._asked.night, self._day
        is_needed = self._dataset.required and night not in self._source.closed
        if day is None or not is_needed or not self._table.is_of_acts:
            return ""
        of_night = Window(day.name, day.start_of(night), day.name, day.end_of(night))
        if self._reader.has_row(of_night):
            return ""
        return f"a row of {self._table.words} with {day.name} on {night}"

    def run(self) -> dict[str, Any]:
        """Write the rows aside; the record."""
        without = self._count_without()
        while True:
            try:
                written, taken_before, undated, erased = self._write()
                break
            except NotOfTypeError as error:
                # Once a column: as text it has a place for everything.
                take_as_text(self._reader, error, self._table)
                log.info(
                    "%s: %s has values that its type has no place for, and is taken as text",
                    self._dataset.name,
                    error.column,
                )
                self._folder.clear_aside()
        record = self._record(written) | {
            "rows": sum(written.values()),
            "taken_before": taken_before,
            "rows_without_watermark_or_day": without,
            "rows_left_out_without_day": undated,
            "rows_left_out_of_erased_users": erased,
        }
        log.info(
            "%s: %s rows of %s, %s were taken before, %s of erased users and %s without a day are "
            "left out",
            self._dataset.name,
            f"{record['rows']:,}",
            self._table.words,
            f"{taken_before:,}",
            f"{erased:,}",
            f"{undated:,}",
        )
        return record

    def _column(self, name: str) -> Column | None:
        zones = self._asked.zones
        return column_of(self._reader.schema, name, zones, self._table) if name else None

    def _refuse_what_does_not_fit(self) -> None:
        """What earlier fetches kept must have the columns that the source has now."""
        if self._table.is_of_acts and self._day is not None and self._day.kind == NUMBER:
            raise InputError(
                f"{self._table.where}: table: watermark {self._table.watermark} is a number, which "
                "does not say of which day a row is: add the column that does, day: created_at"
            )
        if self._before is None:
            return
        mark = None if self._mark is None else [self._mark.name, self._mark.kind]
        now = {"columns": [*self._dataset.own.columns], "watermark": mark}
        for what, value in now.items():
            if self._before[what] != value:
                raise InputError(
                    f"{self._table.where}: {what} of the table are {value} now, and were "
                    f"{self._before[what]} when rows were kept in {self._folder.root}: remove that "
                    "folder, and the next night takes the whole table by the new source"
                )

    def _lower_bound(self) -> Value:
        if self._mark is None or self._before is None:
            return None
        return lower_of(self._before, self._mark, self._table)

    def _wanted(self) -> Window:
        mark, day = self._mark, self._day
        if mark is None:
            return Window()
        if not self._table.is_of_acts or day is None:
            return Window(mark.name, self._lower, mark.name, None)
        before, lower = day.end_of(self._asked.night), self._lower
        if self._before is None and self._asked.first_day and day.name == mark.name:
            lower = day.start_of(self._asked.first_day)
        return Window(mark.name, lower, day.name, before)

    def _count_without(self) -> int | None:
        """Counted once, for it may cost a look at the whole table."""
        if self._mark is None or self._before is not None:
            return None
        names = list(dict.fromkeys([self._table.watermark, self._table.day]))
        found = self._reader.count_without(names)
        if found:
            what = "are not taken" if self._table.is_of_acts else "are taken now and never again"
            log.warning(
                "%s: %s rows of %s have no value in %s and %s",
                self._dataset.name,
                f"{found:,}",
                self._table.words,
                " or ".join(names),
                what,
            )
        return found

    def _write(self) -> tuple[Counter[dt.date], int, int, int]:
        table, reader, night = self._table, self._reader, self._asked.night
        schema = reader.schema
        writer = DayWriter(self._folder, schema)
        taken = self._taken_by_others()
        place = _Places(self._source, self._dataset, self._raw_root, self._before_night, night)
        order = [table.day] if table.watermark else []
        seen = before = undated = erased = 0
        writer.write(night, _empty(schema))  # also where no row comes, to say so
        for batch in reader.rows(self._window, order):
            new = taken.without(batch)
            before += batch.num_rows - new.num_rows
            if self._asked.is_erased is not None:
                gone = self._people.held(new, self._asked.is_erased)
                new = new.filter(pc.invert(gone))
                erased += gone.true_count
            for day, rows in self._by_day(new):
                if day is None and table.is_of_acts:
                    undated += rows.num_rows
                    continue
                for target in place.of(day):
                    writer.write(target, rows)
            seen += batch.num_rows
            if seen // _SAY_EVERY_ROWS > (seen - batch.num_rows) // _SAY_EVERY_ROWS:
                log.info("%s: %s rows of %s so far", self._dataset.name, f"{seen:,}", table.words)
        writer.close()
        if not seen and not table.watermark:
            raise InputError(
                f"{table.where}: {table.words} has no row, and was to be taken as a whole: an "
                "empty table is taken for a failed load; run the date again when it is filled"
            )
        return writer.rows, before, undated, erased

    def _by_day(self, batch: pa.RecordBatch) -> list[tuple[dt.date | None, pa.RecordBatch]]:
        """Runs of rows of one day."""
        day = self._day
        if day is None or day.kind == NUMBER:
            return [(None, batch)]
        days = [day.day_of(value) for value in batch.column(day.name).to_pylist()]
        runs: list[tuple[dt.date | None, pa.RecordBatch]] = []
        begin = 0
        for row in range(1, len(days) + 1):
            if row == len(days) or days[row] != days[begin]:
                runs.append((days[begin], batch.slice(begin, row - begin)))
                begin = row
        return runs

    def _taken_by_others(self) -> Taken:
        night, folder = self._asked.night, self._folder
        own = set(folder.owned_by(night))
        is_of_acts = self._table.is_of_acts
        others = [day for day in folder.days() if day not in own and (is_of_acts or day < night)]
        if self._mark is None:
            others = []
        key = () if is_of_acts else key_of(self._dataset, self._table)
        files = [file for day in others for file in folder.files(day)]
        return Taken(
            files, self._dataset.own.columns, key, self._table.watermark, self._window.lower
        )

    def _record(self, written: Counter[dt.date]) -> dict[str, Any]:
        mark, day, window = self._mark, self._day, self._window
        return {
            "table": self._table.words,
            "night": self._asked.night.isoformat(),
            "fetched_at": self._asked.now.astimezone(dt.UTC).isoformat(timespec="seconds"),
            "columns": [*self._dataset.own.columns],
            "watermark": None if mark is None else [mark.name, mark.kind],
            "from": None if mark is None else mark.text(window.lower),
            "day": None if day is None else day.name,
            "before": None if day is None else day.text(window.before),
            "next_from": None if mark is None else mark.text(self._next_from(mark)),
            "oldest_open_transaction": self._oldest_writer(),
            "days": {each.isoformat(): rows for each, rows in sorted(written.items())},
        }

    def _next_from(self, mark: Column) -> Value:
        """Up to where everything that was committed is taken.

        Never later than now: one row of the year 2099 would have all others left aside.
        """
        window, day = self._window, self._day
        ends = [] if mark.kind == NUMBER else [mark.at(self._asked.now)]
        if day is not None and day.name == mark.name and window.before is not None:
            return min([window.before, *ends])
        newest = self._reader.newest(dataclasses.replace(window, before=None))
        if newest is None:
            return mark.value(self._before["next_from"]) if self._before else None
        if window.before is not None:
            aside = self._reader.smallest_left_aside(window)
            ends += [] if aside is None else [aside]
        return min([newest, *ends])

    def _oldest_writer(self) -> str | None:
        found = self._reader.oldest_writer()
        return None if found is None else found.isoformat()


class _Places:
    """Into which delivery days a row goes."""

    def __init__(
        self,
        source: Source,
        dataset: SourceDataset,
        raw_root: Path,
        before: dt.date | None,
        night: dt.date,
    ) -> None:
        self._is_first, self._night, self._before = before is None, night, before
        self._table = dataset.table
        self._any_day = dataset is source.main
        delivered = delivered_dates(source, raw_root, night)
        # A day that delivers nothing else is no delivery day: its rows would never be cleaned.
        self._days = [day for day in delivered if before is None or day > before]

    def of(self, day: dt.date | None) -> list[dt.date]:
        """The days of a row whose own day is known or not: two for a whole table's first fetch."""
        assert self._table is not None
        if self._is_first and not self._table.is_of_acts:
            first = self._days[0] if self._days else self._night
            return [first] if self._table.watermark else sorted({first, self._night})
        if day is None or day > self._night or (self._before and day <= self._before):
            return [self._night]
        if self._any_day or not self._days:
            return [day]
        return [next((other for other in self._days if other >= day), self._night)]


def lower_of(record: Mapping[str, Any], mark: Column, table: Table) -> Value:
    """Where the fetch after a recorded one begins; None: with the first row.

    Raises:
        InputError: the overlap does not fit to the watermark.
    """
    last = mark.value(record["next_from"])
    if last is None:
        return None
    lower = mark.less(last, table.overlap, table.where)
    oldest = record["oldest_open_transaction"]
    if oldest and mark.kind in TIMES:
        lower = min(lower, mark.at(dt.datetime.fromisoformat(oldest)))
    return lower


def key_of(dataset: SourceDataset, table: Table) -> tuple[str, ...]:
    """The raw columns that tell a row from another: `key`, else those that the id is made of."""
    return table.key or columns_read(
        dataset.mapping.get(KEY_COLUMN[dataset.name], ""), dataset.own.columns
    )


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
