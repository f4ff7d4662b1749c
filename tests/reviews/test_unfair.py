"""Copied texts and review bombs, over the days that reviews were written on."""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipeline.reviews.unfair import BOMB, COPIED, UNFAIR_RULE, text_hash, with_unfair_rule
from pipeline.settings import Reviews

DAY = dt.date(2026, 3, 1)
COLUMNS = (
    "review_id string, user_id string, item_id string, review_date date, rating double, "
    "text_hash bigint"
)
LIMITS = Reviews(
    copied_min_reviews=3, bomb_min_reviews=4, bomb_times_usual=4.0, bomb_extreme_share=0.75
)


def row(n: int, item: str = "", day: int = 0, stars: float = 1.0, **more: Any) -> tuple[Any, ...]:
    made = {"user_id": f"u{n}", "item_id": item or f"i{n}", "text_hash": None} | more
    date = DAY + dt.timedelta(days=day)
    return f"r{n}", made["user_id"], made["item_id"], date, stars, made["text_hash"]


def unfair(spark: SparkSession, rows: list[tuple[Any, ...]]) -> dict[str, str]:
    """The reviews that are left out, by rule; the order of the rows must not matter."""
    found = []
    for ordered in (rows, rows[::-1]):
        frame = with_unfair_rule(spark.createDataFrame(ordered, COLUMNS).repartition(2), LIMITS)
        found.append(
            {made["review_id"]: made[UNFAIR_RULE] for made in frame.collect() if made[UNFAIR_RULE]}
        )
    assert found[0] == found[1]
    return found[0]


def test_a_text_in_many_reviews_stays_once(spark: SparkSession) -> None:
    by_many = [row(n, day=-n, text_hash=1) for n in range(3)]
    by_one = [row(10 + n, user_id="x", text_hash=2) for n in range(3)]
    twice = [row(20 + n, text_hash=3) for n in range(2)]
    short = [row(30 + n) for n in range(3)]
    found = unfair(spark, [*by_many, *by_one, *twice, *short])
    assert found == dict.fromkeys(("r0", "r1", "r11", "r12"), COPIED), "the earliest stays"


def test_a_day_out_of_all_proportion(spark: SparkSession) -> None:
    bombed = [row(n, "a") for n in range(4)]
    mixed = [row(10 + n, "b", stars=1.0 + n) for n in range(4)]
    # Two a day for a week, then seven: less than four times as many.
    popular = [row(20 + n, "c", day=-1 - n // 2) for n in range(14)]
    popular += [row(40 + n, "c") for n in range(7)]
    # One in ten days before, then four.
    quiet = [row(60, "d", day=-10), *(row(61 + n, "d") for n in range(4))]
    prolific = [row(70 + n, user_id="z", stars=5.0) for n in range(4)]
    few = [row(80 + n, "e") for n in range(3)]
    found = unfair(spark, [*bombed, *mixed, *popular, *quiet, *prolific, *few])
    bombs = [*range(4), *range(61, 65), *range(70, 74)]
    assert found == {f"r{n}": BOMB for n in bombs}


def test_the_same_letters_are_the_same_text() -> None:
    assert text_hash("Great fan, it's quiet!", 10) == text_hash("great FAN  its quiet", 10)
    assert text_hash("Great fan", 10) is None
    assert text_hash("Great fans it is", 10) != text_hash("Great fan it is", 10)
    assert text_hash("\ud800" * 3 + "质" * 20, 10) is not None


def test_real_reviews_are_hardly_touched(spark: SparkSession, shared_data: Path) -> None:
    limits = Reviews()
    with (shared_data / "musical_instruments" / "reviews.csv").open(encoding="utf-8") as file:
        rows = [
            (
                str(n),
                review["reviewerID"],
                review["asin"],
                dt.datetime.fromtimestamp(int(review["unixReviewTime"]), dt.UTC).date(),
                float(review["overall"]),
                text_hash(review["reviewText"], limits.copied_min_characters),
            )
            for n, review in enumerate(csv.DictReader(file))
        ]
    left_out = with_unfair_rule(spark.createDataFrame(rows, COLUMNS), limits).where(
        f"{UNFAIR_RULE} IS NOT NULL"
    )
    assert left_out.count() <= 0.002 * len(rows)
