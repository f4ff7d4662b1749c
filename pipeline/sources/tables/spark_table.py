"""A table that Spark reads: another database's by its JDBC driver, Delta Lake, Iceberg.

The rows go through Parquet in a scratch directory, so that neither Python nor the driver's memory
holds a table. Spark's jars are those of `spark.jars` in the settings. User and password are options
of the reader, which Spark leaves out of its plans.

Exercised with Derby, whose driver comes with Spark. **Delta Lake and Iceberg were not exercised**:
their jars are not here. Gives up: JDBC has no way to ask for one state of a database, so that each
query (the bounds, the rows) sees what is committed when it runs; the overlap is what a row that
comes in between is found by.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import tempfile
from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from pipeline.contracts.spark import quoted
from pipeline.error_words import in_words
from pipeline.errors import InputError, SettingsError, StartError
from pipeline.sources.table import JDBC, Table
from pipeline.sources.tables.credentials import Credentials
from pipeline.sources.tables.reader import BATCH_ROWS, TableReader
from pipeline.sources.tables.window import Value, Window

_FETCH_ROWS = "10000"
_BACKQUOTES = ("jdbc:mysql:", "jdbc:mariadb:")


class SparkTable(TableReader):
    """See the module's docstring."""

    def __init__(  # noqa: PLR0917
        self,
        spark: SparkSession,
        table: Table,
        columns: Sequence[str],
        credentials: Credentials,
        path: Path,
        scratch: Path,
    ) -> None:
        self._asked, self._credentials, self._scratch = table, credentials, scratch
        with self._explained():
            if table.kind == JDBC:
                frame = _jdbc(spark, table, credentials)
            else:
                frame = spark.read.format(table.kind).load(str(path))
            lacking = [name for name in columns if name not in frame.columns]
            if lacking:
                raise InputError(
                    f"{table.where}: {table.words} has no column {lacking[0]}; it has "
                    f"{', '.join(frame.columns)[:300]}: correct columns, watermark, day or key"
                )
            self._frame = frame.select(*(F.col(quoted(name)) for name in columns))

    @property
    def schema(self) -> pa.Schema:  # type: ignore[override]
        """As it is now."""
        return to_arrow_schema(self._frame.schema)

    def take_as_text(self, column: str) -> None:
        """See `TableReader`."""
        self._frame = self._frame.withColumn(column, F.col(quoted(column)).cast("string"))

    def newest(self, window: Window) -> Value:
        """See `TableReader`."""
        return self._bound(F.max, window)

    def smallest_left_aside(self, window: Window) -> Value:
        """See `TableReader`."""
        return self._bound(F.min, window, past=True)

    def count_without(self, columns: Sequence[str]) -> int:
        """See `TableReader`."""
        empty = reduce(Column.__or__, (F.col(quoted(name)).isNull() for name in columns))
        with self._explained():
            return self._frame.where(empty).count()

    def has_row(self, window: Window) -> bool:
        """See `TableReader`."""
        with self._explained():
            return bool(self._of(window).limit(1).count())

    def rows(
        self, window: Window, order: Sequence[str], newest: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """See `TableReader`."""
        found = self._of(window)
        if newest is not None:
            found = found.orderBy(F.desc(quoted(order[0]))) if order else found
            found = found.limit(newest)
        elif order:
            found = found.orderBy(*(F.col(quoted(name)) for name in order))
        with tempfile.TemporaryDirectory(dir=self._scratch) as directory:
            with self._explained():
                found.write.parquet(f"{directory}/rows")
            for file in sorted(Path(directory).glob("rows/*.parquet")):
                with pq.ParquetFile(file) as rows:
                    for batch in rows.iter_batches(BATCH_ROWS):
                        yield batch.cast(self.schema)

    def close(self) -> None:
        """Nothing is held; the session is the caller's."""

    def _bound(self, which: Any, window: Window, *, past: bool = False) -> Value:
        found = self._of(window, past=past)
        with self._explained():
            value = found.agg(which(F.col(quoted(window.watermark)))).collect()[0][0]
        # Of a time with a zone, Spark hands over the local time of this process.
        is_instant = isinstance(value, dt.datetime) and (
            self.schema.field(window.watermark).type.tz is not None
        )
        return value.astimezone(dt.UTC) if is_instant else value

    def _of(self, window: Window, *, past: bool = False) -> DataFrame:
        found = self._frame
        if window.lower is not None:
            found = found.where(F.col(quoted(window.watermark)) >= _literal(window.lower))
        if window.before is not None:
            day, before = F.col(quoted(window.day)), _literal(window.before)
            found = found.where(day >= before if past else day < before)
        return found

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        where = f"{self._asked.where}: {self._asked.words}"
        try:
            yield
        except (PySparkException, Py4JError) as error:
            words = str(error)
            if "DATA_SOURCE_NOT_FOUND" in words:
                raise SettingsError(
                    f"{where}: Spark does not know {self._asked.kind}: name its jar in the settings "
                    '(spark.jars = ["/opt/…-runtime.jar"])'
                ) from None
            if "ClassNotFoundException" in words or "No suitable driver" in words:
                raise SettingsError(
                    f"{where}: Spark has no driver for it: name its jar in the settings "
                    '(spark.jars = ["/opt/driver.jar"]) and, for JDBC, its class in '
                    "table: driver"
                ) from None
            if "SQLException" in words:
                raise StartError(
                    f"{where}: the database refused or did not answer ({in_words(error)}); make "
                    "sure that url, connection and name are right and the user may SELECT"
                ) from None
            raise InputError(f"{where}: it cannot be read ({in_words(error)})") from None


def _literal(value: Value) -> Column:
    """A bound; a local time must not be taken for one in the zone of this process."""
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        return F.lit(value.isoformat(" ")).cast("timestamp_ntz")
    return F.lit(value)


def _jdbc(spark: SparkSession, table: Table, credentials: Credentials) -> DataFrame:
    mark = "`" if table.url.startswith(_BACKQUOTES) else '"'
    name = ".".join(mark + part.replace(mark, 2 * mark) + mark for part in table.name)
    options = {
        "url": table.url,
        "dbtable": name,
        "driver": table.driver,
        "user": credentials.user,
        "password": credentials.password,
        "fetchsize": _FETCH_ROWS,
        # A time without a zone stays one.
        "preferTimestampNTZ": "true",
    }
    return spark.read.format("jdbc").options(**{k: v for k, v in options.items() if v}).load()
