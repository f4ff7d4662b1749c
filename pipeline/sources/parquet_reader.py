"""Parquet files as frames of strings, whatever types their writers chose.

Files of one day may differ in types and in what a column may be (one writer's integer is another's
string): files of equal schema are read together, each group as texts, and put under each other. A
time with a zone comes as text with `Z`, so that it stays the instant that it is; one without is
local time. What is nested comes as JSON, as in JSON Lines, so that `get_json_object` reads both. A
whole number comes without a fraction, whatever type it has: 17850 written as an integer, a double,
a decimal or a text is one user. What Spark has no reader for, Arrow reads (`parquet_by_arrow`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import reduce

import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.contracts.spark import quoted
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.file_reader import file_reader
from pipeline.sources.parquet_by_arrow import read_by_arrow, spark_reads
from pipeline.sources.reader_columns import FILE, LINE, UNKNOWN_KEY
from pipeline.sources.source import SourceDataset

# A double says each whole number up to here, a float up to there. Beyond, digits are lost: the
# value stays as 2.82E18, by which `source check` knows ids that were cut off.
_EXACT = {T.DoubleType: 2.0**53, T.FloatType: 2.0**24}


def read_parquet(
    spark: SparkSession, dataset: SourceDataset, files: Sequence[DeliveredFile], file: Column
) -> DataFrame:
    """The source's columns as strings, `__line`, `__unknown_key` and, as `file` says, `__file`."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    others = []
    for one in files:
        if spark_reads(one.path):
            schema = pq.read_schema(one.path).remove_metadata().to_string()
            groups[schema].append(str(one.path))
        else:
            others.append(one)
    frames = [
        _as_text(file_reader(spark).parquet(*paths), dataset, file) for paths in groups.values()
    ]
    if others:
        frames.append(read_by_arrow(spark, dataset, others))
    return reduce(DataFrame.unionByName, frames)


def _as_text(frame: DataFrame, dataset: SourceDataset, file: Column) -> DataFrame:
    return frame.select(
        *(_text(name, frame.schema[name].dataType).alias(name) for name in dataset.columns),
        F.lit(None).cast("string").alias(LINE),
        F.lit(None).cast("string").alias(UNKNOWN_KEY),
        file.alias(FILE),
    )


def _text(name: str, kind: T.DataType) -> Column:
    value = F.col(quoted(name))
    if isinstance(kind, T.StructType | T.ArrayType | T.MapType):
        return F.to_json(value)
    if isinstance(kind, T.TimestampType):
        return F.concat(value.cast("string"), F.lit("Z"))
    if isinstance(kind, T.DoubleType | T.FloatType):
        is_whole = (F.rint(value) == value) & (F.abs(value) <= _EXACT[type(kind)])
        whole = F.when(is_whole, value).cast("bigint").cast("string")
        return F.coalesce(whole, value.cast("string"))
    if isinstance(kind, T.DecimalType):
        return F.regexp_replace(value.cast("string"), r"\.0+$", "")
    if isinstance(kind, T.BinaryType):
        return F.coalesce(F.try_validate_utf8(value.cast("string")), F.lower(F.hex(value)))
    return value.cast("string")
