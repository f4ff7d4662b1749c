"""The past of a night leaves out what a later delivery took back, up to that night."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pyspark.sql import SparkSession

from pipeline.histories.past import past_rows, read_past
from pipeline.lake import Lake, Run
from tests.lake_rows import instant, user_id_of, write_rows

DAYS = [dt.date(2026, 3, day) for day in (1, 2, 3, 4)]


def event(event_id: str, name: str = "a") -> dict[str, Any]:
    return {
        "event_id": event_id,
        "event_time": instant("2026-03-01 10:00"),
        "event_date": DAYS[0],
        "event_type": "view",
        "user_id": user_id_of(name),
        "item_id": "i",
        "source": "simulator",
    }


def take_back(lake: Lake, day: dt.date, *event_ids: str, dataset: str = "events") -> None:
    rows = [
        {
            "dataset": dataset,
            "user_id": user_id_of("a"),
            "event_date": DAYS[0],
            "event_id": event_id,
            "rule": "bot",
        }
        for event_id in event_ids
    ]
    write_rows(lake, "retractions", Run(day, "r"), rows, by_dataset={dataset: len(rows)})


def test_a_retraction_counts_from_its_delivery_on_and_not_for_rows_after_it(
    spark: SparkSession, lake: Lake
) -> None:
    first = [event("back"), event("again"), event("stays"), event("back", "b")]
    write_rows(lake, "cleaned_events", Run(DAYS[0], "r"), first)
    write_rows(lake, "cleaned_events", Run(DAYS[1], "r"), [])
    take_back(lake, DAYS[1], "back", "again")
    write_rows(lake, "cleaned_events", Run(DAYS[2], "r"), [event("again")])
    take_back(lake, DAYS[2], "stays", dataset="reviews")
    write_rows(lake, "cleaned_events", Run(DAYS[3], "r"), [])
    take_back(lake, DAYS[3], "again")

    def past(day: dt.date) -> list[tuple[str, int]]:
        rows = read_past(spark, lake, "cleaned_events", day).collect()
        assert len(rows) == past_rows(lake, "cleaned_events", day)
        return sorted((row["event_id"], row["run_date"].day) for row in rows)

    assert past(DAYS[0]) == [("again", 1), ("back", 1), ("back", 1), ("stays", 1)]
    assert past(DAYS[1]) == [("back", 1), ("stays", 1)]
    assert past(DAYS[2]) == [("again", 3), ("back", 1), ("stays", 1)]
    assert past(DAYS[3]) == [("back", 1), ("stays", 1)]
