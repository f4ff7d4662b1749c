"""The week after a night: which nights, what was bought in it, and what a list is worth."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.next_week import measure, whole
from benchmarks.next_week_lake import bought_after, link, nights_of
from pipeline.lake import Lake, Run
from pipeline.model.user_history import UserHistory
from pipeline.ranking.held_out_ranks import Items
from tests.lake_rows import instant, user_id_of, write_rows

NIGHT = dt.date(2026, 3, 1)


def test_the_last_night_has_a_week_after_it(tmp_path: Path) -> None:
    day = dt.date(2025, 11, 20)
    while day <= dt.date(2026, 3, 31):
        (tmp_path / f"{day}.csv").touch()
        day += dt.timedelta(days=1)
    months = nights_of(tmp_path, 4, "month")
    # A week before the last delivery, and that day of the months before.
    assert [str(night) for night in months] == [
        "2025-12-24",
        "2026-01-24",
        "2026-02-24",
        "2026-03-24",
    ]
    assert [str(night) for night in nights_of(tmp_path, 2, "day")] == ["2026-03-23", "2026-03-24"]
    other = dt.date(2026, 2, 10)
    assert [str(night) for night in nights_of(tmp_path, 2, "month", other)] == [
        "2026-01-10",
        "2026-02-10",
    ]
    with pytest.raises(SystemExit, match=r"no whole week after it; the latest is 2026-03-24"):
        nights_of(tmp_path, 2, "month", dt.date(2026, 3, 25))
    with pytest.raises(SystemExit, match="too little for 6 months"):
        nights_of(tmp_path, 6, "month")


def put_events(lake: Lake, day: str, *events: tuple[str, str, str]) -> None:
    date = dt.date.fromisoformat(day)
    rows = [
        {
            "event_id": f"{day} {n}",
            "event_time": instant(f"{day} 12:00"),
            "event_date": date,
            "event_type": kind,
            "user_id": user_id_of(user),
            "item_id": item,
        }
        for n, (user, kind, item) in enumerate(events)
    ]
    write_rows(lake, "cleaned_events", Run(date, "x"), rows)


def test_only_what_was_bought_in_the_seven_days_after_it(lake: Lake) -> None:
    put_events(lake, "2026-03-01", ("ann", "purchase", "tonight"))
    put_events(lake, "2026-03-02", ("ann", "purchase", "first day"), ("ann", "view", "seen"))
    put_events(lake, "2026-03-08", ("ann", "purchase", "last day"), ("bob", "rating", "rated"))
    put_events(lake, "2026-03-09", ("ann", "purchase", "too late"))
    found = bought_after(lake, NIGHT, ("purchase", "rating"))
    assert found == {user_id_of("ann"): {"first day", "last day"}, user_id_of("bob"): {"rated"}}
    assert bought_after(lake, dt.date(2026, 4, 1), ("purchase",)) == {}


def test_a_lake_of_models_has_the_histories_and_no_event(lake: Lake, tmp_path: Path) -> None:
    put_events(lake, "2026-03-02", ("ann", "purchase", "first day"))
    write_rows(lake, "catalogue", Run(NIGHT, "x"), [])
    link(lake.root, tmp_path / "models")
    assert Lake(tmp_path / "models").require("catalogue", NIGHT).rows == 0
    assert not (tmp_path / "models" / "cleaned_events").exists()


def user(owned: Sequence[str]) -> UserHistory:
    time = instant("2026-02-01 12:00")
    n = len(owned)
    past = UserHistory(
        "u", tuple(owned), ("purchase",) * n, (time,) * n, (), (), tuple(owned), None, n - 1, "test"
    )
    return whole(past)


def test_a_list_by_hand() -> None:
    """Order a, b, c, d, e; a is owned, d is not sold; bought: a again, c, and d."""
    items = Items(tuple("abcde"), np.array([True, True, True, False, True]))
    bought = {"u": {"a", "c", "d", "unknown"}}

    def scorer(users: Sequence[UserHistory]) -> np.ndarray:
        assert [u.known_items for u in users] == [("b", "a")]  # nothing is held out any more
        return np.array([[5.0, 4, 3, 2, 1]])

    known = [user(["b", "a"])]
    masked = measure(scorer, known, bought, items, True)
    # b and a are owned: the list is c, e.
    assert (masked["ndcg"][0], masked["recall"][0]) == (1.0, 1.0)
    everything = measure(scorer, known, bought, items, False)
    ideal = 1 + 1 / math.log2(3)
    assert everything["ndcg"][0] == pytest.approx((1 + 1 / math.log2(4)) / ideal)
    assert everything["recall"][0] == 1.0
    nothing_new = measure(scorer, known, {"u": {"a"}}, items, True)
    assert nothing_new["ndcg"][0] == -1.0
    assert measure(scorer, [], {}, items, True)["ndcg"].shape == (0,)
