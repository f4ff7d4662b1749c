"""Line ends of multi-line CSV, in all combinations, and blank lines; every row is counted."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.sources.damage import FileDamageError
from pipeline.sources.file_checks import check_files
from pipeline.sources.reader_columns import FILE, LINE
from pipeline.sources.readers import count_rows, read_rows
from pipeline.sources.source import SourceDataset

ENDS = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}
ROWS = [("1", "a"), ("2", "two\nlines"), ("3", "c"), ("4", None)]


def dataset(options: dict[str, str] | None = None) -> SourceDataset:
    options = {"multiline": "true"} | (options or {})
    return SourceDataset("events", "*.csv", "csv", ("n", "v"), {}, delivery="dump", options=options)


def written(path: Path, *ends: str, blank: str = "", final: bool = True) -> None:
    """Header, a plain row, one with a quoted line break, one with quotation marks, an empty one."""
    rows = ["n,v", "1,a", f'2,"two{ends[2]}lines"', '3,"c"', "4,"]
    lines = [row + end for row, end in zip(rows, ends, strict=True)]
    text = blank.join(lines) + blank
    path.write_bytes((text if final else text.removesuffix(ends[-1])).encode())


def test_lf_and_cr_lf_may_be_mixed(spark: SparkSession, tmp_path: Path) -> None:
    """The header and each row with either, with blank lines or without, the last end missing."""
    for number, ends in enumerate(itertools.product(("\n", "\r\n"), repeat=5)):
        written(tmp_path / f"{number:02d}.csv", *ends, final=bool(number % 3))
    for name, end in ENDS.items():
        written(tmp_path / f"{name}.csv", *[end] * 5)
        written(tmp_path / f"blank_{name}.csv", *[end] * 5, blank=f"{end}  {end}\t{end}")
    read(spark, tmp_path)


def test_encodings_of_two_bytes(spark: SparkSession, tmp_path: Path) -> None:
    for number, ends in enumerate((["\r\n"] * 5, ["\r\n", *["\n"] * 4], ["\n", *["\r\n"] * 4])):
        path = tmp_path / f"{number}.csv"
        written(path, *ends)
        path.write_bytes(path.read_bytes().decode().encode("utf-16-le"))
    read(spark, tmp_path, {"encoding": "utf-16-le"})


def read(spark: SparkSession, folder: Path, options: dict[str, str] | None = None) -> None:
    """Every file has ROWS, counted as they are read, and no line that cannot be read."""
    of = dataset(options)
    files = of.pattern.files(folder)
    assert check_files(of, files) == []
    found: dict[str, list[tuple[str, str | None]]] = {}
    for row in read_rows(spark, of, folder, files).orderBy(FILE, "n").collect():
        assert row[LINE] is None, row
        found.setdefault(row[FILE], []).append((row["n"], row["v"]))
    assert found == {file.relative: ROWS for file in files}
    assert count_rows(spark, of, folder, files) == {file.relative: len(ROWS) for file in files}


@pytest.mark.parametrize("ends", [("cr", "lf"), ("crlf", "cr"), ("lf", "cr")])
def test_cr_alone_among_others_is_refused(tmp_path: Path, ends: tuple[str, str]) -> None:
    """Else the rows behind it would be one; a CR inside a value is none of this."""
    header, rows = (ENDS[end] for end in ends)
    written(tmp_path / "f.csv", header, rows, rows, rows, rows)
    (damage,) = check_files(dataset(), dataset().pattern.files(tmp_path))
    assert isinstance(damage, FileDamageError)
    assert "ends some lines in CR alone" in str(damage)
    (tmp_path / "f.csv").write_text("n,v\n1\r2,a\n", newline="")
    assert check_files(dataset(), dataset().pattern.files(tmp_path)) == []


def test_a_blank_line_before_the_header_is_refused(tmp_path: Path) -> None:
    """Spark would take it for the header, and the header for a row."""
    (tmp_path / "f.csv").write_bytes(b" \r\nn,v\r\n1,a\r\n")
    (damage,) = check_files(dataset(), dataset().pattern.files(tmp_path))
    assert "begins with a blank line" in str(damage)
