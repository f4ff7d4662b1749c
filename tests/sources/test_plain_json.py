"""Spark's own JSON reader is used only where it says what reading line by line says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.line_count import count_lines
from pipeline.sources.plain_json import plain_rows
from pipeline.sources.reader_columns import FILE, LINE
from pipeline.sources.readers import read_rows
from pipeline.sources.source_yaml import load_source

EVENTS = load_source("simulator").datasets["events"]
GOOD = b'{"event_id":"e1","qty":1}\n'


def file_of(directory: Path, content: bytes, name: str = "events.jsonl") -> DeliveredFile:
    path = directory / name
    path.write_bytes(content)
    return DeliveredFile(name, path, None)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", True),
        (GOOD * 3, True),
        (GOOD + GOOD.rstrip(b"\n"), True),
        (GOOD + b'{"event_id":"cut of', True),
        (GOOD + '{"query":"käse 芝士 🧀"}\n'.encode(), True),
        (GOOD.rstrip(b"\n") * 2 + b"\n", False),  # two objects on a line
        (GOOD + b'{"a":1} x\n', False),
        (GOOD + b'{"a":{"b":1}}\n', False),
        (GOOD + b'{"a":"}"}\n', False),
        (GOOD + b'[{"a":1}\n', False),
        (GOOD + b'x{"a":1}\n', False),
        (GOOD + b"\n" + GOOD, False),
        (GOOD + b'{"a":"\\ud83d"}\n', False),
        (GOOD + b'{"a":"\xff"}\n', False),
        (GOOD + b'{"a":"\xed\xa0\x80"}\n', False),  # half a character
        (GOOD + b'{"a":"\xc0\xaf"}\n', False),  # a slash in two bytes
        (GOOD + b'{"a":"\xf4\x90\x80\x80"}\n', False),  # beyond the last character
        (GOOD + b'{"a":"\xe8\x8a', False),
        (GOOD.replace(b"\n", b"\r\n"), False),
        (GOOD + b'{"a":"b\rc"}\n', False),
        (b"\xef\xbb\xbf" + GOOD, False),
        (GOOD + b"{\x00}\n", False),
    ],
)
def test_what_is_plain(tmp_path: Path, content: bytes, expected: bool) -> None:
    for before in (0, 10_000):  # in the first block or in a later one
        file = file_of(tmp_path, GOOD * before + content)
        rows = plain_rows(EVENTS, [file])
        assert rows == ({file.relative: count_lines(file)} if expected else None)


def test_one_file_that_is_not_plain_is_enough(tmp_path: Path) -> None:
    good, bad = file_of(tmp_path, GOOD, "good"), file_of(tmp_path, b"x", "bad")
    assert plain_rows(EVENTS, [good]) == {"good": 1}
    assert plain_rows(EVENTS, [good, bad]) is None


def test_a_compressed_file_is_not(tmp_path: Path) -> None:
    assert plain_rows(EVENTS, [file_of(tmp_path, GOOD, "events.jsonl.gz")]) is None


def test_another_encoding_or_format_is_not(tmp_path: Path) -> None:
    file = file_of(tmp_path, GOOD)
    latin = dataclasses.replace(EVENTS, options={"encoding": "latin-1"})
    assert plain_rows(latin, [file]) is None
    assert plain_rows(dataclasses.replace(EVENTS, format="csv"), [file]) is None


def test_both_readers_say_the_same_of_plain_lines(spark: SparkSession, tmp_path: Path) -> None:
    values = [
        "",
        " ",
        "x",
        "1.50",
        "00",
        "NaN",
        "null",
        "\t",
        "käse 🧀",
        "a\\b",
        '"',
        "/",
        "\u2028",
    ]
    lines = [json.dumps({"event_id": v, "query": v}, ensure_ascii=False) for v in values]
    lines += [
        "{}",
        '{"event_id":1,"qty":1.50,"price":1e3,"user":true,"item":null}',
        '{"event_id":-0,"qty":10000000000000000000000000,"price":0.10}',
        '{"event_id":"twice","event_id":"again","nobody":1}',
        '{"event_id":[1, "a"],"item":[]}',
        '{"event_id":NaN,"price":Infinity}',
        "{'event_id':'single'}",
        '{event_id:"bare"}',
        '{"event_id":"a",}',
        '{"event_id":"cut',
        '{"event_id":"a","qty":',
        '{"event_id":"tab\there"}',
        '{"event_id":"end}',
        '{"event_id" "a"}',
        "{",
        '{"event_id":"a"  }',
    ]
    file = file_of(tmp_path, "\n".join(lines).encode())
    assert plain_rows(EVENTS, [file]) is not None
    names = [*EVENTS.columns, LINE, FILE]
    plain, slow = (
        read_rows(spark, EVENTS, tmp_path, [file], plain=fast).select(*names).collect()
        for fast in (True, False)
    )
    assert plain == slow
    assert len(plain) == len(lines)
    assert sum(row[LINE] is not None for row in plain) == 9
