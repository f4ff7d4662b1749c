"""Histories against a plain Python reading of the same rows, and in cases by hand."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import check_columns, spark_schema
from pipeline.histories import history
from pipeline.histories.acts import act_log
from pipeline.histories.user_attributes import user_attributes_as_of
from tests.histories.acts.cancellation_cases import CANCELLATIONS
from tests.histories.conftest import DAY, event, review, user
from tests.histories.session_cases import SESSIONS
from tests.lake_rows import instant, user_id_of

Rows = Sequence[dict[str, Any]]
MAX_EVENTS = 6
ACTIVE_DAYS = 2
GAP_MINUTES = 90
CANCELLATION_DAYS = 2
TARGETS = ("purchase", "rating")
KINDS = ("view", "wishlist", "cart", "purchase", "rating", "return")


def frame(spark: SparkSession, name: str, rows: Rows) -> DataFrame:
    """Rows of a cleaned dataset; `run_date` is the delivery day, the event's own by default."""
    schema = spark_schema(load_contract(name)).add("run_date", "date")
    full = [
        [
            row.get(field, row.get("event_date", row.get("review_date", DAY)))
            if field == "run_date"
            else row.get(field)
            for field in schema.names
        ]
        for row in rows
    ]
    return spark.createDataFrame(full, schema)


def acts_of(
    spark: SparkSession, events: Rows, reviews: Rows = (), partitions: int = 2
) -> DataFrame:
    """The night's act_log, made in one step from the whole past."""
    delivered = act_log.delivered_acts(
        frame(spark, "cleaned_events", events), frame(spark, "cleaned_reviews", reviews)
    )
    memory = act_log.Memory(DAY, 1, CANCELLATION_DAYS, MAX_EVENTS, TARGETS)
    return act_log.remember(act_log.without_repeats(delivered, partitions), memory)


def histories_of(night_acts: DataFrame, partitions: int = 2) -> DataFrame:
    return history.event_histories(
        night_acts,
        night=DAY,
        active_days=ACTIVE_DAYS,
        max_events=MAX_EVENTS,
        session_gap_minutes=GAP_MINUTES,
        partitions=partitions,
    )


def built(
    spark: SparkSession, events: Rows, reviews: Rows = (), users: Rows = (), seed: int = 1
) -> dict[str, dict[str, Any]]:
    """Histories by user id."""
    kept = acts_of(spark, events, reviews).where("is_kept").drop("is_kept")
    attributes = user_attributes_as_of(frame(spark, "cleaned_users", users), None, 2)
    made = history.histories(history.with_user_attributes(histories_of(kept), attributes), seed)
    check_columns(made, load_contract("histories"))
    return {row["user_id"]: row.asDict() for row in made.collect()}


def cancelled_of(past: list[dict[str, Any]]) -> set[str]:
    """Ids of the purchases that the returns of one user take back whole."""
    gone = set()
    standing: dict[str, list[list[Any]]] = {}
    for row in past:
        mine = standing.setdefault(row["item_id"], [])
        if row["event_type"] == "purchase":
            mine.append([row["event_id"], row["event_date"], row.get("quantity")])
        elif row["event_type"] == "return" and mine:
            bought, back = mine[-1], row.get("quantity")
            if (row["event_date"] - bought[1]).days > CANCELLATION_DAYS:
                continue
            if back is not None and bought[2] is not None and back < bought[2]:
                bought[2] -= back
            else:
                gone.add(mine.pop()[0])
    return gone


def expected(events: Rows, reviews: Rows) -> dict[str, dict[str, Any]]:
    """The same, one user at a time, as the docstrings say it in words."""
    known: dict[tuple[str, str], dict[str, Any]] = {}
    for row in events:
        if row["event_date"] <= DAY:
            known[row["user_id"], row["event_id"]] = row
    for row in reviews:
        if row["review_date"] <= DAY:
            key = f"review:{row['review_id']}"
            known[row["user_id"], key] = {
                "event_type": "rating",
                "event_time": row["review_time"],
                "event_date": row["review_date"],
                "item_id": row["item_id"],
            }
    found = {}
    for user_id in sorted({user_id for user_id, _ in known}):
        mine = [{**row, "event_id": key} for (owner, key), row in known.items() if owner == user_id]
        searches = sorted(
            (row for row in mine if row["event_type"] == "search"),
            key=lambda row: (row["event_time"], row["event_id"]),
        )
        past = sorted(
            (row for row in mine if row["event_type"] != "search"),
            key=lambda row: (row["event_time"], KINDS.index(row["event_type"]), row["event_id"]),
        )
        if past:
            found[user_id] = _as_history(mine, past, searches)
    return found


