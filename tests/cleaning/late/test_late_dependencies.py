"""A delivery that judged late rows is cleaned again when what it judged them with has changed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pipeline.cleaning.late.late_dependencies import DEPENDENCIES, LateDependencies
from pipeline.lake import Lake, Run

DAYS = [dt.date(2026, 3, day) for day in range(1, 6)]


def deliver(
    lake: Lake, day: dt.date, text: str, oldest: dt.date | None = None, run_id: str = "r"
) -> None:
    """A delivery's events; its late rows reach back to `oldest`."""
    run = Run(day, run_id)
    (lake.begin("cleaned_events", run) / "part-00000.parquet").write_text(text)
    facts = {}
    if oldest is not None:
        facts[DEPENDENCIES] = LateDependencies(lake).of_delivery("events", day, oldest)
    lake.commit("cleaned_events", run, rows=1, **facts)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Five deliveries; the third judged rows of the first day, the fifth of the third."""
    lake = Lake(tmp_path)
    for number, day in enumerate(DAYS):
        deliver(lake, day, f"rows of {day}", {2: DAYS[0], 4: DAYS[2]}.get(number))
    return lake


def out_of_date(lake: Lake, *again: dt.date) -> list[dt.date]:
    return sorted(LateDependencies(lake).out_of_date(DAYS, set(again)))


def test_nothing_is_out_of_date_while_nothing_changes(lake: Lake) -> None:
    assert out_of_date(lake) == []
    deliver(lake, DAYS[1], f"rows of {DAYS[1]}", run_id="again")
    assert out_of_date(lake) == []


def test_a_day_that_is_cleaned_again_takes_those_along_that_looked_back_on_it(lake: Lake) -> None:
    assert out_of_date(lake, DAYS[0]) == [DAYS[2], DAYS[4]]
    assert out_of_date(lake, DAYS[1]) == [DAYS[2], DAYS[4]]
    assert out_of_date(lake, DAYS[3]) == [DAYS[4]]
    assert out_of_date(lake, DAYS[4]) == []


def test_what_a_night_left_undone_the_next_one_finds(lake: Lake) -> None:
    """The second day is another since, and the night ended before it came to the third."""
    deliver(lake, DAYS[1], "other rows", run_id="corrected")
    assert out_of_date(lake) == [DAYS[2], DAYS[4]]


def test_a_retraction_counts_as_a_change(lake: Lake) -> None:
    run = Run(DAYS[3], "r")
    (lake.begin("retractions", run) / "part-00000.parquet").write_text("taken back")
    lake.commit("retractions", run, rows=1)
    assert out_of_date(lake) == [DAYS[4]]
