"""Parquet files as frames of strings, whatever types their writers chose.

Files of one day may differ in types and in what a column may be (one writer's integer is another's
string): files of equal schema are read together, each group as texts, and put under each other. A
time with a zone comes as text with `Z`, so that it stays the instant that it is; one without is
local time. What is nested comes as JSON, as in JSON Lines, so that `get_json_object` reads both.
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
from pipeline.sources.reader_columns import FILE, LINE, UNKNOWN_KEY
from pipeline.sources.source import SourceDataset


def read_parquet(
    spark: SparkSession, dataset: SourceDataset, files: Sequence[DeliveredFile], file: Column
) -> DataFrame:
    """The source's columns as strings, `__line`, `__unknown_key` and, as `file` says, `__file`."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for path in (one.path for one in files):
        groups[pq.read_schema(path).remove_metadata().to_string()].append(str(path))
    reader = file_reader(spark)
    frames = [_as_text(reader.parquet(*paths), dataset, file) for paths in groups.values()]
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
    return value.cast("string")
