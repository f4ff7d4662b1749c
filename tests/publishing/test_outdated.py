"""Published nights that lack rows which are in the lake now: late ones, and corrected ones."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.lake import Lake, Run
from pipeline.lineage import Lineage, inputs_of, inputs_upto
from pipeline.publishing.outdated import outdated_nights


def march(day: int) -> dt.date:
    return dt.date(2026, 3, day)


def deliver(
    lake: Lake, day: int, text: str, run_id: str = "r", codec: str = "zstd", **late: int
) -> None:
    """A delivery; `late` by what its own day is, as `d3=5`."""
    run = Run(march(day), run_id)
    by_day = {march(int(own[1:])).isoformat(): rows for own, rows in late.items()}
    for name in ("cleaned_events", "cleaned_reviews"):
        rows = pa.table({"event_id": [text + name]})
        pq.write_table(rows, lake.begin(name, run) / "part-00000.parquet", compression=codec)
        lake.commit(name, run, rows=9, late=by_day if name == "cleaned_events" else {})


def publish(lake: Lake, day: int, run_id: str = "r") -> None:
    run = Run(march(day), run_id)
    lake.begin("histories", run)
    read = Lineage(inputs_upto(lake, ("cleaned_events", "cleaned_reviews"), march(day)))
    histories = lake.commit("histories", run, rows=1, **read.facts())
    lake.begin("recommendations", run)
    lineage = Lineage(inputs_of({"histories": histories}))
    lists = lake.close("recommendations", run, **lineage.facts())
    lake.publish("recommendations", lists)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Three nights, of which the third delivery brings five events of the first day."""
    lake = Lake(tmp_path)
    for day in (1, 2, 3):
        deliver(lake, day, f"day {day}", **({"d1": 5} if day == 3 else {}))
        publish(lake, day)
    return lake


def test_nights_before_a_late_row_say_so_and_later_ones_do_not(lake: Lake) -> None:
    found = outdated_nights(lake, 30)
    assert [(night.run_date, night.late, night.complete_from) for night in found] == [
        (march(1), {"events": 5}, march(3)),
        (march(2), {"events": 5}, march(3)),
    ]
    assert str(found[0]) == "5 events"
    assert all(not night.changed for night in found)


def test_a_night_before_the_day_of_a_late_row_lacks_nothing(lake: Lake) -> None:
    deliver(lake, 4, "day 4", d2=1)
    found = {night.run_date: night.late for night in outdated_nights(lake, 30)}
    assert found == {march(1): {"events": 5}, march(2): {"events": 6}, march(3): {"events": 1}}


def test_a_night_is_to_be_made_again_where_a_delivery_became_another(lake: Lake) -> None:
    deliver(lake, 2, "day 2", run_id="same_rows")
    assert all(not night.changed for night in outdated_nights(lake, 30))
    deliver(lake, 2, "day 2, corrected", run_id="corrected")
    found = {night.run_date: night.changed for night in outdated_nights(lake, 30)}
    assert found == {march(1): (), march(2): (march(2),), march(3): (march(2),)}
    publish(lake, 2, "again")
    found = {night.run_date: night.changed for night in outdated_nights(lake, 30)}
    assert found == {march(1): (), march(2): (), march(3): (march(2),)}


def test_other_bytes_of_the_same_rows_make_nothing_outdated(lake: Lake) -> None:
    """Another process, another order of the encodings in a file's footer."""
    before = lake.require("cleaned_events", march(2)).manifest["files"]
    deliver(lake, 2, "day 2", run_id="other_bytes", codec="none")
    assert lake.require("cleaned_events", march(2)).manifest["files"] != before
    assert all(not night.changed for night in outdated_nights(lake, 30))


def test_nights_before_the_horizon_are_settled(lake: Lake) -> None:
    assert [night.run_date for night in outdated_nights(lake, 1)] == [march(2)]
    assert outdated_nights(Lake(lake.root / "empty"), 30) == []
