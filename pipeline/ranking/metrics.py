"""Ranking metrics, a value a user, and their means.

Ranking is full: over every item that may be recommended, without the items that the user owned
before. Ties are broken by the items' order, as in the published lists, never in the target's
favour.

Measures of a list's first k, with relevance 0 or 1 (Järvelin & Kekäläinen 2002; Manning et al.
2008, ch. 8):

- recall: the share of the user's relevant items that are in the list;
- precision: the share of the list that is relevant;
- NDCG: the sum of 1 / log2(1 + rank) over the hits, as a share of the most there could be;
- reciprocal rank: 1 / rank of the first hit;
- average precision: the mean over relevant items (at most k) of the precision at their ranks;
- coverage: the share of items that are in anybody's first k.

A night holds out one item a user: recall is then hit or miss, NDCG is 1 / log2(1 + rank), and
average precision is the reciprocal rank.

Shapes: B users, I items, K list length.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


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


# -- a value a user ---------------------------------------------------------------------------


def hits_of(ranks_B: Integers, k: int) -> Booleans:
    """The place of a user's one relevant item among the first k: `hit_BK`."""
    hits: Booleans = ranks_B[:, None] == np.arange(1, k + 1)[None, :]
    return hits


def recalls(hit_BK: Booleans, relevant_B: Integers) -> Floats:
    """Hits as a share of the user's relevant items (`relevant_B` counts them)."""
    shares: Floats = hit_BK.sum(axis=1) / np.maximum(relevant_B, 1)
    return shares


def precisions(hit_BK: Booleans) -> Floats:
    """Hits as a share of the list's k places; a list that is shorter has missed."""
    shares: Floats = hit_BK.sum(axis=1) / max(hit_BK.shape[1], 1)
    return shares


def ndcgs(hit_BK: Booleans, relevant_B: Integers) -> Floats:
    """Discounted gain as a share of the most that k places could hold."""
    discount_K = 1 / np.log2(np.arange(2, hit_BK.shape[1] + 2))
    best_K = np.concatenate([[0.0], np.cumsum(discount_K)])
    ideal_B = best_K[np.minimum(relevant_B, hit_BK.shape[1])]
    gains: Floats = (hit_BK @ discount_K) / np.where(ideal_B > 0, ideal_B, 1.0)
    return gains


def reciprocal_ranks(hit_BK: Booleans) -> Floats:
    """1 / rank of the first hit, 0 without one."""
    place_K = np.arange(1, hit_BK.shape[1] + 1)
    reciprocals: Floats = np.max(hit_BK / place_K, axis=1, initial=0.0)
    return reciprocals


def average_precisions(hit_BK: Booleans, relevant_B: Integers) -> Floats:
    """Mean precision at the ranks of the relevant items, of which k could be in the list."""
    place_K = np.arange(1, hit_BK.shape[1] + 1)
    precision_BK = np.cumsum(hit_BK, axis=1) / place_K
    most_B = np.minimum(relevant_B, hit_BK.shape[1])
    means: Floats = (precision_BK * hit_BK).sum(axis=1) / np.maximum(most_B, 1)
    return means


# -- means over users, of one held-out item each --------------------------------------------------


def recall(ranks: Integers, k: int) -> float:
    """Share of users whose item is among the first k."""
    return _mean(recalls(hits_of(ranks, k), np.ones_like(ranks)))


def ndcg(ranks: Integers, k: int) -> float:
    """Mean discounted gain within the first k; 1 is every item first."""
    return _mean(ndcgs(hits_of(ranks, k), np.ones_like(ranks)))


def mrr(ranks: Integers, k: int) -> float:
    """Mean reciprocal rank within the first k."""
    return _mean(reciprocal_ranks(hits_of(ranks, k)))


def coverage(top_BK: Integers, n_items: int) -> float:
    """Share of items that are in at least one user's list."""
    return len(np.unique(top_BK)) / n_items if n_items else 0.0


def _mean(values: Floats) -> float:
    """0 where there is nobody to measure: no evidence is no merit."""
    return float(np.mean(values)) if len(values) else 0.0
