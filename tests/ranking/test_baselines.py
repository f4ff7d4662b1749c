"""Baselines against counting by hand."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.transitions import TransitionShape
from pipeline.ranking.baselines import FIRST_ORDER, ITEM_KNN, fit_markov, fit_popularity

HISTORIES = [[0, 1, 2], [0, 1], [3], [], [1, 2, 1]]
ALL = [[True] * len(row) for row in HISTORIES]
SHARE = np.array([2, 4, 2, 1, 0]) / 9


def test_popularity_by_hand() -> None:
    popularity = fit_popularity(HISTORIES, ALL, 5)
    np.testing.assert_allclose(popularity.scores([[], [1]]), [SHARE, SHARE])


def test_popularity_counts_targets_where_there_are_any() -> None:
    targets = [[False, False, True], [False, True], [False], [], [False, False, False]]
    np.testing.assert_allclose(
        fit_popularity(HISTORIES, targets, 5).scores([[0]])[0], np.array([0, 1, 1, 0, 0]) / 2
    )
    nothing = [[False] * len(row) for row in HISTORIES]
    np.testing.assert_allclose(fit_popularity(HISTORIES, nothing, 5).scores([[]])[0], SHARE)


def test_markov_by_hand() -> None:
    popularity = fit_popularity(HISTORIES, ALL, 5)
    shape = TransitionShape(window=2, age_decay=0.5)
    markov = fit_markov(HISTORIES, popularity, 5, shape)
    # 1 came after 0 twice, 2 after 1 twice, 1 after 2 once, and 2 once two events after 0.
    after_1 = np.array([0, 0, math.log(3), 0, 0])
    after_0 = np.array([0, math.log(3), math.log(1 + 1 / math.sqrt(2)), 0, 0])
    found = markov.scores([[0, 1], [1, 3], [3], []])
    both = after_1 + 0.5 * after_0
    np.testing.assert_allclose(found[0], (both + SHARE) / (both.sum() + 1))
    np.testing.assert_allclose(found[1], (0.5 * after_1 + SHARE) / (0.5 * math.log(3) + 1))
    np.testing.assert_allclose(found[2:], [SHARE, SHARE])
    shares, counted = markov.scores_and_counted([[0, 1], [1, 3], [3], []])
    np.testing.assert_array_equal(shares, found)
    np.testing.assert_array_equal(counted, [both > 0, after_1 > 0, [False] * 5, [False] * 5])


def test_item_knn_by_hand() -> None:
    popularity = fit_popularity(HISTORIES, ALL, 5)
    item_knn = fit_markov(HISTORIES, popularity, 5, ITEM_KNN)
    # Users: 0 has two, 1 three, 2 two; 0 with 1 two, 0 with 2 one, 1 with 2 two.
    of_0 = np.array([1, 2 / math.sqrt(6), 1 / 2, 0, 0])
    of_1 = np.array([2 / math.sqrt(6), 1, 2 / math.sqrt(6), 0, 0])
    both = of_0 + of_1
    np.testing.assert_allclose(item_knn.scores([[0, 1]])[0], (both + SHARE) / (both.sum() + 1))


def test_the_default_looks_ten_events_ahead() -> None:
    walk = [list(range(12))]
    markov = fit_markov(walk, fit_popularity(walk, [[True] * 12], 12), 12)
    scores = markov.scores([[0]])[0]
    assert scores[10] > scores[11] == scores[0]
    assert np.all(np.diff(scores[1:11]) < 0)


@given(st.lists(st.lists(st.integers(0, 5), max_size=8), max_size=10), st.integers(0, 5))
def test_the_first_order_chain_is_the_count_of_pairs(histories: list[list[int]], last: int) -> None:
    popularity = fit_popularity(histories, [[True] * len(row) for row in histories], 6)
    markov = fit_markov(histories, popularity, 6, FIRST_ORDER)
    pairs = Counter(pair for row in histories for pair in itertools.pairwise(row))
    strength = np.array([0 if item == last else math.log1p(pairs[last, item]) for item in range(6)])
    expected = (strength + popularity.share_I) / (strength.sum() + 1)
    np.testing.assert_allclose(markov.scores([[last], [(last + 1) % 6, last]]), [expected] * 2)
    _, counted = markov.scores_and_counted([[(last + 1) % 6, last]])
    assert counted.tolist() == [(strength > 0).tolist()]


def test_no_users_no_items() -> None:
    assert fit_popularity([], [], 3).scores([[]]).tolist() == [[0.0, 0.0, 0.0]]
    popularity = fit_popularity([], [], 0)
    assert fit_markov([], popularity, 0).scores([[]]).tolist() == [[]]
    assert fit_markov([], fit_popularity([], [], 2), 2).scores([]).shape == (0, 2)
