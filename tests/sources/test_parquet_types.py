"""What Parquet can hold, by a table of types, encodings and codecs: each comes as its text."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from pipeline.sources.discovery.parquet_sample import parquet_rows
from pipeline.sources.file_checks import check_files
from pipeline.sources.parquet_by_arrow import spark_reads, texts_of
from pipeline.sources.reader_columns import FILE
from pipeline.sources.readers import count_rows, read_rows
from pipeline.sources.source import SourceDataset

NOON = dt.datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=dt.UTC)
ID = UUID("12345678-1234-5678-1234-567812345678")
NANOS = int(NOON.timestamp() * 1_000_000) * 1000

# name -> array of one value, its text, whether Spark's own reader is asked
TYPES: dict[str, tuple[pa.Array, str, bool]] = {
    "text": (pa.array(["17850"]), "17850", True),
    "integer": (pa.array([17850], pa.int32()), "17850", True),
    "unsigned": (pa.array([2**64 - 1], pa.uint64()), "18446744073709551615", True),
    "double": (pa.array([17850.0]), "17850", True),
    "large double": (pa.array([178500000000.0]), "178500000000", True),
    "largest exact double": (pa.array([2.0**53]), "9007199254740992", True),
    "double that lost digits": (pa.array([2.82e18]), "2.82E18", True),
    "float that lost digits": (pa.array([2.0**24 + 2], pa.float32()), "1.6777218E7", True),
    "fraction": (pa.array([9.75]), "9.75", True),
    "float": (pa.array([17850.0], pa.float32()), "17850", True),
    "half": (pa.array(np.array([2.5], np.float16)), "2.5", False),
    "no half": (pa.array(np.array([-np.inf], np.float16)), "-Infinity", False),
    "whole half": (pa.array(np.array([2.0], np.float16)), "2", False),
    "decimal": (pa.array([Decimal("17850.00")]), "17850", True),
    "price": (pa.array([Decimal("12.50")]), "12.50", True),
    "long decimal": (pa.array([Decimal("12.50")], pa.decimal256(76, 2)), "12.50", False),
    "seconds": (pa.array([NANOS // 10**9], pa.timestamp("s")), "2026-03-01 12:00:00", True),
    "micros": (
        pa.array([NANOS // 1000], pa.timestamp("us", "UTC")),
        "2026-03-01 12:00:00.25Z",
        True,
    ),
    "nanos": (
        pa.array([NANOS + 7], pa.timestamp("ns", "Europe/Berlin")),
        "2026-03-01 12:00:00.25Z",
        False,
    ),
    "local nanos": (
        pa.array([NANOS], pa.timestamp("ns")),
        "2026-03-01 12:00:00.25",
        False,
    ),
    "whole nanos": (pa.array([NANOS // 10**9 * 10**9], pa.timestamp("ns")), "2026-03-01 12:00:00", False),
    "time": (pa.array([1], pa.time64("ns")), "00:00:00.000000001", False),
    "time of micros": (pa.array([dt.time(9, 30)]), "09:30:00", False),
    "date": (pa.array([NOON.date()]), "2026-03-01", True),
    "uuid": (pa.array([ID.bytes], pa.uuid()), str(ID), False),
    "16 bytes": (pa.array([ID.bytes], pa.binary(16)), str(ID), False),
    "3 bytes": (pa.array([b"a\xff\x00"], pa.binary(3)), "61ff00", False),
    "bytes of text": (pa.array(["Käse".encode()], pa.binary()), "Käse", True),
    "other bytes": (pa.array([b"\xff\xfe"], pa.binary()), "fffe", True),
    "words": (pa.array(["view"]).dictionary_encode(), "view", True),
    "switch": (pa.array([True]), "true", True),
    "nested nanos": (
        pa.array([{"at": NANOS, "n": None}], pa.struct([("at", pa.timestamp("ns")), ("n", "int8")])),
        '{"at":"2026-03-01T12:00:00.250"}',
        False,
    ),
    "map of structs": (
        pa.array(
            [[("utm", {"at": NANOS, "f": [float("nan"), -float("inf"), 1.5], "n": None}), ("x", None)]],
            pa.map_("string", pa.struct([("at", pa.timestamp("ns", "Europe/Berlin")), ("f", pa.list_(pa.float64())), ("n", "int8")])),
        ),
        '{"utm":{"at":"2026-03-01T12:00:00.250Z","f":["NaN","-Infinity",1.5]},"x":null}',
        False,
    ),
}  # fmt: skip
# name -> how a file of texts is written
WRITTEN: dict[str, dict[str, Any]] = {
    "lz4": {"compression": "lz4"},
    "brotli": {"compression": "brotli"},
    "gzip": {"compression": "gzip"},
    "delta": {"use_dictionary": False, "column_encoding": {"v": "DELTA_BYTE_ARRAY"}},
    "int96": {"use_deprecated_int96_timestamps": True},
}


def test_every_type_comes_as_its_text(spark: SparkSession, tmp_path: Path) -> None:
    """And a null of it as none; one query over all, so that files of one day may differ."""
    for name, (values, _, by_spark) in TYPES.items():
        both = pa.concat_arrays([values, pa.nulls(1, values.type)])
        table = pa.table({"n": ["1", "2"], "v": both})
        pq.write_table(table, tmp_path / f"{name}.parquet")
        assert spark_reads(tmp_path / f"{name}.parquet") is by_spark, name
    of = SourceDataset("events", "*.parquet", "parquet", ("n", "v"), {}, delivery="dump")
    files = of.pattern.files(tmp_path)
    assert check_files(of, files) == []
    rows = read_rows(spark, of, tmp_path, files).collect()
    texts = {row[FILE].removesuffix(".parquet"): row["v"] for row in rows if row["n"] == "1"}
    assert texts == {name: text for name, (_, text, _) in TYPES.items()}
    assert [row["v"] for row in rows if row["n"] == "2"] == [None] * len(TYPES)
    assert set(count_rows(spark, of, tmp_path, files).values()) == {2}


def test_times_that_no_calendar_has_end_nothing(tmp_path: Path) -> None:
    """Inside other values and beside them; `source new` reads them, too."""
    micros = pa.array([253402300800 * 10**6, -62135596801 * 10**6, None, 0], pa.int64())
    times = micros.cast(pa.timestamp("us"))
    days = pa.array([2932897, -719163, None, 0], pa.int32()).cast(pa.date32())
    zoned = micros.cast(pa.timestamp("us", "Europe/Berlin"))
    nested = pa.StructArray.from_arrays([times, days, zoned], ["at", "on", "zoned"])
    offsets = pa.array([0, 2, 2, 3, 4], pa.int32())
    both = [nested, pa.ListArray.from_arrays(offsets, times)]
    first = [json.loads(texts_of(one)[0].as_py()) for one in both]
    assert first[0]["at"].startswith("10000-01-01")
    assert first[0]["on"] == "10000-01-01"
    assert [text.split()[0] for text in first[1]] == ["10000-01-01", "0000-12-31"]
    assert texts_of(nested)[2].as_py() == "{}"
    assert '"at":"1970-01-01T00:00:00.000"' in texts_of(nested)[3].as_py()
    table = pa.table({"ts": times, "on": days, "zoned": zoned, "n": nested})
    pq.write_table(table, tmp_path / "e.parquet")
    _, rows, is_whole = parquet_rows(tmp_path / "e.parquet", 10)
    assert is_whole
    assert (rows[1]["on"], rows[3]["on"]) == ("0000-12-31", "1970-01-01")


def test_codecs_and_encodings(spark: SparkSession, tmp_path: Path) -> None:
    """Beside a file of split bytes, whose column is a number, and one without a row."""
    table = pa.table({"n": ["1"], "v": ["view"]})
    for name, how in WRITTEN.items():
        pq.write_table(table, tmp_path / f"{name}.parquet", **how)
    split = pa.table({"n": ["1"], "v": [7.5]})
    encoding = {"v": "BYTE_STREAM_SPLIT"}
    pq.write_table(
        split, tmp_path / "split.parquet", use_dictionary=False, column_encoding=encoding
    )
    pq.write_table(
        pa.table({"n": ["1"], "v": pa.array([1], pa.time64("ns"))}).slice(0, 0),
        tmp_path / "empty.parquet",
    )
    of = SourceDataset("events", "*.parquet", "parquet", ("n", "v"), {}, delivery="dump")
    files = of.pattern.files(tmp_path)
    by_spark = {file.path.stem for file in files if spark_reads(file.path)}
    assert by_spark == {"gzip", "int96"}
    found = {row[FILE]: row["v"] for row in read_rows(spark, of, tmp_path, files).collect()}
    expected = {f"{name}.parquet": "view" for name in WRITTEN} | {"split.parquet": "7.5"}
    assert found == expected


def test_int96_is_an_instant_by_either_reader(spark: SparkSession, tmp_path: Path) -> None:
    """Arrow's nanoseconds would end in 2262, and it says nothing of the zone."""
    late = dt.datetime(2500, 1, 1)  # noqa: DTZ001
    table = pa.table({"n": ["1"], "v": pa.array([late], pa.timestamp("us"))})
    path = tmp_path / "spark.parquet"
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)
    hours = table.set_column(0, "n", pa.array([1], pa.time64("ns")))
    pq.write_table(hours, tmp_path / "arrow.parquet", use_deprecated_int96_timestamps=True)
    of = SourceDataset("events", "*.parquet", "parquet", ("n", "v"), {}, delivery="dump")
    rows = read_rows(spark, of, tmp_path, of.pattern.files(tmp_path)).collect()
    assert {row["v"][:19] + row["v"][-1] for row in rows} == {"2500-01-01 00:00:00Z"}
