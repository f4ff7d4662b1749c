"""Where the rows of a table are kept, and what is recorded of each fetch.

    <raw>/tables/<dataset>/date=D/part-*.parquet   the rows of one delivery day, as they were read
    <raw>/tables/<dataset>/date=D/fetch.json       of a night that asked: from where to where

The days after one fetch's night and up to the next one's belong to the later fetch. Everything is
written aside and renamed, its own night's directory, with the record, last. A fetch that is cut off
before all its rows lie aside is made again; one that is cut off while they are put in their places
is ended by the next fetch, of whatever night, for the later nights do not bring those rows. Spark
and the night look at no name that begins with a dot. A folder without any of this is the shop's
own, as is a name `date=...` that says no day: nobody here touches them.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import durable
from pipeline.errors import InputError
from pipeline.locks import alone

RECORD = "fetch.json"
_ASIDE = ".aside"
_EXCHANGE = ".exchange.json"  # there from before the first removal until after the last rename
_OPEN_DAYS = 2  # files of days before so many are closed: rows come in the order of their days


class TableFolder:
    """The folder of one dataset's table."""

    def __init__(self, raw_root: Path, dataset: str) -> None:
        self.root = raw_root / "tables" / dataset
        self.aside = self.root / _ASIDE

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One fetch at a time."""
        durable.make_directory(self.root)
        with alone(self.root / ".fetch.lock", f"a fetch into {self.root}"):
            yield

    @property
    def is_ours(self) -> bool:
        """Whether a fetch made it: what others deliver has no record of a fetch."""
        under_way = (self.root / _EXCHANGE).is_file() or self.aside.is_dir()
        return under_way or bool(self.nights())

    def days(self) -> list[dt.date]:
        """Days that have a directory, ascending."""
        return sorted(self.day_of(path) for path in self.root.glob("date=*") if _says_day(path))

    def no_days(self) -> list[Path]:
        """What is named like a day's directory and is none, in name order."""
        return sorted(path for path in self.root.glob("date=*") if not _says_day(path))

    @staticmethod
    def day_of(directory: Path) -> dt.date:
        """The day of a directory."""
        return dt.date.fromisoformat(directory.name.removeprefix("date="))

    def nights(self) -> list[dt.date]:
        """Nights that asked, ascending."""
        return [day for day in self.days() if (self.of(day) / RECORD).is_file()]

    def of(self, day: dt.date) -> Path:
        """A day's directory."""
        return self.root / f"date={day.isoformat()}"

    def files(self, day: dt.date) -> list[Path]:
        """A day's files."""
        return sorted(self.of(day).glob("*.parquet"))

    def record(self, night: dt.date) -> dict[str, Any]:
        """What is recorded of a fetch.

        Raises:
            InputError: the record cannot be read.
        """
        path = self.of(night) / RECORD
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = None
        if not isinstance(found, dict):
            raise InputError(
                f"{path} cannot be read, so nobody knows what was taken: put it back from a "
                f"backup, or remove {self.root} to have the whole table taken again"
            )
        return found

    def owned_by(self, night: dt.date) -> list[dt.date]:
        """The days that belong to a night's fetch, ascending, whether or not it is over."""
        earlier = [other for other in self.nights() if other < night]
        return [day for day in self.days() if (not earlier or day > earlier[-1]) and day <= night]

    def put(self, night: dt.date, record: Mapping[str, Any]) -> None:
        """Put what was written aside in the place of what the night's fetch had, if any."""
        target = self.aside / f"date={night.isoformat()}"
        durable.put_text(target / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        durable.sync_files(path for path in self.aside.glob("date=*/*.parquet"))
        durable.sync_directories(self.aside)
        days = sorted(path.name for path in self.aside.glob("date=*"))
        exchange = json.dumps({"night": night.isoformat(), "days": days})
        durable.put_text(self.root / _EXCHANGE, exchange + "\n")
        self.end_exchange()

    def end_exchange(self) -> None:
        """End what `put` was doing when it was cut off; nothing where it was not.

        Raises:
            InputError: what it noted of that cannot be read.
        """
        marker = self.root / _EXCHANGE
        if not marker.exists():
            return
        try:
            exchange = json.loads(marker.read_text(encoding="utf-8"))
            night, new = dt.date.fromisoformat(exchange["night"]), exchange["days"]
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{marker} cannot be read, so nobody knows which rows were being put in their "
                f"places: put it back from a backup, or remove {self.root} to have the whole table "
                "taken again"
            ) from None
        # The night's own first: while it is gone, so is the record. A new day that does not lie
        # aside any more is in its place.
        for day in reversed(self.owned_by(night)):
            path = self.of(day)
            if path.name not in new or (self.aside / path.name).exists():
                durable.remove(path)
        own = self.of(night).name
        for name in sorted(new, key=lambda one: (one == own, one)):
            if (self.aside / name).exists():
                durable.rename(self.aside / name, self.root / name)
        marker.unlink()
        durable.sync_directory(self.root)
        for path in durable.cut_off_removals(self.root):
            shutil.rmtree(path)

    def clear_aside(self) -> None:
        """Begin anew."""
        shutil.rmtree(self.aside, ignore_errors=True)
        durable.make_directory(self.aside)

    def remove_aside(self) -> None:
        """Nothing is left aside, except what an exchange has not put in its place yet."""
        if not (self.root / _EXCHANGE).exists():
            shutil.rmtree(self.aside, ignore_errors=True)


def table_folders(raw_root: Path) -> list[TableFolder]:
    """The folders of all tables that rows are kept of, in name order."""
    return [folder for folder in _folders(raw_root) if folder.is_ours]


def folders_of_others(raw_root: Path) -> list[Path]:
    """Folders among those of the tables that no fetch made, in name order."""
    return [folder.root for folder in _folders(raw_root) if not folder.is_ours]


def _folders(raw_root: Path) -> list[TableFolder]:
    paths = sorted(path for path in raw_root.glob("tables/*") if path.is_dir())
    return [TableFolder(raw_root, path.name) for path in paths]


def _says_day(path: Path) -> bool:
    text = path.name.removeprefix("date=")
    try:
        return dt.date.fromisoformat(text).isoformat() == text and path.is_dir()
    except ValueError:
        return False


class DayWriter:
    """Writes batches into the files of days, aside; memory is that of a batch."""

    def __init__(self, folder: TableFolder, schema: pa.Schema) -> None:
        self._folder, self._schema = folder, schema
        self._open: dict[dt.date, pq.ParquetWriter] = {}
        self._parts: Counter[dt.date] = Counter()
        self.rows: Counter[dt.date] = Counter()

    def write(self, day: dt.date, batch: pa.RecordBatch) -> None:
        """Add rows to a day; an empty batch makes its file all the same."""
        if day not in self._open:
            self._close(day - dt.timedelta(days=_OPEN_DAYS))
            directory = self._folder.aside / f"date={day.isoformat()}"
            durable.make_directory(directory)
            path = directory / f"part-{self._parts[day]:05d}.parquet"
            self._parts[day] += 1
            self._open[day] = pq.ParquetWriter(path, self._schema, compression="zstd")
        if batch.num_rows:
            self._open[day].write_batch(batch)
        self.rows[day] += batch.num_rows

    def close(self) -> None:
        """Finish all files."""
        self._close(dt.date.max)

    def _close(self, before: dt.date) -> None:
        for day in [day for day in self._open if day < before]:
            self._open.pop(day).close()
