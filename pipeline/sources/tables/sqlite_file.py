"""A table of an SQLite file, opened to be read only, in one transaction.

SQLite holds any type in any column. A column that is declared as whole numbers, real numbers or
bytes is taken so, if each of its values is; every other column is text. A watermark or a day that
is text is a time such as `2026-03-01 10:00:00`: local, or an instant where its values have `Z` or
an offset.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.errors import InputError, StartError
from pipeline.sources.table import Table
from pipeline.sources.tables.reader import (
    BATCH_ROWS,
    NotOfTypeError,
    SqlColumn,
    SqlReader,
    batch_of,
    take_as_text,
)
from pipeline.sources.tables.window import Value

MAGIC = b"SQLite format 3\x00"
_WITH_ZONE = re.compile(r".*([Zz]|[+-]\d\d:?\d\d)")
_BUSY_SECONDS = 10.0


def is_sqlite(path: Path) -> bool:
    """Whether a file begins as SQLite's do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


class SQLiteTable(SqlReader):
    """See the module's docstring."""

    def __init__(self, table: Table, columns: Sequence[str], path: Path) -> None:
        self._asked = table
        self.table = ".".join(self.quote(part) for part in table.name)
        with self._explained():
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
            )
            self._connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        try:
            with self._explained():
                self._connection.execute("BEGIN")
                declared = self._declared(columns)
                self.columns = [self._column(name, declared[name]) for name in columns]
        except BaseException:
            self.close()
            raise

    def _declared(self, columns: Sequence[str]) -> dict[str, str]:
        *schema, name = self._asked.name
        rows = self._connection.execute(
            "SELECT name, upper(type) FROM pragma_table_xinfo(?, ?)",
            (name, schema[0] if schema else "main"),
        ).fetchall()
        if not rows:
            raise InputError(
                f"{self._asked.where}: there is no table {self._asked.words} in {self._asked.path}; "
                "correct name"
            )
        found = dict(rows)
        # SQLite would take a quoted name that it does not know for a text.
        lacking = [column for column in columns if column not in found]
        if lacking:
            raise InputError(
                f"{self._asked.where}: {self._asked.words} has no column {lacking[0]}; it has "
                f"{', '.join(found)[:300]}: correct columns, watermark, day or key"
            )
        return found

    def _column(self, name: str, declared: str) -> SqlColumn:
        quoted = self.quote(name)
        text = f"CAST({quoted} AS TEXT)"
        if name in (self._asked.watermark, self._asked.day):
            newest = self.scalar(f"SELECT max({quoted}) FROM {self.table}", ())  # noqa: S608
            if isinstance(newest, str):
                zone = "UTC" if _WITH_ZONE.fullmatch(newest) else None
                return SqlColumn(name, quoted, pa.timestamp("us", zone), text, parsed=True)
        if "INT" in declared or "BOOL" in declared:
            return SqlColumn(name, quoted, pa.int64(), text)
        if any(word in declared for word in ("REAL", "FLOA", "DOUB")):
            return SqlColumn(name, quoted, pa.float64(), text)
        if "BLOB" in declared:
            return SqlColumn(name, quoted, pa.binary(), text)
        return SqlColumn(name, text, pa.string(), text)

    def comparable(self, name: str) -> str:
        """A text that is a time in one spelling and, where it has an offset, in UTC."""
        quoted = self.quote(name)
        is_time = pa.types.is_timestamp(self.schema.field(name).type)
        return f"strftime('%Y-%m-%d %H:%M:%f', {quoted})" if is_time else quoted

    def parameter(self, value: Value) -> Any:
        """A bound as `comparable` spells times."""
        if isinstance(value, dt.datetime):
            return value.replace(tzinfo=None).isoformat(" ", "milliseconds")
        return value

    def bound_value(self, value: Any) -> Value:
        """The other way round."""
        if not isinstance(value, str):
            return value
        kind = self.schema.field(self._asked.watermark).type
        if not pa.types.is_timestamp(kind):  # SQLite sorts each text after all numbers
            error = NotOfTypeError(self._asked.watermark, value)
            take_as_text(self, error, self._asked)
        zone = kind.tz
        found = dt.datetime.fromisoformat(value)
        return found.replace(tzinfo=dt.UTC) if zone else found

    def scalar(self, sql: str, parameters: Sequence[Any]) -> Any:
        """See `SqlReader`."""
        with self._explained():
            row = self._connection.execute(sql, tuple(parameters)).fetchone()
        return row[0] if row else None

    def batches(self, sql: str, parameters: Sequence[Any]) -> Iterator[pa.RecordBatch]:
        """See `SqlReader`."""
        with self._explained():
            cursor = self._connection.execute(sql, tuple(parameters))
            while rows := cursor.fetchmany(BATCH_ROWS):
                yield batch_of(rows, self.columns)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        where = f"{self._asked.where}: {self._asked.words}"
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StartError(
                f"{where}: {self._asked.path} cannot be read ({error}); another process may be "
                "writing it"
            ) from None
        except sqlite3.Error as error:
            raise InputError(
                f"{where}: SQLite refused the query ({type(error).__name__})"
            ) from None

    def close(self) -> None:
        """See `TableReader`."""
        self._connection.close()
