"""Strings that break systems, through every format: what is read is what was written."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.sources.file_checks import check_files
from pipeline.sources.reader_columns import FILE, LINE
from pipeline.sources.readers import count_rows, read_rows
from pipeline.sources.source import SourceDataset

# What the list of naughty strings lacks: controls, quotes at the edges, line ends, long ones.
OWN = (
    *("a\x00b", "\x00", "\x00lead", "#no comment", " lead", "trail ", "\t", "\x1b[31m", "\x7f"),
    *(
        "\ufeffmark",
        '"',
        '""',
        '"a',
        'a"',
        "\\",
        "a\\",
        '\\"',
        "a,b",
        "a||b",
        "'",
        "\u2028",
        "\x85",
    ),
    *("NULL", "NaN", "\U0001f600", "\\ud83d", "\\\\ud83d", "x" * 200_000),
)
LINE_ENDS = ("a\nb", "a\rb", "\n", "\r", '"\n"')

Writer = Callable[[Path, list[str]], None]


def _csv(encoding: str = "utf-8", **dialect: object) -> Writer:
    def write(path: Path, strings: list[str]) -> None:
        with path.open("w", newline="", encoding=encoding) as file:
            lines = csv.writer(file, **{"lineterminator": "\n"} | dialect)  # type: ignore[call-overload]
            lines.writerows([("n", "v"), *enumerate(strings)])

    return write


def _json(*, ascii_only: bool) -> Writer:
    def write(path: Path, strings: list[str]) -> None:
        rows = ({"n": n, "v": text} for n, text in enumerate(strings))
        lines = (json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
        path.write_text("".join(lines), encoding="utf-8", newline="")

    return write


def _parquet(path: Path, strings: list[str]) -> None:
    pq.write_table(pa.table({"n": [str(n) for n in range(len(strings))], "v": strings}), path)


# name -> format, options, writer, whether a string may hold line ends
ROUNDS: dict[str, tuple[str, dict[str, str], Writer, bool]] = {
    "csv": ("csv", {}, _csv(), False),
    "csv, all quoted": ("csv", {}, _csv(quoting=csv.QUOTE_ALL), False),
    "csv, multi-line": ("csv", {"multiline": "true"}, _csv(quoting=csv.QUOTE_ALL), True),
    "csv, backslashes": (
        "csv",
        {"escape": "\\"},
        _csv(quoting=csv.QUOTE_ALL, doublequote=False, escapechar="\\"),
        False,
    ),
    "csv, tabs": ("csv", {"delimiter": "\t", "comment": "\x02"}, _csv(delimiter="\t"), False),
    "csv, utf-16": ("csv", {"encoding": "utf-16"}, _csv("utf-16", quoting=csv.QUOTE_ALL), True),
    "json lines": ("jsonl", {}, _json(ascii_only=False), True),
    "json lines, escaped": ("jsonl", {}, _json(ascii_only=True), True),
    "parquet": ("parquet", {}, _parquet, True),
}


@pytest.fixture(scope="module")
def strings(shared_data: Path) -> list[str]:
    """The list of naughty strings, and ours."""
    found = json.loads((shared_data / "hostile_strings/blns.json").read_text("utf-8"))
    assert len(found) > 500
    return [*dict.fromkeys([*found, *OWN])]


def test_every_string_is_read_as_it_was_written(
    spark: SparkSession, tmp_path: Path, strings: list[str]
) -> None:
    """As a value of CSV in six dialects, of JSON Lines and of Parquet; each is a row, and counted.

    In CSV an empty field in quotation marks says what an empty field says: nothing.
    """
    for number, (name, (kind, options, write, line_ends)) in enumerate(ROUNDS.items()):
        given = [text for text in strings if line_ends or not set(text) & {"\n", "\r"}]
        given += LINE_ENDS if line_ends else ()
        write(tmp_path / f"{number}.{kind}", given)
        dataset = _dataset(f"{number}.{kind}", kind, ("n", "v"), options)
        files = dataset.pattern.files(tmp_path)
        assert check_files(dataset, files) == [], name
        rows = {row["n"]: row for row in read_rows(spark, dataset, tmp_path, files).collect()}
        assert count_rows(spark, dataset, tmp_path, files) == {files[0].relative: len(given)}, name
        read = [rows[str(n)]["v"] for n in range(len(given))]
        wanted = [text or None for text in given] if kind == "csv" else given
        assert read == wanted, name
        assert not any(row[LINE] for row in rows.values()), name


def test_awkward_csv_files_are_read_as_their_json_says(
    spark: SparkSession, tmp_path: Path, shared_data: Path
) -> None:
    """All twelve files of csv-spectrum, each through a source of its own.

    Of two of them the JSON says something else than the file: it has a carriage return that the
    file lacks, and another telephone number.
    """
    folder = shared_data / "csv_spectrum"
    files = sorted(folder.glob("*.csv"))
    assert len(files) == 12
    for path in files:
        text = (folder / "json" / f"{path.stem}.json").read_text("utf-8")
        document = json.loads(text.replace("\\r\\n", "\\n").replace("1234567890", "2095257564"))
        objects = document if isinstance(document, list) else [document]
        columns = tuple(objects[0])
        dataset = _dataset(path.name, "csv", columns, {"multiline": "true"})
        found = dataset.pattern.files(folder)
        assert check_files(dataset, found) == []
        rows = read_rows(spark, dataset, folder, found).collect()
        read = [{name: row[name] or "" for name in columns} for row in rows]
        assert read == objects, path.name


def test_half_a_character_is_no_text(spark: SparkSession, tmp_path: Path) -> None:
    """JSON can escape half of one; Java would write a question mark for it, whichever it is."""
    lines = {
        r'{"v": "\ud800"}': None,
        r'{"v": "a\uDC00b"}': None,
        r'{"v": "\udc00\ud800"}': None,
        r'{"v": "\\\ud83d"}': None,
        r'{"v": "\ud83d\ude00"}': "\U0001f600",
        r'{"v": "\\ud83d"}': r"\ud83d",
        r'{"v": "\u00e9"}': "é",
    }
    (tmp_path / "f.jsonl").write_text("".join(f"{line}\n" for line in lines))
    dataset = _dataset("f.jsonl", "jsonl", ("v",), {})
    rows = read_rows(spark, dataset, tmp_path, dataset.pattern.files(tmp_path)).collect()
    assert [row["v"] for row in rows] == [*lines.values()]
    assert [row[LINE] for row in rows] == [
        line if value is None else None for line, value in lines.items()
    ]


def test_a_file_may_have_any_name(spark: SparkSession, tmp_path: Path) -> None:
    """Names that are patterns elsewhere; each row comes from its own file, once."""
    names = ["a[1].csv", "a{1,2}.csv", "a*.csv", "a b%20+c.csv", "a#é.csv", "a\\b.csv", "a?.csv"]
    for name in names:
        (tmp_path / name).write_text(f"v\n{name}\n")
    dataset = _dataset("*.csv", "csv", ("v",), {"quote": "", "delimiter": ";"})
    files = dataset.pattern.files(tmp_path)
    rows = read_rows(spark, dataset, tmp_path, files).collect()
    assert sorted(row["v"] for row in rows) == sorted(names)
    assert all(row["v"] == row[FILE] for row in rows)
    assert count_rows(spark, dataset, tmp_path, files) == dict.fromkeys(names, 1)
    (tmp_path / "10:30.csv").write_text("v\nx\n")
    (damage,) = check_files(dataset, dataset.pattern.files(tmp_path))
    assert "colon" in str(damage)


def _dataset(
    files: str, kind: str, columns: Iterable[str], options: dict[str, str]
) -> SourceDataset:
    return SourceDataset(
        "events", files, kind, tuple(columns), {}, delivery="dump", options=options
    )
