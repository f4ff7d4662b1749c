"""Baselines against counting by hand."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.baselines import fit_markov, fit_popularity

HISTORIES = [[0, 1, 2], [0, 1], [3], [], [1, 2, 1]]
ALL = [[True] * len(row) for row in HISTORIES]


def test_popularity_by_hand() -> None:
    popularity = fit_popularity(HISTORIES, ALL, 5)
    np.testing.assert_allclose(popularity.scores([]), np.array([2, 4, 2, 1, 0]) / 9)


def test_popularity_counts_targets_where_there_are_any() -> None:
    targets = [[False, False, True], [False, True], [False], [], [False, False, False]]
    np.testing.assert_allclose(
        fit_popularity(HISTORIES, targets, 5).scores([0]), np.array([0, 1, 1, 0, 0]) / 2
    )
    nothing = [[False] * len(row) for row in HISTORIES]
    np.testing.assert_allclose(
        fit_popularity(HISTORIES, nothing, 5).scores([]), np.array([2, 4, 2, 1, 0]) / 9
    )


def test_markov_by_hand() -> None:
    popularity = fit_popularity(HISTORIES, ALL, 5)
    markov = fit_markov(HISTORIES, popularity, 5)
    share = np.array([2, 4, 2, 1, 0]) / 9
    # After 1 came 2 twice; after 0 came 1 twice; after 3 and 4 never anything.
    np.testing.assert_allclose(markov.scores([3, 1]), (np.array([0, 0, 2, 0, 0]) + share) / 3)
    np.testing.assert_allclose(markov.scores([0]), (np.array([0, 2, 0, 0, 0]) + share) / 3)
    np.testing.assert_allclose(markov.scores([1, 3]), share)
    np.testing.assert_allclose(markov.scores([]), share)
    assert markov.knows([3, 1])
    assert not markov.knows([1, 3])
    assert not markov.knows([])


@given(st.lists(st.lists(st.integers(0, 5), max_size=8), max_size=10), st.integers(0, 5))
def test_markov_is_the_count_of_pairs(histories: list[list[int]], last: int) -> None:
    popularity = fit_popularity(histories, [[True] * len(row) for row in histories], 6)
    scores = fit_markov(histories, popularity, 6).scores([last])
    pairs = Counter(pair for row in histories for pair in itertools.pairwise(row))
    n = sum(count for (first, _), count in pairs.items() if first == last)
    expected = [(pairs[last, item] + popularity.share_I[item]) / (n + 1) for item in range(6)]
    np.testing.assert_allclose(scores, expected)


def test_no_users_no_items() -> None:
    assert fit_popularity([], [], 3).scores([]).tolist() == [0.0, 0.0, 0.0]
    popularity = fit_popularity([], [], 0)
    assert fit_markov([], popularity, 0).scores([]).tolist() == []
