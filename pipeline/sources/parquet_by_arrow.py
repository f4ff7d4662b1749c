"""Parquet files that Spark's reader lacks a type, an encoding or a codec for, read by Arrow.

Spark refuses a whole file for one column of nanoseconds, of half precision, of a decimal of more
than 38 digits or of a time of day, mapped or not, and makes nulls of fixed bytes. `spark_reads`
names what it is right about; every other file goes through Arrow in Python's workers, a row group a
task, and comes out as the same texts: whole numbers without a fraction, instants in UTC with `Z`,
local times without, what is nested as JSON. Bytes of a fixed length are written as a UUID if they
are sixteen, else as hexadecimal digits; bytes of any length are text where they are UTF-8.

Gives up: nanoseconds below a microsecond, and in nested values below a millisecond, as Spark does.
What Arrow cannot read either (an encrypted file, LZO) is refused by name when the files are checked
(`sources.damage`).
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.contracts.spark import quoted
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.reader_columns import FILE, LINE, UNKNOWN_KEY
from pipeline.sources.source import SourceDataset

# Arrow's stubs ask for the type of each array, which nobody knows before it is read.
Values = Any
pc: Any = pyarrow.compute

_ROWS_AT_ONCE = 64 * 1024
_MOST_DIGITS = 38  # of a decimal of Spark
_UUID_BYTES = 16
_EXACT = {64: 2.0**53, 32: 2.0**24, 16: 2.0**11}  # bits -> each whole number up to here is exact
_CODECS = {"UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD"}
_ENCODINGS = {"PLAIN", "PLAIN_DICTIONARY", "RLE", "RLE_DICTIONARY", "BIT_PACKED"}
# Physical type -> logical types, in Arrow's words.
_TYPES = {
    "BOOLEAN": {"NONE"},
    "INT32": {"NONE", "INT", "DATE", "DECIMAL"},
    "INT64": {"NONE", "INT", "DECIMAL", "TIMESTAMP"},
    "INT96": {"NONE"},
    "FLOAT": {"NONE"},
    "DOUBLE": {"NONE"},
    "BYTE_ARRAY": {"NONE", "STRING", "ENUM", "JSON", "DECIMAL"},
    "FIXED_LEN_BYTE_ARRAY": {"DECIMAL"},
}


def spark_reads(path: Path) -> bool:
    """Whether Spark's own reader knows every type, encoding and codec of a file."""
    with pq.ParquetFile(path) as file:
        schema, footer = file.schema, file.metadata
    leaves = (schema.column(n) for n in range(len(schema)))
    chunks = (
        footer.row_group(group).column(n)
        for group in range(footer.num_row_groups)
        for n in range(footer.num_columns)
    )
    return all(map(_knows_type, leaves)) and all(
        chunk.compression in _CODECS and _ENCODINGS.issuperset(chunk.encodings) for chunk in chunks
    )


def _knows_type(column: Any) -> bool:
    logical = json.loads(column.logical_type.to_json())
    kind = str(logical["Type"]).upper()
    if kind not in _TYPES.get(column.physical_type, ()):
        return False
    if kind == "DECIMAL":
        return bool(column.precision <= _MOST_DIGITS)
    return not (kind == "TIMESTAMP" and logical["timeUnit"] == "nanoseconds")


def read_by_arrow(
    spark: SparkSession, dataset: SourceDataset, files: Sequence[DeliveredFile]
) -> DataFrame:
    """The source's columns as strings, `__line`, `__unknown_key` and `__file`."""
    groups = [
        (str(file.path), file.relative, group)
        for file in files
        for group in range(pq.read_metadata(file.path).num_row_groups)
    ]
    listed = spark.createDataFrame(groups, "path string, file string, row_group int")
    names = (*dataset.columns, FILE)
    schema = T.StructType([T.StructField(name, T.StringType()) for name in names])
    rows = listed.repartition(max(1, len(groups))).mapInArrow(_reader(dataset.columns), schema)
    return rows.select(
        *(F.col(quoted(name)) for name in dataset.columns),
        F.lit(None).cast("string").alias(LINE),
        F.lit(None).cast("string").alias(UNKNOWN_KEY),
        FILE,
    )


