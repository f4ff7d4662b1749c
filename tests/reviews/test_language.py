"""Languages: the retailer's tag, the text, and when which is believed."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from pipeline.reviews.language import UNKNOWN, detected_language, language_of
from pipeline.simulator.shop import simulate_shop


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
