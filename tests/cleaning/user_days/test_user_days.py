"""Bots and near duplicates by hand: each rule at its limit, what it spares, and what it says."""

from __future__ import annotations

import pytest
from pyspark.sql import Row, SparkSession

from pipeline.cleaning.rows.row_rules import EVIDENCE, OUTCOME, REASON, REMOVED
from pipeline.cleaning.user_days.multi_row_rules import apply_multi_row_rules
from pipeline.settings import Cleaning
from tests.cleaning.user_days.user_days_by_hand import event, rules_of, with_row_outcomes

LIMITS = Cleaning(
    bot_max_events_per_day=6,
    bot_max_items_per_day=4,
    bot_no_dwell_min_events=4,
    bot_no_dwell_seconds=1.0,
    near_duplicate_seconds=2.0,
)


def walk(
    user: str, acts: int, step: float = 60.5, items: int = 1, kind: str = "view"
) -> list[dict]:
    """A user's acts at a steady pace, over some items in turn."""
    return [
        event(user, f"{user}-{n}", 100 + n * step, kind, item_id=f"i{n % items}")
        for n in range(acts)
    ]


EVENTS = [
    *walk("busy", 7, step=600),
    *walk("not_too_busy", 6, step=600),
    event("busy", "busy-paid", 90_000 - 4000, "purchase"),
    *walk("broad", 5, items=5),
    *walk("broad_but_buys", 5, items=5),
    event("broad_but_buys", "bought", 5000, "purchase"),
    *walk("narrow", 5, items=4),
    *walk("hasty", 4, step=0.9, items=4),
    *walk("hasty_but_few", 3, step=0.9, items=3),
    *walk("calm", 4, step=1.0, items=4),
    # A clock of whole minutes: an invoice's lines share one instant, and nobody is hasty.
    *[event("minutes", f"minutes-{n}", 600, "view", item_id=f"i{n}") for n in range(4)],
    # 500 lines of one order are no visit.
    *[event("wholesaler", f"line-{n}", 600, "purchase", item_id=f"i{n}") for n in range(12)],
    # A double click; a chain of them; another item, type or words; too far apart; money.
    event("clicks", "c2", 11.5),
    event("clicks", "c1", 10),
    event("clicks", "c3", 13.5),
    event("clicks", "c4", 15.6),
    event("clicks", "other", 10.5, item_id="i2"),
    event("tie", "b", 10),
    event("tie", "a", 10),
    event("words", "w1", 10, "search", query="lamp"),
    event("words", "w2", 11, "search", query="lamps"),
    event("words", "w3", 11.5, "search", query="lamp"),
    event("money", "m1", 10, "purchase"),
    event("money", "m2", 10, "purchase"),
    event("types", "t1", 10, "view"),
    event("types", "t2", 10, "cart"),
]


@pytest.fixture(scope="module")
def resolved(spark: SparkSession) -> dict[str, Row]:
    rows = apply_multi_row_rules(
        with_row_outcomes(spark, EVENTS).coalesce(1), rules_of(LIMITS)
    ).collect()
    assert len(rows) == len(EVENTS)
    return {row["event_id"]: row for row in rows}


def removed(resolved: dict[str, Row], reason: str) -> set[str]:
    return {
        key for key, row in resolved.items() if row[OUTCOME] == REMOVED and row[REASON] == reason
    }


def test_bots_are_found_by_rate_breadth_and_haste(resolved: dict[str, Row]) -> None:
    assert {resolved[key]["user_id"] for key in removed(resolved, "bot")} == {
        "busy",
        "broad",
        "hasty",
    }


def test_all_of_a_bots_browsing_goes_and_what_was_paid_for_stays(resolved: dict[str, Row]) -> None:
    assert {key for key in removed(resolved, "bot") if key.startswith("busy")} == {
        f"busy-{n}" for n in range(7)
    }


@pytest.mark.parametrize(
    ("event_id", "expected"),
    [
        ("busy-0", (["rate"], 7, 1, 600.0, None)),
        ("broad-0", (["breadth"], 5, 5, 60.5, None)),
        ("hasty-0", (["no_dwell"], 4, 4, 0.9, None)),
        ("c2", (None, None, None, None, "c1")),
    ],
)
def test_the_evidence_says_what_was_seen(
    resolved: dict[str, Row], event_id: str, expected: tuple
) -> None:
    seen = resolved[event_id][EVIDENCE]
    gap = None if seen["median_gap_seconds"] is None else round(seen["median_gap_seconds"], 6)
    found = (seen["bot_rules"], seen["n_events"], seen["n_items"], gap, seen["repeats_event_id"])
    assert found == expected


def test_of_near_duplicates_the_earliest_wins_and_of_equal_times_the_smaller_id(
    resolved: dict[str, Row],
) -> None:
    """A chain of quick repetitions is one act; 2.1 seconds after the last one is another."""
    assert removed(resolved, "near_duplicate") == {"c2", "c3", "b", "w3"}
