"""Every dialect of CSV, every compression and Parquet's types give the same strings."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.sources.dialect import options_of
from pipeline.sources.file_checks import check_files
from pipeline.sources.instants import instant_sql
from pipeline.sources.reader_columns import LINE
from pipeline.sources.readers import count_rows, read_rows
from pipeline.sources.source import SourceDataset

ROWS = [("1", "Käse, groß"), ("2", 'said "no"'), ("3", None)]

# name -> options, text, encoding
DIALECTS: dict[str, tuple[Mapping[str, Any], str, str]] = {
    "plain": ({}, 'n,v\n1,"Käse, groß"\n2,"said ""no"""\n3,\n', "utf-8"),
    "a byte order mark, CR LF": ({}, 'n,v\r\n1,"Käse, groß"\r\n2,said "no"\r\n3,', "utf-8-sig"),
    "Windows, semicolons": (
        {"encoding": "windows-1252", "delimiter": ";"},
        'n;v\r\n1;Käse, groß\r\n2;said "no"\r\n3;\r\n',
        "cp1252",
    ),
    "Latin-1, two characters between": (
        {"encoding": "latin-1", "delimiter": "||"},
        'n||v\n1||Käse, groß\n2||"said ""no"""\n3||\n',
        "latin-1",
    ),
    "UTF-16 with its mark": (
        {"encoding": "UTF-16", "delimiter": "\\t"},
        'n\tv\r\n1\tKäse, groß\r\n2\t"said ""no"""\r\n3\t\r\n',
        "utf-16",
    ),
    "UTF-16 without": (
        {"encoding": "utf-16le"},
        'n,v\n1,"Käse, groß"\n2,"said ""no"""\n3,\n',
        "utf-16-le",
    ),
    "backslashes, single quotes": (
        {"quote": "'", "escape": "\\"},
        "n,v\n1,'Käse, groß'\n2,'said \"no\"'\n3,''\n",
        "utf-8",
    ),
    "no quotes, no header, comments": (
        {"quote": "", "delimiter": "|", "header": False, "comment": "#"},
        '# made by a till\n1|Käse, groß\n\n#2|old\n2|said "no"\n3|\n',
        "utf-8",
    ),
    "a comment before the header": (
        {"comment": "#"},
        '# made by a till\n\nn,v\n1,"Käse, groß"\n2,"said ""no"""\n3,\n',
        "utf-8",
    ),
    "multi-line": (
        {"multiline": True, "encoding": "gb18030"},
        'n,v\n1,"Käse, groß"\n2,"said ""no"""\n3,\n',
        "gb18030",
    ),
}


def _dataset(name: str, kind: str = "csv", **more: Any) -> SourceDataset:
    columns = more.pop("columns", ("n", "v"))
    return SourceDataset("events", name, kind, columns, {}, delivery="dump", **more)


def _read(
    spark: SparkSession, dataset: SourceDataset, folder: Path
) -> list[tuple[str | None, ...]]:
    files = dataset.pattern.files(folder)
    assert check_files(dataset, files) == []
    rows = read_rows(spark, dataset, folder, files).collect()
    assert [row for row in rows if row[LINE]] == []
    assert sum(count_rows(spark, dataset, folder, files).values()) == len(rows)
    return sorted(tuple(row[name] for name in dataset.columns) for row in rows)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_of_csv_says_the_same(spark: SparkSession, tmp_path: Path, name: str) -> None:
    """Rows, counted rows, and no line that could not be read."""
    given, text, encoding = DIALECTS[name]
    (tmp_path / "f.csv").write_bytes(text.encode(encoding))
    dataset = _dataset("f.csv", options=options_of(given, "csv", "here"))
    assert _read(spark, dataset, tmp_path) == ROWS


