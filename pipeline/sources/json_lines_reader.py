"""JSON Lines files as frames of strings; a line that is no row comes whole, in `__line`.

Gives up: numbers are read as Spark writes them back ("1.50" becomes "1.5").
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.contracts.spark import quoted
from pipeline.sources.dialect import UTF_8
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.file_reader import charset_of, file_reader, paths_of
from pipeline.sources.reader_columns import FILE, LINE, UNKNOWN_KEY
from pipeline.sources.source import SourceDataset

# A surrogate escape without its other half; before it an even number of backslashes, or none.
_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF_A_CHARACTER = rf"(?<!\\)(?:\\\\)*(?:{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW})"


def read_plain_json_lines(
    spark: SparkSession, dataset: SourceDataset, files: Sequence[DeliveredFile], file: Column
) -> DataFrame:
    """The rows by Spark's own reader, which is right about `plain_json` and twice as fast."""
    names = (*dataset.columns, LINE)
    frame = (
        file_reader(spark)
        .schema(T.StructType([T.StructField(name, T.StringType()) for name in names]))
        .option("mode", "PERMISSIVE")
        .option("columnNameOfCorruptRecord", LINE)
        .option("allowSingleQuotes", "false")
        .json(paths_of(files))
    )
    return frame.select(
        *(F.col(quoted(name)) for name in names),
        F.lit(None).cast("string").alias(UNKNOWN_KEY),
        file.alias(FILE),
    )


def read_json_lines(
    spark: SparkSession, dataset: SourceDataset, files: Sequence[DeliveredFile], file: Column
) -> DataFrame:
    """Each line is read as the one element of an array of structs of strings.

    The array makes Spark see what follows the object: alone, `{"a":1}{"a":2}` would be read as
    its first half and the rest dropped without a word.
    """
    lines = file_reader(spark).text(paths_of(files))
    if dataset.encoding != UTF_8:
        text = F.decode(F.col("value").cast("binary"), charset_of(spark, dataset))
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
