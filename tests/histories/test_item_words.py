"""The words of an item: praised, told apart from others', each review once."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import check_columns, spark_schema
from pipeline.histories.item_words import item_words, standing_phrases
from pipeline.histories.past import read_past
from pipeline.histories.review_phrases import extract_phrases
from pipeline.lake import Lake, Run
from pipeline.settings import Reviews
from tests.histories.conftest import DAY, review
from tests.lake_rows import user_id_of, write_rows

BEFORE = DAY - dt.timedelta(days=1)
TIME = "2026-03-01 08:00"
RETRACTION = "dataset string, user_id string, event_id string, run_date date"


def phrases_of(number: int, item_id: str, *phrases: str, **more: Any) -> list[dict[str, Any]]:
    """The phrases of a review, each about its last word."""
    row = {
        "review_id": f"r{number}",
        "user_id": user_id_of(f"u{number}"),
        "item_id": item_id,
        "review_date": DAY,
        "rating": 4.0,
        "text_hash": None,
        "language": "en",
        "polarity": 1,
        "run_date": DAY,
    }
    return [row | {"phrase": phrase, "aspect": phrase.split()[-1]} | more for phrase in phrases]


def words(
    spark: SparkSession,
    rows: list[list[dict[str, Any]]],
    titles: dict[str, str] | None = None,
    most: int = 9,
    retracted: list[tuple[Any, ...]] | None = None,
) -> dict[tuple[str, str], dict[str, Any]]:
    schema = spark_schema(load_contract("review_phrases")).add("run_date", "date")
    phrases = spark.createDataFrame(
        [[row[name] for name in schema.names] for review_rows in rows for row in review_rows],
        schema,
    )
    catalogue = spark.createDataFrame(
        [(item_id, title, None) for item_id, title in (titles or {}).items()],
        "item_id string, title string, brand string",
    )
    taken_back = spark.createDataFrame(retracted or [], RETRACTION)
    standing = standing_phrases(phrases, taken_back, DAY, Reviews(copied_min_reviews=3))
    made = item_words(standing, catalogue, words_per_item=most)
    check_columns(made, load_contract("item_words"))
    return {(row["item_id"], row["language"]): row.asDict(recursive=True) for row in made.collect()}


def test_each_aspect_is_told_by_its_best_phrase_most_telling_first(spark: SparkSession) -> None:
    rows = [
        phrases_of(1, "kettle", "low noise", "noise", "lid"),
        phrases_of(2, "kettle", "low noise", "boils fast"),
        phrases_of(3, "lamp", "bright light", "lid", "noise"),
        phrases_of(4, "lamp", "bright light", "light"),
        phrases_of(5, "lamp", "lid", polarity=-1),
        phrases_of(6, "rug", "light"),
    ]
    found = words(spark, rows)
    # `boils fast` is in one review. `noise` has 1 ln(1 + 3/2), `low noise` 1.5 x 2 ln(1 + 3/1).
    assert found["kettle", "en"]["words"] == ["low noise", "lid"]
    assert found["kettle", "en"]["aspects"] == [
        {"aspect": "noise", "phrase": "low noise", "praised": 2, "blamed": 0},
        {"aspect": "lid", "phrase": "lid", "praised": 1, "blamed": 0},
    ]
    assert found["kettle", "en"]["n_reviews"] == 2
    # The lamp's lid is blamed as often as it is praised.
    assert found["lamp", "en"]["words"] == ["bright light", "noise"]
    assert found["lamp", "en"]["n_reviews"] == 3
    assert words(spark, rows[::-1]) == found
    assert words(spark, rows, most=1)["lamp", "en"]["words"] == ["bright light"]


def test_each_review_once_none_of_the_future_none_taken_back(spark: SparkSession) -> None:
    rows = [
        phrases_of(1, "a", "lid"),
        phrases_of(1, "a", "lid", run_date=BEFORE),
        phrases_of(2, "b", "lid", review_date=DAY + dt.timedelta(days=1)),
    ]
    assert words(spark, rows) == {}, "`lid` is in one review, delivered twice"
    more = [*rows, phrases_of(3, "c", "lid", run_date=BEFORE)]
    assert set(words(spark, more)) == {("a", "en"), ("c", "en")}
    # A retraction takes back what was delivered before it, not what came again after it.
    review_id, writer = "r3", user_id_of("u3")
    taken_back = [("reviews", writer, review_id, DAY)]
    assert words(spark, more, retracted=taken_back) == {}
    older = [("reviews", writer, review_id, BEFORE), ("events", writer, review_id, DAY)]
    assert set(words(spark, more, retracted=older)) == {("a", "en"), ("c", "en")}


def test_a_copied_text_counts_once(spark: SparkSession) -> None:
    rows = [phrases_of(n, "a", "quiet fan", text_hash=7) for n in range(3)]
    assert words(spark, rows) == {}, "one review is left, and a phrase needs two"
    rows[2][0]["text_hash"] = 8
    assert words(spark, rows)["a", "en"]["n_reviews"] == 3


def test_the_items_own_title_is_not_a_word_of_it(spark: SparkSession) -> None:
    rows = [phrases_of(n, name, "quiet kettle", "kettle") for n, name in enumerate("ab")]
    rows += [phrases_of(n, "c", "音质 好", "音质", language="zh", aspect="音质") for n in (7, 8)]
    found = words(spark, rows, {"a": "Acme QUIET Kettle 2000", "c": "高音质耳机"})
    assert {pair: row["words"] for pair, row in found.items()} == {
        ("b", "en"): ["quiet kettle"],
        ("c", "zh"): ["音质 好"],
    }


def test_the_texts_of_a_delivery_are_read_once(
    spark: SparkSession, lake: Lake, tmp_path: Path
) -> None:
    def deliver(day: dt.date, run_id: str, *rows: dict[str, Any]) -> None:
        write_rows(lake, "cleaned_reviews", Run(day, run_id), list(rows))

    def phrases_of(night: dt.date) -> set[tuple[Any, ...]]:
        frame = read_past(spark, lake, "review_phrases", night)
        return {(str(row["run_date"]), row["language"], row["phrase"]) for row in frame.collect()}

    quiet = review(
        "u1", "i1", TIME, text="It is so good that the fan has low noise.", language=None
    )
    loud = review("u2", "i1", TIME, text="音质非常好", language="zh-CN")
    deliver(BEFORE, "a", quiet)
    deliver(DAY, "a", loud)
    first = {(str(BEFORE), "en", phrase) for phrase in ("fan", "noise", "low noise")}
    assert extract_phrases(spark, lake, Run(BEFORE, "R"), 2, Reviews()) == 1
    assert phrases_of(BEFORE) == first
    assert extract_phrases(spark, lake, Run(DAY, "R"), 2, Reviews()) == 1, (
        "only the new delivery's review"
    )
    both = first | {(str(DAY), "zh", phrase) for phrase in ("音质", "音质 好")}
    assert phrases_of(DAY) == both
    assert phrases_of(BEFORE) == first
    assert extract_phrases(spark, lake, Run(DAY, "R2"), 2, Reviews()) == 0
    # Cleaned again, with another text; and a delivery in which nothing is left.
    deliver(BEFORE, "b", quiet | {"text": "The lid is tight.", "language": "en"})
    deliver(DAY, "b")
    assert extract_phrases(spark, lake, Run(DAY, "R3"), 2, Reviews()) == 1
    assert phrases_of(DAY) == {(str(BEFORE), "en", phrase) for phrase in ("lid", "tight lid")}