def _as_history(mine: Rows, past: list[dict[str, Any]], searches: Rows) -> dict[str, Any]:
    gone = cancelled_of(past)
    had: set[str] = set()
    holdout = None
    cut = max(0, len(past) - MAX_EVENTS)
    for place, row in enumerate(past):
        if row["event_type"] in TARGETS and row["event_id"] not in gone:
            # A rating of what stands before as bought or rated, if it was given back since.
            named = row["event_type"] == "rating" and any(
                other["item_id"] == row["item_id"] and other["event_type"] in TARGETS
                for other in past[cut:place]
            )
            if row["item_id"] not in had and not named:
                holdout = place
            had.add(row["item_id"])
    kept = past[cut:]
    sessions = [1]
    for before, row in pairwise(kept):
        pause = row["event_time"] - before["event_time"]
        sessions.append(sessions[-1] + (pause > dt.timedelta(minutes=GAP_MINUTES)))
    return {
        "item_ids": [row["item_id"] for row in kept],
        "event_types": [row["event_type"] for row in kept],
        "session_numbers": sessions,
        "cancelled": [row["event_id"] in gone for row in kept],
        "queries": [row["query"] for row in searches[-act_log.MAX_QUERIES :]],
        "owned_item_ids": sorted(had),
        "n_events": len(past),
        "active": any((DAY - row["event_date"]).days < ACTIVE_DAYS for row in mine),
        "holdout_index": holdout - cut if holdout is not None and holdout - cut >= 1 else None,
    }


def test_equals_a_plain_reading_of_random_pasts(spark: SparkSession) -> None:
    chance = random.Random(7)
    events, reviews = [], []
    for name in range(160):
        for number in range(chance.randrange(1, 14)):
            day = DAY - dt.timedelta(days=chance.randrange(-1, 5))
            time = f"{day} {chance.choice(['08:00', '09:00', '11:00'])}"
            kind = chance.choice([*KINDS, "purchase", "return", "search"])
            item_id = chance.choice("abcd")
            if kind == "rating":
                reviews.append(review(str(name), item_id, time, review_id=f"r{number}"))
            else:
                more: dict[str, Any] = {"query": f"q{number}"} if kind == "search" else {}
                if kind in ("purchase", "return"):
                    more["quantity"] = chance.choice([None, 1, 2, 3])
                item = None if kind == "search" else item_id
                events.append(event(str(name), kind, item, time, event_id=f"e{number}", **more))
    wanted = expected(events, reviews)
    # Each event once more, in another order: neither may matter.
    twice_events, twice_reviews = [*events, *events], [*reviews, *reviews]
    chance.shuffle(twice_events)
    chance.shuffle(twice_reviews)
    found = built(spark, twice_events, twice_reviews)
    assert {
        user_id: {name: row[name] for name in wanted[user_id]} for user_id, row in found.items()
    } == wanted
    assert sum(row["holdout_index"] is not None for row in wanted.values()) > 20
    assert sum(row["n_events"] > MAX_EVENTS for row in wanted.values()) > 20
    assert {row["active"] for row in wanted.values()} == {True, False}
    assert sum(any(row["cancelled"]) for row in wanted.values()) > 10


