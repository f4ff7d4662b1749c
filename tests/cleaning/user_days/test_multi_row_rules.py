"""Rules over several rows against the same rules written for one row after the other."""

from __future__ import annotations

import datetime as dt
import statistics
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.cloudpickle import dumps
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.cleaning.rows.row_rules import ACCEPTED, EVIDENCE, OUTCOME, REASON, Rules
from pipeline.cleaning.user_days.multi_row_rules import (
    apply_multi_row_rules,
    outcome_function,
    outcomes_of,
)
from pipeline.cleaning.user_days.placement import place
from pipeline.cleaning.user_days.row_arrays import ACT_TYPES, Acts, Rows
from pipeline.pseudonym import KeyFile, key_fingerprint, read_or_make_key
from pipeline.settings import Cleaning
from pipeline.sources.source_yaml import load_source
from tests.cleaning.user_days.user_days_by_hand import DATE, event, rules_of, with_row_outcomes

LIMITS = Cleaning(
    bot_max_events_per_day=6,
    bot_max_items_per_day=3,
    bot_no_dwell_min_events=4,
    bot_no_dwell_seconds=1.0,
    near_duplicate_seconds=2.0,
)
EVENTS = Rules(load_source("simulator").datasets["events"], "simulator", "UTC", LIMITS)
BROWSING = ("view", "wishlist", "cart", "search")

Act = tuple[int, bool, str, int, str, float, int]  # group, good, key, content, type, second, thing
Outcome = tuple[str, str, object]

ACTS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.booleans() | st.just(True),
        st.sampled_from("abcdefghijklmnop"),
        st.integers(0, 1),
        st.sampled_from(ACT_TYPES) | st.just("view"),
        st.sampled_from([0.5 * n for n in range(24)] + [60.0, 120.0, 180.0]),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=40,
)


def one_by_one(acts: list[Act]) -> list[Outcome | None]:
    """The rules as the documents have them, in loops."""
    outcomes: list[Outcome | None] = [None] * len(acts)
    for group in {act[0] for act in acts}:
        good = [n for n, act in enumerate(acts) if act[0] == group and act[1]]
        _duplicates(acts, good, outcomes)
        good = [n for n in good if not outcomes[n]]
        repeats = _repetitions(acts, good)
        _bots(acts, good, outcomes)
        for later, earlier in repeats.items():
            outcomes[later] = outcomes[later] or ("removed", "near_duplicate", acts[earlier][2])
    return outcomes


def _duplicates(acts: list[Act], good: list[int], outcomes: list[Outcome | None]) -> None:
    first: dict[str, int] = {}
    for n in good:  # earliest first
        winner = first.setdefault(acts[n][2], n)
        if winner != n:
            same = acts[winner][3] == acts[n][3]
            outcomes[n] = (
                ("removed", "duplicate", None)
                if same
                else ("quarantined", "event_id_conflict", None)
            )


def _repetitions(acts: list[Act], good: list[int]) -> dict[int, int]:
    last: dict[tuple[str, int], int] = {}
    repeats = {}
    for n in good:
        _, _, _, _, kind, second, thing = acts[n]
        if kind not in LIMITS.near_duplicate_types:
            continue
        before = last.get((kind, thing))
        if before is not None and second - acts[before][5] <= LIMITS.near_duplicate_seconds:
            repeats[n] = before
        last[kind, thing] = n
    return repeats


def _bots(acts: list[Act], good: list[int], outcomes: list[Outcome | None]) -> None:
    browsing = [n for n in good if acts[n][4] in BROWSING]
    items = {acts[n][6] for n in browsing if acts[n][4] == "view"}
    takes = any(acts[n][4] in ("cart", "purchase") for n in good)
    times = [acts[n][5] for n in browsing]
    gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    median = statistics.median(gaps) if gaps else None
    haste = (
        len(browsing) >= LIMITS.bot_no_dwell_min_events
        and any(time % 60 for time in times)
        and sum(gap < LIMITS.bot_no_dwell_seconds for gap in gaps) * 2 > len(gaps)
    )
    broken = [
        name
        for name, is_broken in (
            ("rate", len(browsing) > LIMITS.bot_max_events_per_day),
            ("breadth", len(items) > LIMITS.bot_max_items_per_day and not takes),
            ("no_dwell", haste),
        )
        if is_broken
    ]
    if broken:
        for n in browsing:
            outcomes[n] = ("removed", "bot", (tuple(broken), len(browsing), len(items), median))


def _of(outcome: dict | None) -> Outcome | None:
    if outcome is None:
        return None
    seen = outcome["evidence"]
    if outcome["reason"] == "bot":
        evidence: object = (
            tuple(seen["bot_rules"]),
            seen["n_events"],
            seen["n_items"],
            seen["median_gap_seconds"],
        )
    else:
        evidence = seen and seen["repeats_event_id"]
    return outcome["outcome"], outcome["reason"], evidence