def test_compressed_or_not_in_one_file_or_many(spark: SparkSession, tmp_path: Path) -> None:
    """Gz (in one member or two), zst and bz2 beside plain files; an empty one holds nothing."""
    texts = [f"{n},value {n}\n" for n in range(200)]
    (tmp_path / "many").mkdir()
    for n, text in enumerate(texts):
        data, name = text.encode(), f"many/{n:03d}.csv"
        codecs = (
            (name, data),
            (f"{name}.gz", gzip.compress(data[:3]) + gzip.compress(data[3:])),
            (f"{name}.zst", bytes(pa.Codec("zstd").compress(data))),
            (f"{name}.bz2", bz2.compress(data)),
        )
        path, content = codecs[n % 4]
        (tmp_path / path).write_bytes(content)
    (tmp_path / "many/empty.csv").write_bytes(b"")
    (tmp_path / "many/empty.csv.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "one.csv.zst").write_bytes(
        bytes(pa.Codec("zstd").compress("".join(texts).encode()))
    )
    options = {"header": "false"}
    many = _read(spark, _dataset("many/*.csv", options=options), tmp_path)
    assert many == _read(spark, _dataset("one.csv", options=options), tmp_path)
    assert len(many) == len(texts)


def test_words_for_no_value(spark: SparkSession, tmp_path: Path) -> None:
    """Exactly as written, in any format; what only looks like one stays."""
    words = ["NULL", "\\N", "n/a", "null", " NULL", "", "N"]
    (tmp_path / "f.csv").write_text("n,v\n" + "".join(f"{n},{w}\n" for n, w in enumerate(words)))
    lines = (json.dumps({"n": n, "v": word}) + "\n" for n, word in enumerate(words))
    (tmp_path / "f.jsonl").write_text("".join(lines))
    for kind in ("csv", "jsonl"):
        dataset = _dataset(f"f.{kind}", kind, null_words=("NULL", "\\N", "n/a"))
        read = [value for _, value in _read(spark, dataset, tmp_path)]
        assert read == [None, None, None, "null", " NULL", None if kind == "csv" else "", "N"]


def test_json_lines_in_windows_1252(spark: SparkSession, tmp_path: Path) -> None:
    """Decoded before it is parsed; nested values stay JSON."""
    line = '{"n": 1, "v": {"näme": "Käse €", "tags": ["ß"]}}\n'
    (tmp_path / "f.jsonl").write_bytes(line.encode("cp1252"))
    dataset = _dataset("f.jsonl", "jsonl", options={"encoding": "cp1252"})
    ((_, value),) = _read(spark, dataset, tmp_path)
    assert value is not None
    assert json.loads(value) == {"näme": "Käse €", "tags": ["ß"]}


def test_parquet_files_of_one_day_may_differ(spark: SparkSession, tmp_path: Path) -> None:
    """A number here and a text there; an instant stays one, whatever zone the source is in."""
    noon = dt.datetime(2026, 3, 1, 12, 0, 0, 250_000)  # noqa: DTZ001 - local time of the shop
    berlin = pa.timestamp("us", "Europe/Berlin")
    aware = pa.array([noon.replace(tzinfo=dt.UTC)], berlin)
    nested = pa.array([{"sku": "i1", "tags": ["a", "b"]}])
    pq.write_table(pa.table({"n": [1], "at": aware, "v": nested}), tmp_path / "a.parquet")
    naive = pa.array([noon], pa.timestamp("us"))
    pq.write_table(
        pa.table({"v": ["plain"], "at": naive, "n": pa.array(["x"])}), tmp_path / "b.parquet"
    )
    dataset = _dataset("*.parquet", "parquet", columns=("n", "at", "v"))
    (one, other) = _read(spark, dataset, tmp_path)
    assert (one[0], other[0], other[2]) == ("1", "x", "plain")
    assert json.loads(one[2] or "") == {"sku": "i1", "tags": ["a", "b"]}
    instants = spark.createDataFrame([one[1:2], other[1:2]], "at string").select(
        F.expr(instant_sql("at", ("iso",), "Europe/Berlin")).cast("string").alias("at")
    )
    assert [row["at"] for row in instants.collect()] == [
        "2026-03-01 12:00:00.25",
        "2026-03-01 11:00:00.25",
    ]
