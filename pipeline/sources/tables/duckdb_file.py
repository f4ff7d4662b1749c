"""A table of a DuckDB file, opened to be read only.

The file is all that the session may reach: DuckDB would else take a table's name for a file's, or
for a Python variable's. Types that Parquet and Spark both know stay; nested values come as JSON
text, everything else as the text that DuckDB writes. A time that Python has no value for is none.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.errors import InputError, StartError
from pipeline.sources.table import Table
from pipeline.sources.tables.reader import BATCH_ROWS, SqlColumn, SqlReader

_NATIVE = re.compile(
    r"BOOLEAN|U?(TINYINT|SMALLINT|INTEGER|BIGINT)|FLOAT|DOUBLE|VARCHAR|BLOB|DATE|DECIMAL\(\d+,\d+\)"
)
_NESTED = re.compile(r".*\]|(STRUCT|MAP|UNION)\(.*", re.DOTALL)
_TIMES = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"} | dict.fromkeys(
    ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "TIMESTAMP"
)


class DuckDBTable(SqlReader):
    """See the module's docstring."""

    def __init__(self, table: Table, columns: Sequence[str], path: Path) -> None:
        self._asked = table
        self.table = ".".join(self.quote(part) for part in table.name)
        if not path.is_file():
            raise InputError(f"{table.where}: table: path: {path} does not exist")
        with self._explained():
            # A value of `config` is given when the file is opened; the last forbids to change it.
            self._connection = duckdb.connect(
                str(path),
                read_only=True,
                config={
                    "enable_external_access": "false",
                    "python_enable_replacements": "false",
                    "autoinstall_known_extensions": "false",
                    "TimeZone": "UTC",
                },
            )
        try:
            with self._explained():
                self._connection.execute("BEGIN TRANSACTION READ ONLY")
                types = dict(self._connection.execute(self._described(columns)).fetchall())
                self.columns = [_column(self.quote(name), name, types[name]) for name in columns]
                self._set_types()
        except BaseException:
            self.close()
            raise

    def _described(self, columns: Sequence[str]) -> str:
        names = ", ".join(f"{self.quote(name)} AS {self.quote(name)}" for name in columns)
        described = f"DESCRIBE SELECT {names} FROM {self.table}"  # noqa: S608
        return f"SELECT column_name, column_type FROM ({described})"  # noqa: S608

    def _set_types(self) -> None:
        selected = ", ".join(column.select for column in self.columns)
        sql = f"SELECT {selected} FROM {self.table} LIMIT 0"  # noqa: S608
        found = self._connection.sql(sql).to_arrow_table().schema
        for column, field in zip(self.columns, found, strict=True):
            column.type = field.type

    def scalar(self, sql: str, parameters: Sequence[Any]) -> Any:
        """See `SqlReader`."""
        with self._explained():
            # All of them: an unfinished result stands in the way of the next query.
            rows = self._connection.execute(sql, list(parameters)).fetchall()
        return rows[0][0] if rows else None

    def batches(self, sql: str, parameters: Sequence[Any]) -> Iterator[pa.RecordBatch]:
        """See `SqlReader`."""
        with self._explained():
            found = self._connection.sql(sql, params=list(parameters))
            for batch in found.to_arrow_reader(BATCH_ROWS):
                yield pa.RecordBatch.from_arrays(
                    batch.columns, names=[column.name for column in self.columns]
                )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        where = f"{self._asked.where}: {self._asked.words}"
        try:
            yield
        except duckdb.CatalogException:
            raise InputError(
                f"{where}: there is no such table in {self._asked.path}; correct name (schema.table)"
            ) from None
        except duckdb.BinderException as error:
            said = str(error).partition("\n")[0]
            raise InputError(
                f"{where}: {said[:200]}; correct columns, watermark, day or key"
            ) from None
        except duckdb.IOException:
            raise StartError(
                f"{where}: {self._asked.path} cannot be opened: another process writes it, or it is "
                "no DuckDB file of this version; have the process end, or a copy delivered"
            ) from None
        except duckdb.Error as error:
            raise InputError(
                f"{where}: DuckDB refused the query ({type(error).__name__})"
            ) from None

    def close(self) -> None:
        """See `TableReader`."""
        self._connection.close()


def _column(quoted: str, name: str, kind: str) -> SqlColumn:
    text = f"CAST({quoted} AS VARCHAR)"
    if _NATIVE.fullmatch(kind):
        select = quoted
    elif kind in _TIMES:
        value = f"CAST({quoted} AS {_TIMES[kind]})"
        select = f"CASE WHEN {value} >= '0001-01-02' AND {value} < '9999-12-30' THEN {value} END"
    elif _NESTED.fullmatch(kind):
        select = text = f"CAST(to_json({quoted}) AS VARCHAR)"
    else:
        select = text
    return SqlColumn(name, select, pa.null(), text)