@given(ACTS)
def test_rules_over_arrays_equal_the_rules_row_by_row(acts: list[Act]) -> None:
    acts = sorted(acts, key=lambda act: (act[0], act[5], act[2], act[3]))
    group, good, key, content, kind, second, thing = zip(*acts, strict=True)
    numbers = {of: n for n, of in enumerate(dict.fromkeys(group))}
    rows = Rows(
        np.array([numbers[of] for of in group]),
        np.array(good),
        pa.array(key),
        np.array(content),
        np.arange(len(acts)),
        Acts(
            np.array([ACT_TYPES.index(of) for of in kind], np.int8),
            (np.array(second) * 1e6).astype(np.int64),
            np.array(thing),
        ),
    )
    found = outcomes_of(rows, EVENTS).to_arrow().to_pylist()
    assert [_of(outcome) for outcome in found] == one_by_one(acts)


def _busy_day() -> list[dict]:
    """Users with copies, conflicts, chains and bots, more rows each than a batch has."""
    events = []
    for user in "abcdef":
        for n in range(4 + 3 * (ord(user) % 3)):
            kind = "view" if n % 3 else "cart"
            act = event(user, f"{user}{n % 7}", 10.5 + 1.7 * n, kind, item_id=f"i{n % 5}")
            events += [act, act] if n % 4 == 0 else [act]
    clicks = [event("g", f"g{n}", 5000 + 1.5 * n + 60 * (n // 3)) for n in range(6)]
    return events + clicks


def _outcomes(resolved: DataFrame) -> Counter[tuple]:
    columns = ("user_id", "event_id", "event_time", OUTCOME, REASON, EVIDENCE)
    rows = resolved.select(*(F.col(name).cast("string") for name in columns)).collect()
    return Counter(map(tuple, rows))


@contextmanager
def _rows_a_batch(spark: SparkSession, number: int) -> Iterator[None]:
    name = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = spark.conf.get(name)
    spark.conf.set(name, number)
    try:
        yield
    finally:
        spark.conf.set(name, before or "10000")


def test_neither_batches_nor_tasks_change_the_outcomes(spark: SparkSession) -> None:
    rows = with_row_outcomes(spark, _busy_day())
    rules = rules_of(LIMITS)
    in_one = _outcomes(apply_multi_row_rules(rows.coalesce(1), rules))
    assert {reason for *_, reason, _ in in_one} == {
        None,
        "duplicate",
        "event_id_conflict",
        "bot",
        "near_duplicate",
    }
    placed = place(rows, "events", partitions=3, days=1, bytes_per_day=300 * 2**20)
    with _rows_a_batch(spark, 3):
        assert _outcomes(apply_multi_row_rules(rows.coalesce(1), rules)) == in_one
        assert _outcomes(apply_multi_row_rules(placed, rules)) == in_one


def test_events_leave_in_the_order_of_their_files(spark: SparkSession) -> None:
    resolved = apply_multi_row_rules(
        with_row_outcomes(spark, reversed(_busy_day())).coalesce(1), rules_of(LIMITS)
    )
    order = [tuple(row) for row in resolved.select("user_id", "event_time", "event_id").collect()]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("latest_by", "winner"),
    [
        ("try_cast(item_id AS int)", "9"),
        ("item_id", "nine"),
        ("array(try_cast(item_id AS int), 1)", "9"),
        ("struct(length(item_id), item_id)", "nine"),
        ("try_cast(item_id AS double)", "NaN"),
    ],
)
def test_the_latest_wins_by_an_order_of_any_type(
    spark: SparkSession, latest_by: str, winner: str
) -> None:
    """Nulls come last, and NaN is more than any number, as Spark has it."""
    items = ["7", "9", "nine", "8"] + (["NaN"] if winner == "NaN" else [])
    events = [event("u", "e1", 10 + n, item_id=item) for n, item in enumerate(items)]
    rules = rules_of(Cleaning())
    rules = replace(rules, dataset=replace(rules.dataset, latest_by=latest_by))
    rows = with_row_outcomes(spark, events).withColumn("__order", F.expr(latest_by)).coalesce(1)
    resolved = apply_multi_row_rules(rows, rules).collect()
    assert [row["item_id"] for row in resolved if row[OUTCOME] == ACCEPTED] == [winner]
    assert {row[REASON] for row in resolved if row[OUTCOME] != ACCEPTED} == {"superseded"}


def test_of_several_deliveries_the_later_wins_before_the_order_of_the_source(
    spark: SparkSession,
) -> None:
    """As late rows are resolved: the delivery is no part of what the rows share."""
    next_day = DATE + dt.timedelta(days=1)
    events = [
        event("u", "e1", 10, item_id="9", delivered=DATE),
        event("u", "e1", 11, item_id="7", delivered=next_day),
    ]
    rules = rules_of(Cleaning())
    rules = replace(rules, dataset=replace(rules.dataset, latest_by="item_id"))
    rows = with_row_outcomes(spark, events).withColumns(
        {"__order": F.col("item_id"), OUTCOME: F.lit(ACCEPTED)}
    )
    resolved = apply_multi_row_rules(rows.coalesce(1), rules, ("user_id", "__own_day")).collect()
    assert {row["item_id"]: row[REASON] for row in resolved} == {"7": None, "9": "superseded"}


def test_no_worker_is_sent_the_key_that_hides_users(tmp_path: Path) -> None:
    key = read_or_make_key(tmp_path / "key")
    rules = replace(EVENTS, key=KeyFile(str(tmp_path / "key"), key_fingerprint(key)))
    sent = dumps(outcome_function(rules, is_ranked=False))
    assert key not in sent
    assert key.hex().encode() not in sent
