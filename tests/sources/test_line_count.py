"""Lines counted by Python are those that Spark's reader of texts gives, less the blank ones."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.sources.damage import FileDamageError
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.line_count import count_lines

MARK = b"\xef\xbb\xbf"
PIECES = [b"\n", b"\r", b"\r\n", b" ", b"\t", b"\x00", b"\x0b", b"\x0c", b"\x1c", b"\x85", b"a"]
PIECES += [MARK, b"\xc2\x85", "\u2028".encode(), b"#", b"{}", b"\xff", b"x" * 8191]


def _write(folder: Path) -> None:
    """Line ends, blanks and what only looks like either, in any order; every fifth compressed."""
    chance = random.Random(11)
    for number in range(400):
        pieces = chance.choices(PIECES, weights=[4] * (len(PIECES) - 1) + [1], k=number % 40)
        data = (MARK if number % 3 == 0 else b"") + b"".join(pieces)
        if number % 5:
            (folder / f"{number:03}.txt").write_bytes(data)
        else:
            (folder / f"{number:03}.txt.gz").write_bytes(gzip.compress(data))


def test_lines_are_those_that_spark_reads(spark: SparkSession, tmp_path: Path) -> None:
    """400 files of hostile bytes, counted with comments and without."""
    _write(tmp_path)
    lines = spark.read.text(str(tmp_path)).where(F.col("value").rlike(r"[^\x00-\x20]"))
    name = F.col("_metadata.file_name").alias("name")
    no_comment = F.count_if(~F.col("value").startswith("#")).alias("no_comment")
    rows = lines.groupBy(name).agg(F.count("*").alias("n"), no_comment).collect()
    found = {row["name"]: (row["n"], row["no_comment"]) for row in rows}
    counted = {
        path.name: (count_lines(file), count_lines(file, "#"))
        for path in sorted(tmp_path.iterdir())
        for file in [DeliveredFile(path.name, path, None)]
    }
    assert {name: n for name, n in counted.items() if n[0]} == found
    assert any(n > m for n, m in counted.values())


def test_a_file_that_breaks_off_is_named(tmp_path: Path) -> None:
    """It was whole when it was checked; then somebody wrote to it."""
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(random.Random(1).randbytes(50_000))[:30_000])
    with pytest.raises(FileDamageError, match=r"a\.txt\.gz cannot be read"):
        count_lines(DeliveredFile(path.name, path, None))
