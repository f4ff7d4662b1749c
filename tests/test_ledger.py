"""The ledger balances or the stage fails."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import GateError
from pipeline.lake import Lake, Run
from pipeline.ledger import LedgerLine, ledger_file, read_ledger, stage_lines, write_ledger

NIGHT = dt.date(2026, 3, 1)
LINE = LedgerLine(NIGHT, "a", "clean", "events", 10, 6, {"user_id_missing": 3}, {"duplicate": 1})

counts = st.dictionaries(st.text(min_size=1, max_size=5), st.integers(0, 10**12), max_size=4)


@given(rows_out=st.integers(0, 10**12), quarantined=counts, removed=counts)
def test_a_line_balances_exactly_when_nothing_is_missing(
    rows_out: int, quarantined: dict[str, int], removed: dict[str, int]
) -> None:
    rows_in = rows_out + sum(quarantined.values()) + sum(removed.values())
    line = LedgerLine(NIGHT, "a", "clean", "events", rows_in, rows_out, quarantined, removed)
    assert line.check() is line
    with pytest.raises(GateError, match="1 unaccounted for"):
        dataclasses.replace(line, rows_in=rows_in + 1).check()
    with pytest.raises(GateError, match="-1 unaccounted for"):
        dataclasses.replace(line, rows_out=rows_out + 1).check()


def test_lines_come_back_as_written(lake: Lake) -> None:
    run = Run(NIGHT, "a")
    other = dataclasses.replace(LINE, run_date=NIGHT - dt.timedelta(days=1), dataset="reviews")
    write_ledger(lake, run, "clean", [LINE, other])
    write_ledger(lake, run, "publish", [dataclasses.replace(LINE, stage="publish")])
    assert read_ledger(lake, run) == [LINE, other, dataclasses.replace(LINE, stage="publish")]


def test_a_retry_replaces_its_stage_lines(lake: Lake) -> None:
    run = Run(NIGHT, "a")
    write_ledger(lake, run, "clean", [LINE, LINE])
    write_ledger(lake, run, "clean", [LINE])
    assert read_ledger(lake, run) == [LINE]


def test_a_stage_is_given_its_own_lines_only(lake: Lake) -> None:
    run = Run(NIGHT, "a")
    assert stage_lines(lake, run, "clean") == []
    write_ledger(lake, run, "clean", [LINE])
    write_ledger(lake, run, "publish", [dataclasses.replace(LINE, stage="publish")])
    assert stage_lines(lake, run, "clean") == [LINE]


def test_an_unbalanced_line_is_not_written(lake: Lake) -> None:
    run = Run(NIGHT, "a")
    with pytest.raises(GateError, match="clean events 2026-03-01 does not balance"):
        write_ledger(lake, run, "clean", [LINE, dataclasses.replace(LINE, rows_in=11)])
    assert not ledger_file(lake, run, "clean").exists()


def test_a_line_reads_as_a_sentence() -> None:
    assert str(LINE) == (
        "clean events 2026-03-01: 10 in = 6 out; 3 quarantined: user_id_missing; "
        "1 removed: duplicate"
    )
