"""Late data equals on-time data: random users' days, split at random over deliveries.

One frame holds hundreds of users, each a trial of its own, so that Spark is asked once.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Iterable

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.cleaning.late.late_rows import (
    AS_OF,
    LATE_OUTCOME,
    RELEASED,
    RESTORED,
    RETRACTED,
    STANDS,
    resolve_late_rows,
)
from pipeline.cleaning.rows.row_rules import (
    ACCEPTED,
    LATE,
    OUTCOME,
    REASON,
    REMOVED,
    RESTORABLE_RULES,
)
from pipeline.cleaning.user_days.multi_row_rules import apply_multi_row_rules
from pipeline.settings import Cleaning
from pipeline.sources.reader_columns import DAY
from tests.cleaning.user_days.user_days_by_hand import (
    COLUMNS,
    DATE,
    event,
    rules_of,
    with_row_outcomes,
)

DELIVERIES = [DATE + dt.timedelta(days=n) for n in range(4)]
USERS = 250
RULES = rules_of(
    Cleaning(
        bot_max_events_per_day=9,
        bot_max_items_per_day=5,
        bot_no_dwell_min_events=5,
        bot_no_dwell_seconds=1.0,
        near_duplicate_seconds=2.0,
    )
)
Act = tuple[str, str, dt.datetime, str | None]  # user, id, time, item


@pytest.fixture(scope="module")
def events() -> list[dict]:
    """Ids that come twice, quick repetitions, and days that are a bot's only when whole."""
    draw = random.Random(7)
    events = []
    for number in range(USERS):
        user = f"{number:032x}"
        pace = draw.choice([0.5, 3.0, 700.0])
        for n in range(draw.randint(1, 14)):
            act = event(
                user,
                f"e{draw.choice([n, n, n, draw.randint(0, n)])}",
                1000 + pace * draw.randint(0, 30),
                draw.choice(["view", "view", "view", "cart", "search", "purchase"]),
                query="lamp",
                delivered=draw.choice([DATE, *DELIVERIES]),
            )
            act["item_id"] = f"i{draw.randint(1, 8)}"
            events.append(act)
            if draw.random() < 0.1:
                events.append(act | {"delivered": draw.choice(DELIVERIES)})
    return events


@pytest.fixture(scope="module")
def on_time(spark: SparkSession, events: list[dict]) -> DataFrame:
    """All of it resolved at once."""
    rows = with_row_outcomes(spark, (row | {"delivered": DATE} for row in events))
    return apply_multi_row_rules(rows.repartition(2, "user_id"), RULES).localCheckpoint()


@pytest.fixture(scope="module")
def first_day(spark: SparkSession, events: list[dict]) -> DataFrame:
    """The outcomes of the day's own delivery."""
    rows = with_row_outcomes(spark, (row for row in events if row["delivered"] == DATE))
    return apply_multi_row_rules(rows.repartition(2, "user_id"), RULES).localCheckpoint()


def acts(rows: DataFrame) -> Counter[Act]:
    columns = ("user_id", "event_id", "event_time", "item_id")
    return Counter(tuple(row) for row in rows.select(*columns).collect())


def context_of(first_day: DataFrame) -> DataFrame:
    """The accepted rows, and those that a rule over the day took out."""
    kept = F.col(REASON).isin(*RESTORABLE_RULES)
    known = first_day.where((F.col(OUTCOME) == ACCEPTED) | ((F.col(OUTCOME) == REMOVED) & kept))
    return known.select(*COLUMNS, DAY, (F.col(OUTCOME) == ACCEPTED).alias(STANDS))


def late_rows(spark: SparkSession, events: Iterable[dict]) -> DataFrame:
    late = with_row_outcomes(spark, (row for row in events if row["delivered"] > DATE))
    return late.where(F.col(OUTCOME) == LATE).withColumn(RELEASED, F.lit(False)).coalesce(2)


@pytest.fixture(scope="module")
def in_one_pass(spark: SparkSession, events: list[dict], first_day: DataFrame) -> DataFrame:
    """The three late deliveries in one pass."""
    resolved = resolve_late_rows(late_rows(spark, events), context_of(first_day), RULES)
    return resolved.localCheckpoint()