def _reader(
    columns: Sequence[str],
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    """What a worker does with the row groups that it is given."""

    def read(listed: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in listed:
            for one in batch.to_pylist():
                yield from _row_group(one["path"], one["row_group"], one["file"], columns)

    return read


def _row_group(
    path: str, group: int, name: str, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path, coerce_int96_timestamp_unit="us") as file:
        leaves = [file.schema.column(n) for n in range(len(file.schema))]
        instants = {leaf.path for leaf in leaves if leaf.physical_type == "INT96"}
        for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[group]):
            texts = [_text(batch.column(column), column in instants) for column in columns]
            names = pa.repeat(name, batch.num_rows)
            yield pa.RecordBatch.from_arrays([*texts, names], names=[*columns, FILE])


def _text(values: Values, is_instant: bool) -> Values:
    """A column as strings; a time without a zone is an instant where its file says so (INT96)."""
    text = texts_of(values)
    if is_instant:
        return pc.binary_join_element_wise(text, pa.scalar("Z"), "")
    return text


def texts_of(values: Values) -> Values:  # noqa: PLR0911
    """An array of any type as strings; see the module's docstring."""
    kind = values.type
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            return _each(values.storage, lambda value: str(UUID(bytes=value)))
        return texts_of(values.storage)
    if pa.types.is_dictionary(kind):
        return texts_of(values.dictionary_decode())
    if pa.types.is_floating(kind):
        return _numbers(values.cast(pa.float64()), values)
    if pa.types.is_decimal(kind):
        return pc.replace_substring_regex(values.cast(pa.string()), r"\.0+$", "")
    if pa.types.is_timestamp(kind):
        return _times(values)
    if pa.types.is_duration(kind):
        return values.cast(pa.int64()).cast(pa.string())
    if pa.types.is_fixed_size_binary(kind):
        is_uuid = kind.byte_width == _UUID_BYTES
        return _each(values, lambda value: str(UUID(bytes=value)) if is_uuid else value.hex())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return _each(values, _text_or_digits)
    if pa.types.is_nested(kind):
        return _each(values, lambda value: json.dumps(_plain(value, kind), **_AS_SPARK))
    if pa.types.is_time(kind):
        return _short_fraction(values.cast(pa.string()))
    try:
        return values.cast(pa.string())
    except pa.ArrowNotImplementedError:
        return _each(values, str)


def _numbers(values: Values, as_given: Values) -> Values:
    """Numbers, a whole one without a fraction: "17850" and not "17850.0" or "1.785e4"."""
    exact = _EXACT[as_given.type.bit_width]
    is_whole = pc.and_(pc.equal(pc.floor(values), values), pc.less_equal(pc.abs(values), exact))
    whole = pc.if_else(is_whole, values, None).cast(pa.int64()).cast(pa.string())
    half = pa.types.is_float16(as_given.type)
    others = (as_given.cast(pa.float32()) if half else as_given).cast(pa.string())
    for arrows, sparks in (("nan", "NaN"), ("inf", "Infinity")):
        others = pc.replace_substring(others, arrows, sparks)
    return pc.coalesce(whole, others)


def _times(values: Values) -> Values:
    has_zone = values.type.tz is not None
    local = values.view(pa.timestamp(values.type.unit))
    if values.type.unit == "ns":
        local = local.cast(pa.timestamp("us"), safe=False)
    text = _short_fraction(local.cast(pa.string()))
    return pc.binary_join_element_wise(text, pa.scalar("Z"), "") if has_zone else text


def _short_fraction(times: Values) -> Values:
    """Without zeros at the end, as Spark writes a fraction of a second."""
    without = pc.replace_substring_regex(times, r"\.0+$", "")
    return pc.replace_substring_regex(without, r"(\.\d*[1-9])0+$", r"\1")


def _each(values: Values, text: Callable[[Any], str]) -> Values:
    made = [None if value is None else text(value) for value in python_values(values)]
    return pa.array(made, pa.string())


def python_values(values: Values) -> list[Any]:
    """An array's values; times that Python's calendar lacks (the year 0, 10000) as Arrow's text."""
    try:
        return list(values.to_pylist())
    except (OverflowError, ValueError):  # pandas' own error for nanoseconds is a ValueError
        return [_python_value(one) for one in values]


def _python_value(one: Any) -> Any:
    if not one.is_valid:
        return None
    kind = one.type
    if pa.types.is_struct(kind):
        return {field.name: _python_value(one[field.name]) for field in kind}
    if pa.types.is_map(kind):
        pairs = (list(pair.values()) for pair in one.values)
        return [(_python_value(key), _python_value(value)) for key, value in pairs]
    if pa.types.is_nested(kind):
        return [_python_value(element) for element in one.values]
    try:
        return one.as_py()
    except (OverflowError, ValueError):
        return one.cast(pa.string()).as_py()


def _text_or_digits(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()


def _plain(value: Any, kind: Any) -> Any:
    """A nested value as JSON has it. As Spark, leaves out nulls of a struct, not those of a map."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        return {_key(key): _plain(one, kind.item_type) for key, one in value}
    if pa.types.is_struct(kind):
        of = {field.name: field.type for field in kind}
        return {key: _plain(one, of[key]) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_plain(one, kind.value_type) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    return value


def _key(key: Any) -> str:
    return (
        str(key).lower()
        if isinstance(key, bool)
        else key
        if isinstance(key, str)
        else _as_text(key)
    )


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return _text_or_digits(value)
    if isinstance(value, dt.datetime):
        # As Spark: milliseconds, and an instant in UTC.
        if value.tzinfo is None:
            return value.isoformat(timespec="milliseconds")
        utc = value.astimezone(dt.UTC).replace(tzinfo=None)
        return utc.isoformat(timespec="milliseconds") + "Z"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


_AS_SPARK: dict[str, Any] = {
    "ensure_ascii": False,
    "separators": (",", ":"),
    "default": _as_text,
}
