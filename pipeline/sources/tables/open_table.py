"""Which reader a table is opened by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ContractError
from pipeline.sources.table import DUCKDB, JDBC, Table
from pipeline.sources.tables.credentials import credentials_of
from pipeline.sources.tables.duckdb_file import DuckDBTable
from pipeline.sources.tables.postgres import PostgresTable
from pipeline.sources.tables.reader import TableReader
from pipeline.sources.tables.sqlite_file import SQLiteTable, is_sqlite

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_POSTGRES = ("", "postgres", "postgresql")


@dataclass(frozen=True)
class Access:
    """What a table is opened with, beside what the YAML says.

    Attributes:
        raw_root: relative paths of files are below it.
        environ: where the connections are.
        open_spark: opens Spark, which only some tables need.
        scratch: where Spark may put rows on their way.
    """

    raw_root: Path
    environ: Mapping[str, str]
    open_spark: Callable[[], SparkSession]
    scratch: Path


@contextmanager
def opened(table: Table, columns: Sequence[str], access: Access) -> Iterator[TableReader]:
    """A table's reader; it is closed after the block.

    Raises:
        InputError, SettingsError, StartError: it cannot be opened; what to do is said.
    """
    reader = _open(table, columns, access)
    try:
        yield reader
    finally:
        reader.close()


def _open(table: Table, columns: Sequence[str], access: Access) -> TableReader:
    path = access.raw_root / Path(table.path).expanduser()
    if table.kind == DUCKDB:
        return (SQLiteTable if is_sqlite(path) else DuckDBTable)(table, columns, path)
    credentials = credentials_of(table, access.environ)
    if table.kind == JDBC and not table.url and credentials.kind not in _POSTGRES:
        raise ContractError(
            f"{table.where}: table: connection {table.connection} is of {credentials.kind!r}; only "
            "PostgreSQL is found by its connection alone: write url: jdbc:… too"
        )
    if table.is_postgres:
        return PostgresTable(table, columns, credentials)
    if table.kind == JDBC and not table.url.startswith("jdbc:"):
        raise ContractError(f"{table.where}: table: url must begin with jdbc:, such as jdbc:mysql:")
    from pipeline.sources.tables.spark_table import SparkTable

    return SparkTable(access.open_spark(), table, columns, credentials, path, access.scratch)
