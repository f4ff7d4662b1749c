"""Raw files as Spark frames: every value a string, every row with its file and delivery day.

The frame that `read_rows` returns has the source's raw columns and `reader_columns`;
`__unknown_key` costs a second parse where it is used. `count_rows` counts the same rows in another
way, for the ledger. Each format has a reader of its own, which states what it gives up.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.contracts.spark import quoted
from pipeline.errors import ContractError
from pipeline.sources.allowed_sql import refused_sql
from pipeline.sources.csv_reader import read_csv
from pipeline.sources.file_pattern import DeliveredFile, FilePattern
from pipeline.sources.joined_files import joined_files
from pipeline.sources.joined_rows import combined_rows
from pipeline.sources.json_lines_reader import read_json_lines, read_plain_json_lines
from pipeline.sources.line_count import count_lines
from pipeline.sources.parquet_reader import read_parquet
from pipeline.sources.reader_columns import DAY, FILE, LINE, UNKNOWN_KEY
from pipeline.sources.source import LAYOUT, SourceDataset


def read_rows(
    spark: SparkSession,
    dataset: SourceDataset,
    raw_root: Path | str,
    files: list[DeliveredFile],
    *,
    plain: bool = False,
    upto: dt.date | None = None,
    joined_root: Path | str | None = None,
) -> DataFrame:
    """The rows of some files of one dataset; see the module's docstring for the columns.

    A dataset that is joined with others, or whose arrays become rows, comes so (`joined_rows`).

    Args:
        spark: the session.
        dataset: whose.
        raw_root: where the files lie.
        files: which.
        plain: all of them are `plain_json`; `__unknown_key` is then not looked for.
        upto: joined files of later days are not seen.
        joined_root: where joined files lie, if elsewhere.

    Raises:
        ContractError: an expression that makes joined rows is refused or is no SQL.
        InputError: a joined file has not the columns that the source says.
    """
    if dataset.layouts:
        frames = [
            _with_layout(
                read_rows(spark, one, raw_root, of_it, joined_root=joined_root), dataset, n
            )
            for n, (one, of_it) in enumerate(dataset.by_layout(files), 1)
        ]
        return reduce(DataFrame.unionByName, frames)
    if dataset.is_combined:
        if refused := refused_sql(spark, dataset):
            raise ContractError(f"{dataset.where}: " + "; ".join(refused))
        root = joined_root or raw_root
        tables = {
            join.name: read_rows(spark, join.table, root, list(found.whole))
            for join, found in zip(dataset.joins, joined_files(dataset, root, upto), strict=True)
        }
        own = read_rows(spark, dataset.own, raw_root, files, plain=plain)
        return combined_rows(own, dataset, tables)
    if not files:
        return spark.createDataFrame([], _schema(dataset))
    file = _file(raw_root, files)
    if dataset.format == "csv":
        frame = read_csv(spark, dataset, files, file)
    elif dataset.format == "jsonl":
        read = read_plain_json_lines if plain else read_json_lines
        frame = read(spark, dataset, files, file)
    else:
        frame = read_parquet(spark, dataset, files, file)
    return frame.select(
        *(_value(name, dataset.null_words) for name in dataset.columns),
        FILE,
        _day(dataset, files).alias(DAY),
        LINE,
        UNKNOWN_KEY,
    )


def count_rows(
    spark: SparkSession, dataset: SourceDataset, raw_root: Path | str, files: list[DeliveredFile]
) -> dict[str, int]:
    """Rows per own file (path below the raw root), counted without parsing where that can be done.

    A row of CSV or JSON Lines is a line that is not blank; the header is none. Where a field may
    hold line breaks, or where the text is not a superset of ASCII, only parsing can count.

    Raises:
        FileDamageError: a file cannot be read, though it could be when it was checked.
    """
    if dataset.layouts:
        found: dict[str, int] = {}
        for one, of_it in dataset.by_layout(files):
            found |= count_rows(spark, one, raw_root, of_it)
        return found
    dataset = dataset.own
    if not files:
        return {}
    if dataset.format == "parquet":
        return {file.relative: pq.read_metadata(file.path).num_rows for file in files}
    if dataset.format == "csv" and dataset.is_multiline:
        rows = read_csv(spark, dataset, files, _file(raw_root, files)).groupBy(FILE).count()
        counted = {row[FILE]: row["count"] for row in rows.collect()}
        return {file.relative: counted.get(file.relative, 0) for file in files}
    headers = 1 if dataset.format == "csv" and dataset.has_header else 0
    comment = dataset.options.get("comment")
    return {file.relative: max(0, count_lines(file, comment) - headers) for file in files}


def _with_layout(rows: DataFrame, dataset: SourceDataset, number: int) -> DataFrame:
    """The rows of one layout with the columns of all."""
    given = {*rows.columns}
    values = {
        name: F.col(quoted(name)) if name in given else F.lit(None).cast("string")
        for name in dataset.columns
    }
    values[LAYOUT] = F.lit(str(number))
    return rows.select(
        *(value.alias(name) for name, value in values.items()), FILE, DAY, LINE, UNKNOWN_KEY
    )


def _value(name: str, null_words: Sequence[str]) -> Column:
    value = F.col(quoted(name))
    return F.when(~value.isin(*null_words), value).alias(name) if null_words else value


def _schema(dataset: SourceDataset) -> T.StructType:
    fields = [T.StructField(name, T.StringType()) for name in (*dataset.columns, FILE)]
    return T.StructType(
        [
            *fields,
            T.StructField(DAY, T.DateType()),
            T.StructField(LINE, T.StringType()),
            T.StructField(UNKNOWN_KEY, T.StringType()),
        ]
    )


def _file(raw_root: Path | str, files: Sequence[DeliveredFile]) -> Column:
    """A row's file; for a single file a constant, because a lookup cost a twelfth of the pass."""
    if len(files) == 1:
        return F.lit(files[0].relative)
    return _relative_path(F.col("_metadata.file_path"), str(raw_root))


def _day(dataset: SourceDataset, files: Sequence[DeliveredFile]) -> Column:
    """A row's delivery day, from its `__file`, or a constant where there is only one.

    Reading a date out of a path costs a row about as much as parsing a fifth of its columns.
    """
    days = {file.date for file in files}
    if len(days) == 1:
        return F.lit(days.pop()).cast("date")
    pattern = dataset.pattern
    assert isinstance(pattern, FilePattern)  # a layout's own
    text = F.regexp_extract(F.col(FILE), pattern.regex, 1)
    return F.to_date(text, pattern.spark_date_format)


def _relative_path(path: Column, raw_root: str) -> Column:
    """Spark's URI of a file, as a path below the raw root."""
    plain = F.when(
        path.contains("%"), F.url_decode(F.replace(path, F.lit("+"), F.lit("%2B")))
    ).otherwise(path)
    root = F.lit(raw_root.rstrip("/") + "/")
    return F.substr(plain, F.locate(raw_root.rstrip("/") + "/", plain) + F.length(root))
