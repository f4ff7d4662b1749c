"""The words of an item: told apart from others', free of addresses and numbers."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import check_columns, spark_schema
from pipeline.histories.item_words import item_words
from tests.histories.conftest import DAY, review

TIME = "2026-03-01 08:00"


def said(number: int, item_id: str, text: str, **more: Any) -> dict[str, Any]:
    row = review(f"u{number}", item_id, TIME, review_id=str(number), text=text, language="en")
    return row | {"run_date": DAY} | more


def words(
    spark: SparkSession,
    rows: list[dict[str, Any]],
    titles: dict[str, str] | None = None,
    most: int = 9,
) -> dict[tuple[str, str], list[str]]:
    schema = spark_schema(load_contract("cleaned_reviews")).add("run_date", "date")
    reviews = spark.createDataFrame(
        [[row.get(name) for name in schema.names] for row in rows], schema
    )
    catalogue = spark.createDataFrame(
        [(item_id, title, None) for item_id, title in (titles or {}).items()],
        "item_id string, title string, brand string",
    )
    made = item_words(reviews, catalogue, night=DAY, words_per_item=most)
    check_columns(made, load_contract("item_words"))
    return {(row["item_id"], row["language"]): row["words"] for row in made.collect()}


def test_words_of_an_item_more_than_of_others_come_first(spark: SparkSession) -> None:
    rows = [
        said(1, "kettle", "Quiet and sturdy."),
        said(2, "kettle", "So quiet, and it boils fast"),
        said(3, "lamp", "bright, sturdy"),
        said(4, "lamp", "bright light"),
        said(5, "rug", "sturdy, light"),
    ]
    found = words(spark, rows)
    assert found["kettle", "en"] == ["quiet", "sturdy"]
    assert found["lamp", "en"] == ["bright", "light", "sturdy"]
    # `light` is on two of three items and `sturdy` on all; `boils` and `fast` were said once.
    assert found["rug", "en"] == ["light", "sturdy"]
    assert words(spark, rows[::-1]) == found
    assert words(spark, rows, most=1)["lamp", "en"] == ["bright"]


def test_what_is_read_and_what_is_cut_out(spark: SparkSession) -> None:
    texts = {
        "e-mail": "write to jane.doe@example.com today",
        "prices": "only £19.99 or 20€ or USD30, model A4x",
        "address": "see https://shop.example/sale?x=quiet and www.example.com",
        "placeholder": "call [phone] or <email>",
        "stop words": "this is the best product and I love it",
        "short": "ok to go",
        "apostrophes": "the children’s 'favourite' ones don't",
        "accents": "Größe passt über fünf",
    }
    rows = [
        said(2 * number + half, name, text, language="de" if name == "accents" else "en")
        for number, (name, text) in enumerate(texts.items())
        for half in (0, 1)
    ]
    found = words(spark, rows)
    assert {name: sorted(kept) for (name, _), kept in found.items()} == {
        "e-mail": ["today", "write"],
        "prices": ["model"],
        "placeholder": ["call"],
        "apostrophes": ["children's", "favourite"],
        "accents": ["fünf", "größe", "passt"],
    }


def test_only_satisfied_reviews_up_to_the_night_each_once(spark: SparkSession) -> None:
    again = said(1, "a", "sturdy", run_date=DAY - dt.timedelta(days=1))
    rows = [
        said(1, "a", "sturdy"),
        again,
        said(2, "b", "wobbly", rating=3.5),
        said(3, "c", "wobbly", rating=3.0),
        said(4, "d", "future", review_date=DAY + dt.timedelta(days=1)),
        said(5, "e", "future", review_date=DAY + dt.timedelta(days=1)),
    ]
    assert words(spark, rows) == {}, "`sturdy` was said once, delivered twice"
    assert words(spark, [*rows, said(6, "z", "sturdy", rating=4.0)]) == {
        ("a", "en"): ["sturdy"],
        ("z", "en"): ["sturdy"],
    }


def test_chinese_comes_in_short_clauses(spark: SparkSession) -> None:
    rows = [
        said(
            1, "k", "很安静，做工好！用了3天，这个水壶真的是我买过的最好的一个。", language="zh-CN"
        ),
        said(2, "k", "很安静。Sturdy，做工好", language="zh"),
        said(3, "l", "很亮，sturdy", language="zh"),
        said(4, "l", "很亮", language=None),
        said(5, "m", "很亮", language=None),
    ]
    found = words(spark, rows)
    assert found["k", "zh"] == ["做工好", "很安静", "sturdy"]
    assert found["l", "zh"] == ["sturdy"]
    assert found["m", "und"] == ["很亮"]


def test_the_items_own_title_is_not_a_word_of_it(spark: SparkSession) -> None:
    rows = [said(1, "a", "sturdy kettle"), said(2, "b", "sturdy kettle")]
    found = words(spark, rows, {"a": "Acme KETTLE 2000"})
    assert found == {("a", "en"): ["sturdy"], ("b", "en"): ["kettle", "sturdy"]}


def test_hostile_strings(spark: SparkSession, shared_data: Path) -> None:
    naughty = json.loads((shared_data / "hostile_strings" / "blns.json").read_text("utf-8"))
    texts = [text.replace("\x00", "") for text in naughty if text.strip()]
    rows = [
        said(2 * number + half, f"i{number % 9}", text, language=None if number % 2 else "en")
        for number, text in enumerate(texts)
        for half in (0, 1)
    ]
    found = words(spark, rows, most=1000)
    kept = {word for row in found.values() for word in row}
    assert len(kept) > 100
    for word in kept:
        assert 2 <= len(word) <= 24
        assert not any(letter.isdigit() or letter in "@<>[]\x00\x1b" for letter in word), word
