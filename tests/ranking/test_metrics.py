"""Metrics against an example computed by hand, a well-kept library, and ranking against sorting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    label_ranking_average_precision_score,
    ndcg_score,
    top_k_accuracy_score,
)

from pipeline.ranking.metrics import (
    average_precisions,
    coverage,
    hits_of,
    mrr,
    ndcg,
    ndcgs,
    precisions,
    recall,
    recalls,
    reciprocal_ranks,
    target_ranks,
    top_items,
)

# Five users whose item was put at these ranks; k = 3.
RANKS = np.array([1, 3, 4, 2, 100])


def test_by_hand() -> None:
    assert recall(RANKS, 3) == 3 / 5
    assert ndcg(RANKS, 3) == pytest.approx((1 + 0.5 + 0 + 1 / math.log2(3) + 0) / 5)
    assert ndcg(RANKS, 3) == pytest.approx(0.42618595)
    assert mrr(RANKS, 3) == pytest.approx((1 + 1 / 3 + 0 + 1 / 2 + 0) / 5)
    assert precisions(hits_of(RANKS, 3)).tolist() == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3, 0])
    assert coverage(np.array([[0, 1], [1, 2], [0, 2]]), 6) == 0.5


def test_several_relevant_items_by_hand() -> None:
    """Hits at 1 and 3 of 4 relevant; none of 1; all of 2; k = 3."""
    hits = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0]], dtype=np.bool_)
    relevant = np.array([4, 1, 2])
    assert recalls(hits, relevant).tolist() == [0.5, 0, 1]
    assert precisions(hits).tolist() == pytest.approx([2 / 3, 0, 2 / 3])
    assert reciprocal_ranks(hits).tolist() == [1, 0, 1]
    # Precision at the hits: 1 and 2/3; three of the four could have been in the list.
    assert average_precisions(hits, relevant).tolist() == pytest.approx([(1 + 2 / 3) / 3, 0, 1])
    third = 1 / math.log2(3)
    assert ndcgs(hits, relevant).tolist() == pytest.approx([1.5 / (1 + third + 0.5), 0, 1])


@given(st.integers(1, 6), st.integers(3, 12), st.integers(1, 12), st.integers(0, 10**6))
def test_like_scikit_learn(n_users: int, n_items: int, k: int, seed: int) -> None:
    """Without ties, which the library breaks otherwise; several relevant items a user."""
    random = np.random.default_rng(seed)
    k = min(k, n_items)
    scores = np.stack([random.permutation(n_items) for _ in range(n_users)]).astype(np.float64)
    relevant = random.random((n_users, n_items)) < 0.3
    relevant[np.arange(n_users), random.integers(0, n_items, n_users)] = True
    n_relevant = relevant.sum(axis=1)
    hits = np.take_along_axis(relevant, top_items(scores, k), axis=1)
    assert ndcgs(hits, n_relevant).mean() == pytest.approx(ndcg_score(relevant, scores, k=k))
    # The library knows no cut-off for the others: the whole list.
    whole = np.take_along_axis(relevant, top_items(scores, n_items), axis=1)
    expected = [average_precision_score(relevant[u], scores[u]) for u in range(n_users)]
    assert average_precisions(whole, n_relevant).tolist() == pytest.approx(expected)


@given(st.integers(1, 6), st.integers(3, 12), st.integers(1, 12), st.integers(0, 10**6))
def test_one_relevant_item_like_scikit_learn(n_users: int, n_items: int, k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = np.stack([random.permutation(n_items) for _ in range(n_users)]).astype(np.float64)
    targets = random.integers(0, n_items, n_users)
    ranks = target_ranks(scores, targets)
    one_hot = np.zeros((n_users, n_items), dtype=np.int64)
    one_hot[np.arange(n_users), targets] = 1
    found = label_ranking_average_precision_score(one_hot, scores)
    assert mrr(ranks, n_items) == pytest.approx(found)
    one = np.ones(n_users, dtype=np.int64)
    assert average_precisions(hits_of(ranks, k), one).mean() == pytest.approx(mrr(ranks, k))
    labels = np.arange(n_items)
    accuracy = top_k_accuracy_score(targets, scores, k=min(k, n_items - 1), labels=labels)
    assert recall(ranks, min(k, n_items - 1)) == pytest.approx(accuracy)
    assert ndcg(ranks, k) == pytest.approx(ndcg_score(one_hot, scores, k=k))


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
