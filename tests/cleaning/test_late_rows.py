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

from pipeline.cleaning.judge import judge
from pipeline.cleaning.late_rows import (
    AS_OF,
    OUTCOME,
    RELEASED,
    RESTORED,
    RETRACTED,
    STANDS,
    judge_late_rows,
)
from pipeline.cleaning.tagging import FATE, KEPT_RULES, LATE, OUT, REASON, REMOVED
from pipeline.settings import Cleaning
from pipeline.sources.readers import DAY
from tests.cleaning.user_days_by_hand import COLUMNS, DATE, event, rules_of, tagged

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
    """Ids that come twice, quick repetitions, and days that are a bot's only when they are whole."""
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
    """All of it judged at once."""
    rows = tagged(spark, (row | {"delivered": DATE} for row in events))
    return judge(rows.repartition(2, "user_id"), RULES).localCheckpoint()


@pytest.fixture(scope="module")
def first_day(spark: SparkSession, events: list[dict]) -> DataFrame:
    """What the day's own delivery says."""
    rows = tagged(spark, (row for row in events if row["delivered"] == DATE))
    return judge(rows.repartition(2, "user_id"), RULES).localCheckpoint()


def acts(rows: DataFrame) -> Counter[Act]:
    columns = ("user_id", "event_id", "event_time", "item_id")
    return Counter(tuple(row) for row in rows.select(*columns).collect())


def context_of(first_day: DataFrame) -> DataFrame:
    """The accepted rows, and those that a rule over the day took out."""
    kept = F.col(REASON).isin(*KEPT_RULES)
    known = first_day.where((F.col(FATE) == OUT) | ((F.col(FATE) == REMOVED) & kept))
    return known.select(*COLUMNS, DAY, (F.col(FATE) == OUT).alias(STANDS))


def late_rows(spark: SparkSession, events: Iterable[dict]) -> DataFrame:
    late = tagged(spark, (row for row in events if row["delivered"] > DATE))
    return late.where(F.col(FATE) == LATE).withColumn(RELEASED, F.lit(False)).coalesce(2)


@pytest.fixture(scope="module")
def in_one_pass(spark: SparkSession, events: list[dict], first_day: DataFrame) -> DataFrame:
    """The three late deliveries in one pass."""
    judged = judge_late_rows(late_rows(spark, events), context_of(first_day), RULES)
    return judged.localCheckpoint()


def past(first_day: DataFrame, judged: DataFrame, upto: dt.date) -> Counter[Act]:
    """What a reader sees: accepted, without what was taken back."""
    said = judged.where(F.col(AS_OF) <= F.lit(upto))
    seen = acts(first_day.where(F.col(FATE) == OUT))
    seen += acts(said.where(F.col(OUTCOME).isin(OUT, RESTORED)))
    seen.subtract(acts(said.where(F.col(OUTCOME) == RETRACTED)))
    assert min(seen.values()) >= 0
    return +seen


def test_late_data_equals_on_time_data(
    on_time: DataFrame, first_day: DataFrame, in_one_pass: DataFrame
) -> None:
    assert past(first_day, in_one_pass, DELIVERIES[-1]) == acts(on_time.where(F.col(FATE) == OUT))


def test_the_trials_have_what_they_are_about(in_one_pass: DataFrame) -> None:
    """Rows are taken back and restored, for every reason that there is."""
    rows = in_one_pass.groupBy(OUTCOME, REASON).count().collect()
    found = {(row[OUTCOME], row[REASON]) for row in rows}
    assert {
        (RETRACTED, "bot"),
        (RETRACTED, "near_duplicate"),
        (RETRACTED, "event_id_conflict"),
        (REMOVED, "duplicate"),
        (REMOVED, "bot"),
        (REMOVED, "near_duplicate"),
        ("quarantined", "event_id_conflict"),
        (RESTORED, None),
        (OUT, None),
    } <= found


def test_every_late_row_has_one_fate(events: list[dict], in_one_pass: DataFrame) -> None:
    new = in_one_pass.where(F.col(OUTCOME).isin(OUT, REMOVED, "quarantined"))
    late = Counter((row["user_id"], row["event_id"]) for row in events if row["delivered"] > DATE)
    assert Counter((a, b) for a, b, *_ in acts(new).elements()) == late


def test_deliveries_one_by_one_equal_one_pass(
    spark: SparkSession, events: list[dict], first_day: DataFrame, in_one_pass: DataFrame
) -> None:
    """Each delivery says the same, whether it is judged with the later ones or before them."""
    said = step_by_step(spark, events, first_day)
    told = (OUT, RESTORED, RETRACTED)
    for delivery, judged in said.items():
        at_once = in_one_pass.where(F.col(AS_OF) == F.lit(delivery))
        for outcome in told:
            one, other = (frame.where(F.col(OUTCOME) == outcome) for frame in (judged, at_once))
            assert acts(one) == acts(other), (delivery, outcome)


def step_by_step(
    spark: SparkSession, events: list[dict], first_day: DataFrame
) -> dict[dt.date, DataFrame]:
    known = context_of(first_day)
    said = {}
    for delivery in DELIVERIES[1:]:
        late = late_rows(spark, (row for row in events if row["delivered"] == delivery))
        touched = late.select("user_id").distinct()
        judged = judge_late_rows(late, known.join(touched, "user_id", "left_semi"), RULES)
        judged = judged.localCheckpoint()
        said[delivery] = judged
        known = _with(known, judged, delivery).localCheckpoint()
    return said


def _with(known: DataFrame, judged: DataFrame, delivery: dt.date) -> DataFrame:
    """The context of the next delivery, as `late_context` reads it from what is written."""
    taken_back = judged.where(F.col(OUTCOME) == RETRACTED).select("user_id", "event_id")
    before = known.join(taken_back.withColumn("back", F.lit(True)), ["user_id", "event_id"], "left")
    before = before.withColumn(STANDS, F.col(STANDS) & F.col("back").isNull()).drop("back")
    good = F.col(OUTCOME).isin(OUT, RESTORED)
    kept = (F.col(OUTCOME) == REMOVED) & F.col(REASON).isin(*KEPT_RULES)
    now = judged.where(good | kept).select(*COLUMNS, F.lit(delivery).alias(DAY), good.alias(STANDS))
    return before.select(*now.columns).unionByName(now)