def test_cases_by_hand(spark: SparkSession) -> None:
    late = dt.date(2026, 2, 20)
    cases: dict[str, tuple[Rows, dict[str, Any]]] = {
        "only purchase: nothing before it": (
            [event("u", "purchase", "a", "2026-03-01 08:00")],
            {"holdout_index": None, "owned_item_ids": ["a"]},
        ),
        "bought again: the first time is held out": (
            [
                event("u", "view", "b", "2026-03-01 07:00"),
                event("u", "purchase", "a", "2026-03-01 08:00"),
                event("u", "purchase", "a", "2026-03-01 09:00"),
            ],
            {"holdout_index": 1},
        ),
        "the held-out purchase is cut off": (
            [
                event("u", "purchase", "b", "2026-02-28 07:00"),
                event("u", "purchase", "a", "2026-02-28 08:00"),
                *(event("u", "view", "c", f"2026-03-01 0{n}:00") for n in range(MAX_EVENTS)),
            ],
            {"holdout_index": None, "owned_item_ids": ["a", "b"], "n_events": 8},
        ),
        **CANCELLATIONS,
        **SESSIONS,
        "one instant, told apart by kind": (
            [
                event("u", "return", "a", "2026-03-01 08:00", event_id="1"),
                event("u", "purchase", "a", "2026-03-01 08:00", event_id="2"),
                event("u", "view", "a", "2026-03-01 08:00", event_id="3"),
            ],
            {"event_types": ["view", "purchase", "return"]},
        ),
        "one instant and kind, told apart by id": (
            [
                event("u", "view", "b", "2026-03-01 08:00", event_id="2"),
                event("u", "view", "a", "2026-03-01 08:00", event_id="1"),
            ],
            {"item_ids": ["a", "b"]},
        ),
        "active by a search alone": (
            [
                event("u", "view", "a", "2026-02-20 08:00"),
                event("u", "search", None, "2026-03-01 08:00", query="tea"),
            ],
            {"active": True, "queries": ["tea"], "last_event_time": instant("2026-03-01 08:00")},
        ),
        "active by the shop's day, not by UTC's": (
            # 23:30 in New York is 04:30 of the next day in UTC.
            [event("u", "view", "a", "2026-02-28 04:30", event_date=dt.date(2026, 2, 27))],
            {"active": False},
        ),
        "active on the window's first day": (
            [event("u", "view", "a", "2026-02-28 00:00")],
            {"active": True},
        ),
        "a late delivery of an old event": (
            [event("u", "view", "a", "2026-02-20 08:00", event_date=late, run_date=DAY)],
            {"active": False, "n_events": 1},
        ),
    }
    events = [
        {**row, "user_id": user_id_of(name)} for name, (rows, _) in cases.items() for row in rows
    ]
    found = built(spark, events)
    for name, (_, wanted) in cases.items():
        row = found[user_id_of(name)]
        seen = {
            column: row[column].replace(tzinfo=dt.UTC)
            if column == "last_event_time"
            else row[column]
            for column in wanted
        }
        assert seen == wanted, name


def test_the_newest_answer_on_consent_counts(spark: SparkSession) -> None:
    names = ("withdrew", "agreed", "twice", "silent")
    events = [event(name, "view", "a", "2026-03-01 08:00") for name in names]
    old = DAY - dt.timedelta(days=1)
    users = [
        user("withdrew", consent=True, run_date=old, language="en", region="GB"),
        user("withdrew", consent=False, language="de"),
        user("agreed", consent=False, run_date=old),
        user("agreed", consent=True),
        # Against the contract, and then the refusal counts.
        user("twice", consent=True, language="zz"),
        user("twice", consent=False, language="aa"),
    ]
    for delivered in (users, users[::-1]):
        found = built(spark, events, users=delivered)
        consent = {name: found[user_id_of(name)]["consent"] for name in names}
        assert consent == {"withdrew": False, "agreed": True, "twice": False, "silent": False}
        withdrew = found[user_id_of("withdrew")]
        # The newest entry counts whole: its missing region is not filled from the older one.
        assert (withdrew["language"], withdrew["region"]) == ("de", None)


@pytest.mark.parametrize("partitions", [1, 3])
def test_the_plan_moves_events_once(spark: SparkSession, partitions: int) -> None:
    rows = [event("u", "view", "a", "2026-03-01 08:00")]
    plan = acts_of(spark, rows, partitions=partitions)._jdf.queryExecution()
    assert plan.executedPlan().toString().count("Exchange") == 1
    stored = spark.createDataFrame([], spark_schema(load_contract("acts")))
    plan = histories_of(stored, partitions)._jdf.queryExecution()
    assert plan.executedPlan().toString().count("Exchange") == 1
