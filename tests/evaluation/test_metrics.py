"""Metrics against an example computed by hand, and ranking against sorting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.metrics import coverage, mrr, ndcg, recall, target_ranks, top_items

# Five users whose item was put at these ranks; k = 3.
RANKS = np.array([1, 3, 4, 2, 100])


def test_by_hand() -> None:
    assert recall(RANKS, 3) == 3 / 5
    assert ndcg(RANKS, 3) == pytest.approx((1 + 0.5 + 0 + 1 / math.log2(3) + 0) / 5)
    assert ndcg(RANKS, 3) == pytest.approx(0.42618595)
    assert mrr(RANKS, 3) == pytest.approx((1 + 1 / 3 + 0 + 1 / 2 + 0) / 5)
    assert coverage(np.array([[0, 1], [1, 2], [0, 2]]), 6) == 0.5


def test_nobody_to_measure() -> None:
    nobody = np.zeros(0, dtype=np.int64)
    assert recall(nobody, 10) == ndcg(nobody, 10) == mrr(nobody, 10) == 0.0
    assert (
        coverage(np.zeros((0, 10), dtype=np.int64), 5)
        == coverage(np.zeros((1, 0), dtype=np.int64), 0)
        == 0.0
    )


def test_ties_go_to_the_earlier_item() -> None:
    scores = np.array([[0.5, 0.9, 0.5, 0.5, -np.inf]])
    assert target_ranks(scores, np.array([0])).tolist() == [2]
    assert target_ranks(scores, np.array([2])).tolist() == [3]
    assert target_ranks(scores, np.array([4])).tolist() == [5]
    assert top_items(scores, 3).tolist() == [[1, 0, 2]]


@given(st.integers(1, 8), st.integers(1, 12), st.integers(1, 15), st.integers(0, 10**6))
def test_a_rank_is_a_place_in_the_list(n_users: int, n_items: int, k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, 4, (n_users, n_items)).astype(np.float64)  # many ties
    targets = random.integers(0, n_items, n_users)
    ranks = target_ranks(scores, targets)
    top = top_items(scores, k)
    for user in range(n_users):
        order = sorted(range(n_items), key=lambda item: (-scores[user, item], item))
        assert order[ranks[user] - 1] == targets[user]
        assert top[user].tolist() == order[:k]
    assert recall(ranks, k) == np.mean([targets[user] in top[user] for user in range(n_users)])
