"""The keys of a JSON Lines file are the source's, wherever in the file they stand."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.json_keys import check_keys
from pipeline.sources.source import SourceDataset

FILE = DeliveredFile(Path("raw/events.jsonl"), "events.jsonl", None)


def _check(head: str, rest: str = "", may_be_absent: tuple[str, ...] = ()) -> None:
    dataset = SourceDataset(
        "events", "events.jsonl", "jsonl", ("user", "query"), {}, may_be_absent=may_be_absent
    )
    check_keys(dataset, FILE, head, io.StringIO(head + rest))


def test_a_key_that_only_a_later_line_has_is_not_missed() -> None:
    """Looked for through the whole file, across the borders of what is read at once."""
    head = json.dumps({"user": "u1"}) + "\n"
    for filling in range(1024 * 1024 - 40, 1024 * 1024 + 4):
        _check(head, "x" * filling + '{"query":"lamp"}\n')
    with pytest.raises(InputError, match="key query is missing from every line"):
        _check(head, "x" * 3_000_000)
    _check(head, may_be_absent=("query",))


def test_what_is_no_object_says_nothing_of_keys() -> None:
    """A cut-off line, a number, a list; a file without one object is the reader's to refuse."""
    _check('{"user":"u1","query":"a"}\n{"user":"u2","colo')
    _check('1\n["colour"]\n{"us')
    with pytest.raises(InputError, match="case and blanks count: 'User ' is not 'user'"):
        _check('{"User ":"u1","query":"a"}\n')
    with pytest.raises(InputError, match="key 'colour' is not expected"):
        _check('{"user":"u1","query":"a"}\n{"user":"u2","query":null,"colour":1}\n{"us')
