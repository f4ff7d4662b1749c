"""Raw files as Spark frames: every value a string, every row with its file and delivery day.

The frame that `read_rows` returns has the source's raw columns and, beside them:
`__file` (path below the raw root), `__day` (the day its name says; null in a dump), `__line` (the
text of a line that could not be read; null for a row), and for JSON Lines `__unknown_key` (a key
of the line that the source does not name; it costs a second parse where it is asked for).
`count_rows` counts the same rows another way, for the ledger.

Gives up: a CSV file is compared to the source's header by position, so its columns must come in
the source's order. Numbers in JSON are read as Spark writes them back ("1.50" becomes "1.5").
In CSV an empty field in quotation marks is null like one without. In a multi-line CSV whose lines
end in CR LF, one within a field comes as LF.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.contracts.spark import quoted
from pipeline.errors import ContractError
from pipeline.sources.dialect import UTF_8, java_charset
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.line_count import count_lines
from pipeline.sources.parquet_reader import read_parquet
from pipeline.sources.source import SourceDataset

FILE, DAY, LINE, UNKNOWN_KEY = "__file", "__day", "__line", "__unknown_key"
READER_COLUMNS = (FILE, DAY, LINE)

# Spark's own default escape is a backslash; RFC 4180 and nearly every retailer double the quote.
_CSV_DEFAULTS = {"escape": '"', "header": "true"}
_CSV_NAMES = {"delimiter": "sep", "multiline": "multiLine"}
# Of Spark's parser, which keeps an array of so many; its 20,480 is what a garbled line can exceed.
_MOST_COLUMNS = 100_000
# A surrogate escape without its other half; before it an even number of backslashes, or none.
_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF_A_CHARACTER = rf"(?<!\\)(?:\\\\)*(?:{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW})"


def read_rows(
    spark: SparkSession,
    dataset: SourceDataset,
    raw_root: Path | str,
    files: list[DeliveredFile],
    *,
    plain: bool = False,
) -> DataFrame:
    """The rows of some files of one dataset; see the module's docstring for the columns.

    Args:
        spark: the session.
        dataset: whose.
        raw_root: where the files lie.
        files: which.
        plain: all of them are `plain_json`; `__unknown_key` is then not looked for.
    """
    if not files:
        return spark.createDataFrame([], _schema(dataset))
    file = _file(raw_root, files)
    if dataset.format == "csv":
        frame = _read_csv(spark, dataset, files, file)
    elif dataset.format == "jsonl":
        read = _read_plain_json_lines if plain else _read_json_lines
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
    """Rows per file (path below the raw root), counted without parsing where that can be done.

    A row of CSV or JSON Lines is a line that is not blank; the header is none. Where a field may
    hold line breaks, or where the text is not a superset of ASCII, only parsing can count.

    Raises:
        FileDamageError: a file cannot be read, though it could be when it was checked.
    """
    if not files:
        return {}
    if dataset.format == "parquet":
        return {file.relative: pq.read_metadata(file.path).num_rows for file in files}
    if dataset.format == "csv" and dataset.is_multiline:
        rows = _read_csv(spark, dataset, files, _file(raw_root, files)).groupBy(FILE).count()
        counted = {row[FILE]: row["count"] for row in rows.collect()}
        return {file.relative: counted.get(file.relative, 0) for file in files}
    headers = 1 if dataset.format == "csv" and dataset.has_header else 0
    comment = dataset.options.get("comment")
    return {file.relative: max(0, count_lines(file, comment) - headers) for file in files}


def _reader(spark: SparkSession) -> DataFrameReader:
    """Reads the files that it is given, whatever is in their names: no globbing, no partitions."""
    return spark.read.option("recursiveFileLookup", "true").option("__globPaths__", "false")


def _value(name: str, null_words: Sequence[str]) -> Column:
    value = F.col(quoted(name))
    return F.when(~value.isin(*null_words), value).alias(name) if null_words else value


def _read_csv(
    spark: SparkSession, dataset: SourceDataset, files: Sequence[DeliveredFile], file: Column
) -> DataFrame:
    given = _CSV_DEFAULTS | dict(dataset.options)
    given |= {"encoding": _charset(spark, dataset), "multiline": str(dataset.is_multiline).lower()}
    if given["escape"] == given.get("quote", '"'):
        # Left alone, Spark takes NUL for it and drops NULs from quoted fields.
        given["charToEscapeQuoteEscaping"] = given["escape"]
    schema = T.StructType(
        [T.StructField(name, T.StringType()) for name in (*dataset.columns, LINE)]
    )
    frame = (
        _reader(spark)
        .schema(schema)
        .options(**{_CSV_NAMES.get(key, key): value for key, value in given.items()})
        .option("mode", "PERMISSIVE")
        .option("columnNameOfCorruptRecord", LINE)
        .option("maxColumns", _MOST_COLUMNS)
        .csv(_paths(files))
    )
    return frame.select(
        *(F.col(quoted(name)) for name in dataset.columns),
        LINE,
        F.lit(None).cast("string").alias(UNKNOWN_KEY),
        file.alias(FILE),
    )


def _charset(spark: SparkSession, dataset: SourceDataset) -> str:
    name = java_charset(dataset.encoding)
    jvm = spark._jvm
    assert jvm is not None
    if not jvm.java.nio.charset.Charset.isSupported(name):
        raise ContractError(
            f"{dataset.where}: options: encoding {dataset.encoding!r} is not one that Java reads"
        )
    return name


def _read_plain_json_lines(
    spark: SparkSession, dataset: SourceDataset, files: Sequence[DeliveredFile], file: Column
) -> DataFrame:
    """By Spark's own reader, which is right about `plain_json` and twice as fast."""
    names = (*dataset.columns, LINE)
    frame = (
        _reader(spark)
        .schema(T.StructType([T.StructField(name, T.StringType()) for name in names]))
        .option("mode", "PERMISSIVE")
        .option("columnNameOfCorruptRecord", LINE)
        .option("allowSingleQuotes", "false")
        .json(_paths(files))
    )
    return frame.select(
        *(F.col(quoted(name)) for name in names),
        F.lit(None).cast("string").alias(UNKNOWN_KEY),
        file.alias(FILE),
    )


