"""Ranking metrics with one relevant item a user, from the rank at which it was put.

Ranking is full: over every item that may be recommended, what the user owned before left out. Ties
are broken by the items' order, as the published lists break them, never in the target's favour.
With one relevant item, recall@k is the share of users whose item is in the first k, NDCG@k the
mean of 1 / log2(1 + rank), MRR@k the mean of 1 / rank, both 0 beyond k (Järvelin & Kekäläinen
2002, with an ideal gain of 1). Coverage@k is the share of items that are in anybody's first k.

Shapes: B users, I items.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]


def target_ranks(scores_BI: Floats, targets_B: Integers) -> Integers:
    """The rank of each user's item, from 1. A masked item scores minus infinity."""
    rows = np.arange(len(targets_B))
    target_B1 = scores_BI[rows, targets_B][:, None]
    earlier_BI = np.arange(scores_BI.shape[1])[None, :] < targets_B[:, None]
    before_BI = (scores_BI > target_B1) | ((scores_BI == target_B1) & earlier_BI)
    ranks: Integers = 1 + before_BI.sum(axis=1, dtype=np.int64)
    return ranks


def top_items(scores_BI: Floats, k: int) -> Integers:
    """The first k items of each user, ties by the items' order."""
    order: Integers = np.argsort(-scores_BI, axis=1, kind="stable")[:, :k]
    return order


def recall(ranks: Integers, k: int) -> float:
    """Share of users whose item is among the first k."""
    return _mean(ranks <= k)


def ndcg(ranks: Integers, k: int) -> float:
    """Mean discounted gain within the first k; 1 is every item first."""
    return _mean(np.where(ranks <= k, 1 / np.log2(1 + ranks), 0.0))


def mrr(ranks: Integers, k: int) -> float:
    """Mean reciprocal rank within the first k."""
    return _mean(np.where(ranks <= k, 1 / ranks, 0.0))


def coverage(top_BK: Integers, n_items: int) -> float:
    """Share of items that are in at least one user's list."""
    return len(np.unique(top_BK)) / n_items if n_items else 0.0


def _mean(values: NDArray[np.bool_] | Floats) -> float:
    """0 where there is nobody to measure: no evidence is no merit."""
    return float(np.mean(values)) if len(values) else 0.0
