"""Too little to train on: the night ends before anything is spent, and says all that is missing."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from pipeline.errors import GateError
from pipeline.lake import Lake, Run
from pipeline.model.user_history import read_histories
from pipeline.settings import Settings
from pipeline.training.fine_tune import fine_tune
from pipeline.training.sufficiency import Material, material
from tests.lake_rows import point_latest, write_rows
from tests.small_shop import N_USERS, NIGHT, RUN, fill, history_row, item, quick

TARGETS = ("purchase", "rating")


def test_only_what_is_before_the_held_out_event_of_a_consenting_user_counts(lake: Lake) -> None:
    start = dt.datetime(2026, 2, 1, 23, tzinfo=dt.UTC)
    times = [start + dt.timedelta(hours=hours) for hours in (0, 2, 50, 51)]
    first = history_row(0) | {
        "item_ids": [item(1), item(2), item(1), item(4)],
        "event_types": ["view", "purchase", "purchase", "rating"],
        "event_times": times,
        "holdout_index": 3,
    }
    nothing_before = history_row(1) | {
        "item_ids": [item(5)],
        "event_types": ["purchase"],
        "event_times": times[:1],
        "holdout_index": None,
        "holdout_split": None,
    }
    objects = history_row(2) | {"consent": False}
    write_rows(lake, "histories", RUN, [first, nothing_before, objects])
    users = read_histories(lake, NIGHT)
    # 1 and 2 February, 3 February; items 1 and 2, and item 5 of the user without a held-out event.
    assert material(users, TARGETS) == Material(users=2, target_events=3, items=3, days=3)
    assert material(users, ("view",)) == Material(users=2, target_events=1, items=3, days=3)
    assert material([], TARGETS) == Material(0, 0, 0, 0)


ENOUGH = {"min_users": 1, "min_target_events": 1, "min_items": 1, "min_days": 1}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("min_users", "users with a history before the held-out event, training.min_users"),
        ("min_target_events", "events to predict (purchase or rating) in them, training.min_tar"),
        ("min_items", "items that anyone did anything with, training.min_items asks for 1,000"),
        ("min_days", "days with events, training.min_days asks for 1,000"),
    ],
)
def test_each_threshold_ends_the_night_by_name(
    lake: Lake, settings: Settings, setting: str, said: str
) -> None:
    fill(lake, user=lambda row: row | {"consent": row["user_id"] < "8"})
    with pytest.raises(GateError) as caught:
        fine_tune(lake, RUN, quick(settings, **ENOUGH | {setting: 1000}))
    message = str(caught.value)
    assert said in message
    assert message.count("asks for") == 1
    assert f"Of {N_USERS} histories " in message
    assert "readers go on seeing nothing, for none was published yet" in message
    assert lake.current("models", NIGHT) is None


def test_everything_that_is_missing_is_said_at_once_and_what_readers_see(
    lake: Lake, settings: Settings
) -> None:
    fill(lake)
    before = Run(NIGHT - dt.timedelta(days=1), "before")
    lake.begin("recommendations", before)
    lake.commit("recommendations", before)
    point_latest(lake, "recommendations", before)
    wants: dict[str, Any] = dict.fromkeys(ENOUGH, 1000)
    with pytest.raises(GateError, match=f"go on seeing the lists of {before.run_date}") as caught:
        fine_tune(lake, RUN, quick(settings, **wants))
    assert str(caught.value).count("asks for 1,000") == len(wants)


def test_exactly_enough_is_enough(lake: Lake, settings: Settings) -> None:
    fill(lake)
    there = material(read_histories(lake, NIGHT), settings.histories.target_event_types)
    wants = {f"min_{name}": count for name, count in dataclasses.asdict(there).items()}
    fine_tune(lake, RUN, quick(settings, **wants))
    assert lake.current("models", NIGHT) is not None
