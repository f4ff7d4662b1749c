"""CSV files as frames of strings; a line that is no row comes whole, in `__line`.

Gives up: a file is compared to the source's header by position, so its columns must come in the
source's order. An empty field in quotation marks is null like one without. In a multi-line file
whose lines end in CR LF, one within a field comes as LF.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.contracts.spark import quoted
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.file_reader import charset_of, file_reader, paths_of
from pipeline.sources.reader_columns import FILE, LINE, UNKNOWN_KEY
from pipeline.sources.source import SourceDataset

# Spark's own default escape is a backslash; RFC 4180 and nearly every retailer double the quote.
_CSV_DEFAULTS = {"escape": '"', "header": "true"}
_CSV_NAMES = {"delimiter": "sep", "multiline": "multiLine"}
# Spark's parser keeps an array of so many; a garbled line can have more than its default of 20,480.
_MOST_COLUMNS = 100_000


def read_csv(
    spark: SparkSession, dataset: SourceDataset, files: Sequence[DeliveredFile], file: Column
) -> DataFrame:
    """The source's columns, `__line`, `__unknown_key` (null) and, as `file` says, `__file`."""
    given = _CSV_DEFAULTS | dict(dataset.options)
    given |= {
        "encoding": charset_of(spark, dataset),
        "multiline": str(dataset.is_multiline).lower(),
    }
    if given["escape"] == given.get("quote", '"'):
        # Left alone, Spark takes NUL for it and drops NULs from quoted fields.
        given["charToEscapeQuoteEscaping"] = given["escape"]
    schema = T.StructType(
        [T.StructField(name, T.StringType()) for name in (*dataset.columns, LINE)]
    )
    frame = (
        file_reader(spark)
        .schema(schema)
        .options(**{_CSV_NAMES.get(key, key): value for key, value in given.items()})
        .option("mode", "PERMISSIVE")
        .option("columnNameOfCorruptRecord", LINE)
        .option("maxColumns", _MOST_COLUMNS)
        .csv(paths_of(files))
    )
    return frame.select(
        *(F.col(quoted(name)) for name in dataset.columns),
        LINE,
        F.lit(None).cast("string").alias(UNKNOWN_KEY),
        file.alias(FILE),
    )
