"""There is something to learn: order, companions, tastes, and reviews that mean what they say."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.simulator.lexicon import LANGUAGES, VERDICTS, load_lexicon

Purchases = dict[str, list[str]]


@pytest.fixture(scope="module")
def purchases(clean_shop: Path) -> Purchases:
    """Per user, what was bought for the first time, in order."""
    bought: Purchases = defaultdict(list)
    for path in sorted(clean_shop.glob("date=*/events.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            if event["type"] == "purchase" and event["item"] not in bought[event["user"]]:
                bought[event["user"]].append(event["item"])
    return bought


@pytest.fixture(scope="module")
def ties(clean_shop: Path) -> dict[str, dict[str, set[str]]]:
    """The true ties: kind -> item -> what goes with it."""
    then: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in pq.read_table(clean_shop / "_truth" / "complements.parquet").to_pylist():
        then[row["kind"]][row["item"]].add(row["then"])
    return then


def hit_rate(purchases: Purchases, cases: list[tuple[str, int]], contexts: int) -> float:
    """How often the purchase at a (user, position) is among the three most often seen there.

    `contexts` 0 is popularity, 1 is first-order Markov; 2 adds what follows the purchase before
    the last. The purchase itself is not counted.
    """
    popularity: Counter[str] = Counter()
    follows: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    for items in purchases.values():
        popularity.update(items)
        for at, item in enumerate(items):
            for back in range(1, min(contexts, at) + 1):
                follows[back, items[at - back]][item] += 1
    hits = 0
    for user, at in cases:
        items = purchases[user]
        score = {item: n / popularity.total() / 100 for item, n in popularity.items()}
        for back in range(1, contexts + 1):
            after = follows[back, items[at - back]].copy()
            after[items[at]] -= 1
            for item, n in after.items():
                score[item] += n / (after.total() + 1)
        allowed = [item for item in score if item not in items[:at]]
        hits += items[at] in sorted(allowed, key=lambda item: (-score[item], item))[:3]
    return hits / len(cases)


def test_first_order_markov_beats_popularity(purchases: Purchases) -> None:
    last = [(user, len(items) - 1) for user, items in purchases.items() if len(items) > 2]
    assert hit_rate(purchases, last, 1) > 3 * hit_rate(purchases, last, 0)


def test_two_steps_beat_one_where_a_chain_is_under_way(
    purchases: Purchases, ties: dict[str, dict[str, set[str]]]
) -> None:
    chains = [
        (user, at)
        for user, items in purchases.items()
        for at in range(2, len(items))
        if items[at - 1] in ties["partner"][items[at - 2]]
    ]
    assert len(chains) > 200
    assert hit_rate(purchases, chains, 2) > 1.2 * hit_rate(purchases, chains, 1)


def test_companions_are_told_by_the_purchase_before_the_last(
    purchases: Purchases, ties: dict[str, dict[str, set[str]]]
) -> None:
    """After phone and case, it is the phone that says which charger."""
    by_first = total = 0
    for items in purchases.values():
        for first, second, third in zip(items, items[1:], items[2:], strict=False):
            if second in ties["partner"][first] and ties["companion"][first]:
                total += 1
                by_first += third in ties["companion"][first]
    assert total > 200
    assert by_first / total > 0.35


def test_volumes_are_bought_in_order(
    purchases: Purchases, ties: dict[str, dict[str, set[str]]]
) -> None:
    after = {item: next(iter(then)) for item, then in ties["volume"].items()}
    in_order = backwards = 0
    for items in purchases.values():
        for item in items:
            if after.get(item) in items:
                ordered = items.index(after[item]) > items.index(item)
                in_order += ordered
                backwards += not ordered
    assert in_order > 3 * max(backwards, 10)


def test_popularity_has_a_long_tail(purchases: Purchases) -> None:
    counts = np.sort(list(Counter(item for items in purchases.values() for item in items).values()))
    top_fifth = counts[-len(counts) // 5 :].sum() / counts.sum()
    assert 0.35 < top_fifth < 0.9


def test_stars_and_words_follow_quality(clean_shop: Path) -> None:
    items = {
        row["item"]: row
        for row in pq.read_table(clean_shop / "_truth" / "items.parquet").to_pylist()
    }
    lexicons = {code: load_lexicon(code) for code in LANGUAGES}
    quality, stars, praised, blamed = [], [], [], []
    for path in clean_shop.glob("date=*/reviews.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            review = json.loads(line)
            of_item = dict(items[review["item"]]["aspect_quality"])
            quality.append(np.mean(list(of_item.values())))
            stars.append(review["stars"])
            if review["lang"] is None:
                continue
            body = review["body"].lower()
            for aspect, value in of_item.items():
                words = lexicons[review["lang"]].aspects[aspect]
                if any(clause.lower() in body for clause in words.praise):
                    praised.append(value)
                if any(clause.lower() in body for clause in words.blame):
                    blamed.append(value)
    assert len(stars) > 300
    assert np.corrcoef(quality, stars)[0, 1] > 0.4
    assert np.mean(praised) > 0.5
    assert np.mean(blamed) < -0.2
    assert len(set(stars)) == 5


@pytest.mark.parametrize("code", LANGUAGES)
def test_languages_have_the_same_words(code: str) -> None:
    english, words = load_lexicon("en"), load_lexicon(code)
    assert words.code == code
    assert words.categories.keys() == english.categories.keys()
    assert words.aspects.keys() == english.aspects.keys()
    for aspect in words.aspects.values():
        assert len(aspect.praise) >= 3
        assert len(aspect.blame) >= 2
        assert not set(aspect.praise) & set(aspect.blame)
    for table in (words.openers, words.closers, words.headlines):
        assert set(table) == set(VERDICTS)
        assert all(table.values())


def test_like_opinions_are_joined_by_and_unlike_ones_by_but() -> None:
    words = load_lexicon("en")
    assert (
        words.sentences(["the battery lasts two days", "the screen is bright"], [True, True])
        == "The battery lasts two days and the screen is bright."
    )
    assert (
        words.sentences(["the fit is perfect", "the zipper gets stuck"], [True, False])
        == "The fit is perfect, but the zipper gets stuck."
    )
    chinese = load_lexicon("zh")
    assert (
        chinese.sentences(["屏幕很亮", "充电很快", "太滑了"], [True, True, False])
        == "屏幕很亮，充电很快。太滑了。"
    )