def _read_json_lines(
    spark: SparkSession, dataset: SourceDataset, files: Sequence[DeliveredFile], file: Column
) -> DataFrame:
    """Each line is read as the one element of an array of structs of strings.

    The array makes Spark see what follows the object: alone, `{"a":1}{"a":2}` would be read as
    its first half and the rest dropped without a word.
    """
    lines = _reader(spark).text(_paths(files))
    if dataset.encoding != UTF_8:
        text = F.decode(F.col("value").cast("binary"), _charset(spark, dataset))
        lines = lines.withColumn("value", text)
    line = F.col("value")
    row = T.StructType([T.StructField(name, T.StringType()) for name in dataset.columns])
    parsed = F.from_json(
        F.concat(F.lit("["), line, F.lit("]")),
        T.ArrayType(row),
        {"allowSingleQuotes": "false"},
    )
    # Nearly every line begins so; a regular expression would cost as much as the parser.
    is_object = (line.startswith("{") | line.rlike(r"^\s*\{")) & (F.size("__parsed") == 1)
    # Java would make a question mark of half a character, and one item of many.
    is_text = ~line.contains("\\u") | ~line.rlike(_HALF_A_CHARACTER)
    known = F.array(*(F.lit(name) for name in dataset.columns))
    keys = F.when(F.col("__row").isNotNull(), F.json_object_keys(line))
    return (
        lines.where(line.startswith("{") | line.rlike(r"[^\x00-\x20]"))
        .select("value", parsed.alias("__parsed"), file.alias(FILE))
        .withColumn("__row", F.when(is_object & is_text, F.get("__parsed", F.lit(0))))
        .select(
            *(F.col("__row").getField(name).alias(name) for name in dataset.columns),
            F.when(F.col("__row").isNull(), line).alias(LINE),
            F.get(F.array_except(keys, known), F.lit(0)).alias(UNKNOWN_KEY),
            FILE,
        )
    )


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
    """A row's file. Where there is only one, Spark need not say: it cost a twelfth of the pass."""
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
    text = F.regexp_extract(F.col(FILE), dataset.pattern.regex, 1)
    return F.to_date(text, dataset.pattern.spark_date_format)


def _relative_path(path: Column, raw_root: str) -> Column:
    """Spark's URI of a file, as a path below the raw root."""
    plain = F.when(
        path.contains("%"), F.url_decode(F.replace(path, F.lit("+"), F.lit("%2B")))
    ).otherwise(path)
    root = F.lit(raw_root.rstrip("/") + "/")
    return F.substr(plain, F.locate(raw_root.rstrip("/") + "/", plain) + F.length(root))


def _paths(files: Sequence[DeliveredFile]) -> list[str]:
    return [str(file.path) for file in files]
