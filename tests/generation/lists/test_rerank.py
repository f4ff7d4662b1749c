"""The shop's rules: by hand, and what holds whatever the rules and the ranking are."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.generation.lists.category_rules import NO_CATEGORY
from pipeline.generation.lists.promotion_slots import PromotedItem
from pipeline.generation.lists.rerank import (
    Pool,
    RerankedList,
    RerankRules,
    rerank,
)

# Items 0 … 7, best first; three of category 0, then others, the last without one.
CATEGORIES = [0, 0, 0, 1, 1, 2, 0, NO_CATEGORY]
SCORES = [-1.0, -1.5, -2.0, -2.5, -3.0, -3.5, -4.0, -4.5]


def reranked(k: int, whole: bool = True, pool: int = 8, **rules: object) -> RerankedList:
    ranked = Pool(list(range(pool)), SCORES[:pool], whole)
    return rerank(ranked, CATEGORIES, RerankRules(**rules), k)  # type: ignore[arg-type]


def test_without_a_rule_it_is_the_ranking() -> None:
    assert reranked(3) == RerankedList([0, 1, 2], [-1.0, -1.5, -2.0], [], True)


def test_a_cap_leaves_out_what_is_too_much_of_one_category() -> None:
    capped = reranked(4, per_category=2)
    assert (capped.items, capped.rules) == ([0, 1, 3, 4], ["category_cap"])
    assert capped.scores == [-1.0, -1.5, -2.5, -3.0]
    assert reranked(2, per_category=2).rules == []  # it changed nothing
    # What has no category is not counted.
    assert rerank(Pool([7, 6], [-1, -2], True), [NO_CATEGORY] * 8, RerankRules(1), 2).items == [
        7,
        6,
    ]


def test_a_cap_gives_way_where_nothing_else_is_left() -> None:
    filled = reranked(8, per_category=1)
    # One of each category and the one without, then the rest by rank.
    assert filled.items == [0, 3, 5, 7, 1, 2, 4, 6]
    assert filled.rules == ["category_cap", "category_cap_lifted"]


def test_diversity_weighs_what_is_listed_against_the_score() -> None:
    # After item 0, item 1 counts -1.5 - 0.8 = -2.3; then item 2 -2 - 1.6 = -3.6 and item 3 -2.5.
    assert reranked(3, diversity=0.8).items == [0, 1, 3]
    # At 1.2 item 1 counts -2.7 and item 3 -2.5; then item 1 -2.7, and item 4 -3 - 1.2.
    diverse = reranked(4, diversity=1.2)
    assert diverse.items == [0, 3, 1, 5]
    assert diverse.scores == [-1.0, -2.5, -1.5, -3.5]
    assert diverse.rules == ["diversity"]
    assert reranked(3, diversity=0.1).rules == []


def test_what_was_sent_and_ignored_comes_last() -> None:
    rested = reranked(3, ignored=frozenset({0, 3}))
    assert (rested.items, rested.rules) == ([1, 2, 4], ["no_repeat"])
    needed = reranked(8, ignored=frozenset({0, 3}))
    assert needed.items == [1, 2, 4, 5, 6, 7, 0, 3]
    assert needed.rules == ["no_repeat", "no_repeat_lifted"]
    assert reranked(3, ignored=frozenset({5})).rules == []


def test_a_promotion_gets_its_place_and_counts_for_its_category() -> None:
    promoted = reranked(3, promoted=[PromotedItem("spring", 2, 6)])
    assert promoted.items == [0, 6, 1]
    assert promoted.scores == [-1.0, -4.0, -1.5]
    assert promoted.rules == ["promotion:spring"]
    capped = reranked(3, promoted=[PromotedItem("spring", 2, 6)], per_category=2)
    assert capped.items == [0, 6, 3]
    assert capped.rules == ["category_cap", "promotion:spring"]
    # Where the ranking has it anyway nothing was changed.
    assert reranked(3, promoted=[PromotedItem("spring", 2, 1)]).rules == []


def test_two_promotions_for_one_place_stand_one_after_the_other() -> None:
    both = reranked(
        3, promoted=[PromotedItem("a", 1, 5), PromotedItem("b", 1, 6), PromotedItem("c", 3, 5)]
    )
    assert both.items == [5, 6, 0]
    assert both.rules == ["promotion:a", "promotion:b"]


def test_a_promoted_item_beyond_the_pool_has_the_lists_last_score() -> None:
    beyond = reranked(2, whole=False, pool=4, promoted=[PromotedItem("new", 1, 7)])
    assert (beyond.items, beyond.scores) == ([7, 0], [-1.5, -1.0])


def test_rules_that_only_together_change_a_list_are_all_named() -> None:
    # Item 1 is ignored and of a full category; without either rule the other still keeps it out.
    ranked = Pool([0, 1, 3], [-1.0, -1.5, -2.5], True)
    both = rerank(ranked, CATEGORIES, RerankRules(1, 0.0, frozenset({1})), 2)
    assert both.items == [0, 3]
    assert both.rules == ["category_cap", "no_repeat"]


def test_a_pool_that_is_too_short_says_so() -> None:
    assert not reranked(4, whole=False, pool=4, per_category=2).settled
    assert reranked(3, whole=False, pool=4, per_category=2).settled
    # An item below the pool could have -4 without a penalty, and so could be better than -2.9.
    assert not reranked(3, whole=False, pool=3, diversity=1.3).settled


@pytest.mark.parametrize("seed", range(60))
def test_whatever_the_rules_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(1, 40)), int(rng.integers(1, 12))
    categories = rng.integers(-1, 5, 60).tolist()
    items = rng.permutation(60)[:n].tolist()
    scores = np.sort(rng.normal(size=n))[::-1].tolist()
    cap, diversity = int(rng.integers(0, 4)), float(rng.choice([0.0, 0.3, 2.0]))
    ignored = frozenset(rng.choice(60, int(rng.integers(0, 30)), replace=False).tolist())
    slots = rng.integers(1, k + 1, int(rng.integers(0, 3))).tolist()
    wanted = [item for item in rng.permutation(60).tolist() if item not in ignored]
    promoted = [PromotedItem(f"p{i}", slot, wanted[i]) for i, slot in enumerate(slots)]
    rules = RerankRules(cap, diversity, ignored, promoted)
    whole = rerank(Pool(items, scores, True), categories, rules, k)
    assert whole.settled
    assert len(set(whole.items)) == len(whole.items) == len(whole.scores)
    assert set(whole.items) <= {*items, *(one.item for one in promoted)}
    assert len(whole.items) == min(k, len({*items, *(one.item for one in promoted[:k])}))
    if "category_cap_lifted" not in whole.rules and cap:
        fixed = [one.item for one in promoted]
        for category in range(5):
            chosen = [i for i in whole.items if categories[i] == category and i not in fixed]
            taken = sum(categories[i] == category for i in whole.items)
            assert not chosen or taken <= cap
    if not set(whole.rules) & {"no_repeat_lifted", "category_cap_lifted"}:
        assert not ignored & set(whole.items)
    for one in promoted[:1]:
        if len(whole.items) >= one.slot:
            assert whole.items[one.slot - 1] == one.item
    # A shorter pool that calls itself settled gives the same list.
    for size in range(1, n):
        part = rerank(Pool(items[:size], scores[:size], False), categories, rules, k)
        if part.settled:
            assert part.items == whole.items