def past(first_day: DataFrame, resolved: DataFrame, upto: dt.date) -> Counter[Act]:
    """What a reader sees: accepted, without what was taken back."""
    so_far = resolved.where(F.col(AS_OF) <= F.lit(upto))
    seen = acts(first_day.where(F.col(OUTCOME) == ACCEPTED))
    seen += acts(so_far.where(F.col(LATE_OUTCOME).isin(ACCEPTED, RESTORED)))
    seen.subtract(acts(so_far.where(F.col(LATE_OUTCOME) == RETRACTED)))
    assert min(seen.values()) >= 0
    return +seen


def test_late_data_equals_on_time_data(
    on_time: DataFrame, first_day: DataFrame, in_one_pass: DataFrame
) -> None:
    assert past(first_day, in_one_pass, DELIVERIES[-1]) == acts(
        on_time.where(F.col(OUTCOME) == ACCEPTED)
    )


def test_the_trials_have_what_they_are_about(in_one_pass: DataFrame) -> None:
    """Rows are taken back and restored, for every reason that there is."""
    rows = in_one_pass.groupBy(LATE_OUTCOME, REASON).count().collect()
    found = {(row[LATE_OUTCOME], row[REASON]) for row in rows}
    assert {
        (RETRACTED, "bot"),
        (RETRACTED, "near_duplicate"),
        (RETRACTED, "event_id_conflict"),
        (REMOVED, "duplicate"),
        (REMOVED, "bot"),
        (REMOVED, "near_duplicate"),
        ("quarantined", "event_id_conflict"),
        (RESTORED, None),
        (ACCEPTED, None),
    } <= found


def test_every_late_row_has_one_outcome(events: list[dict], in_one_pass: DataFrame) -> None:
    new = in_one_pass.where(F.col(LATE_OUTCOME).isin(ACCEPTED, REMOVED, "quarantined"))
    late = Counter((row["user_id"], row["event_id"]) for row in events if row["delivered"] > DATE)
    assert Counter((a, b) for a, b, *_ in acts(new).elements()) == late


def test_deliveries_one_by_one_equal_one_pass(
    spark: SparkSession, events: list[dict], first_day: DataFrame, in_one_pass: DataFrame
) -> None:
    """Each delivery says the same, whether it is resolved with the later ones or before them."""
    alone = step_by_step(spark, events, first_day)
    recorded = (ACCEPTED, RESTORED, RETRACTED)
    for delivery, resolved in alone.items():
        at_once = in_one_pass.where(F.col(AS_OF) == F.lit(delivery))
        for outcome in recorded:
            one, other = (
                frame.where(F.col(LATE_OUTCOME) == outcome) for frame in (resolved, at_once)
            )
            assert acts(one) == acts(other), (delivery, outcome)


def step_by_step(
    spark: SparkSession, events: list[dict], first_day: DataFrame
) -> dict[dt.date, DataFrame]:
    known = context_of(first_day)
    by_delivery = {}
    for delivery in DELIVERIES[1:]:
        late = late_rows(spark, (row for row in events if row["delivered"] == delivery))
        touched = late.select("user_id").distinct()
        resolved = resolve_late_rows(late, known.join(touched, "user_id", "left_semi"), RULES)
        resolved = resolved.localCheckpoint()
        by_delivery[delivery] = resolved
        known = _with(known, resolved, delivery).localCheckpoint()
    return by_delivery


def _with(known: DataFrame, resolved: DataFrame, delivery: dt.date) -> DataFrame:
    """The context of the next delivery, as `late_context` reads it from what is written."""
    taken_back = resolved.where(F.col(LATE_OUTCOME) == RETRACTED).select("user_id", "event_id")
    before = known.join(taken_back.withColumn("back", F.lit(True)), ["user_id", "event_id"], "left")
    before = before.withColumn(STANDS, F.col(STANDS) & F.col("back").isNull()).drop("back")
    good = F.col(LATE_OUTCOME).isin(ACCEPTED, RESTORED)
    kept = (F.col(LATE_OUTCOME) == REMOVED) & F.col(REASON).isin(*RESTORABLE_RULES)
    now = resolved.where(good | kept).select(
        *COLUMNS, F.lit(delivery).alias(DAY), good.alias(STANDS)
    )
    return before.select(*now.columns).unionByName(now)
