"""Languages: the retailer's tag, the text, and when which is believed."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.night import clean_night
from pipeline.generation.reasons.reason_writer import pairs_of
from pipeline.generation.reasons.voice import read_voice
from pipeline.histories.review_phrases import extract_phrases
from pipeline.lake import Lake, Run
from pipeline.language_tag import UNKNOWN
from pipeline.reviews.language import detected_language, language_of
from pipeline.settings import Reasons, Settings
from pipeline.simulator.shop import simulate_shop
from pipeline.training.rows.reason_rows import read_reviews
from tests.lake_rows import read_rows


def test_the_simulators_reviews_are_told_apart(tmp_path: Path) -> None:
    simulate_shop(tmp_path, users=200, items=60, days=25, seed=5, dirt=0.0)
    right: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for file in sorted(tmp_path.glob("date=*/reviews.jsonl")):
        for line in file.read_text("utf-8").splitlines():
            review = json.loads(line)
            if review["lang"]:
                seen[review["lang"]] += 1
                right[review["lang"]] += detected_language(review["body"]) == review["lang"]
    assert set(seen) == {"de", "en", "es", "zh"}
    assert {name: n for name, n in seen.items() if right[name] < 0.95 * n} == {}


def test_real_english_reviews_are_english(shared_data: Path) -> None:
    with (shared_data / "musical_instruments" / "reviews.csv").open(encoding="utf-8") as file:
        found = Counter(detected_language(row["reviewText"]) for row in csv.DictReader(file))
    assert found["en"] >= 0.95 * found.total()
    assert found.total() - found["en"] - found[UNKNOWN] <= 0.005 * found.total()


LONG_GERMAN = (
    "Der Akku hält zwei Tage und der Bildschirm ist hell. Die Lieferung kam schnell, "
    "und auch nach drei Wochen bin ich mit dem Gerät rundum zufrieden."
)


@pytest.mark.parametrize(
    ("tag", "text", "expected"),
    [
        ("en-GB", "good", "en"),
        ("zh-Hans-CN", "好", "zh"),
        (None, "good", UNKNOWN),
        ("", "12345 !!! [phone] ☎☎☎", UNKNOWN),
        (None, "音质非常好，电池很耐用", "zh"),
        (None, "I like the sound of this guitar very much.", "en"),
        ("???", LONG_GERMAN, "de"),
        ("english", "good", UNKNOWN),
        ("english", LONG_GERMAN, "de"),
        (" de", "gut", "de"),
        ("en", LONG_GERMAN, "de"),
        ("en", "Der Akku ist gut", "en"),
    ],
)
def test_the_tag_stands_unless_the_text_leaves_no_doubt(
    tag: str | None, text: str, expected: str
) -> None:
    assert language_of(tag, text) == expected


def test_hostile_strings_have_some_language(shared_data: Path) -> None:
    naughty = json.loads((shared_data / "hostile_strings" / "blns.json").read_text("utf-8"))
    for text in [*naughty, "\ud800", "", "\x00" * 50, "x" * 100_000]:
        language = detected_language(text)
        assert language == detected_language(text)
        assert language.islower()
        assert 2 <= len(language) <= 3


DAY = dt.date(2026, 3, 1)
REVIEWS_ONLY = """
source: reviews
description: Reviews with a tag or without.
datasets:
  reviews:
    files: "{date}.jsonl"
    format: jsonl
    columns: [n, at, who, sku, stars, title, text, tag]
    map: {review_id: n, review_time: at, user_id: who, item_id: sku, rating: stars, title: title,
          text: text, language: tag}
"""


def test_a_review_has_one_language_from_cleaning_to_the_words_asked_for(
    spark: SparkSession, settings: Settings, lake: Lake, tmp_path: Path
) -> None:
    """The language of a review's phrases, of its training rows, and of whom they are shown to."""
    (tmp_path / "shop.yaml").write_text(REVIEWS_ONLY)
    shop = dataclasses.replace(settings.shop, source=str(tmp_path / "shop.yaml"))
    given = [
        # tag, title, text, the shopper it is written for, its language
        (" de", None, "Der Deckel ist leise.", "de-AT", "de"),
        ("EN_us", None, "The lid is quiet.", "en", "en"),
        ("english", None, "Quiet lid.", "english", UNKNOWN),
        ("english", None, "The lid of this kettle is quiet, and I like it.", "en_GB", "en"),
        # The title alone says what it is in.
        (None, "The quiet lid of a kettle that I use every morning", "Lid!", " EN", "en"),
    ]
    raw = Path(settings.paths.raw)
    raw.mkdir()
    with (raw / f"{DAY}.jsonl").open("w", encoding="utf-8") as file:
        for n, (tag, title, text, _, _) in enumerate(given):
            row = {"n": f"r{n}", "at": f"{DAY}T10:00:00Z", "who": f"u{n}", "sku": f"i{n}"}
            row |= {"stars": 5, "title": title, "text": text, "tag": tag}
            file.write(json.dumps(row) + "\n")
    settings = dataclasses.replace(settings, shop=shop)
    clean_night(spark, settings, lake, Run(DAY, "R"))
    extract_phrases(spark, lake, Run(DAY, "R"), 2, settings.reviews)
    of_phrases = {
        (row["item_id"], row["language"]) for row in read_rows(lake, "review_phrases", DAY)
    }
    everybody = {row["user_id"] for row in read_rows(lake, "cleaned_reviews", DAY)}
    of_training = {
        (review.item_id, review.language) for review in read_reviews(lake, DAY, everybody)
    }
    lists = {
        "item_ids": [[f"i{n}"] for n in range(len(given))],
        "language": [shopper for *_, shopper, _ in given],
    }
    expected = {(f"i{n}", language) for n, (*_, language) in enumerate(given)}
    assert of_phrases == of_training == expected
    # Nothing is written to whom nobody knows how to address.
    known = {pair for pair in expected if pair[1] != UNKNOWN}
    assert pairs_of(pa.table(lists), read_voice(Reasons())) == known
