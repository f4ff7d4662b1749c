"""Experts that count over visits: item-kNN, what follows in later visits, what similar users did.

The lines of a visit have no order, so that only visits are compared in time.

`ItemKnn`: cosine(a, b) = users of both / sqrt(users of a, users of b); a user's score of b is the
sum over the items a != b that the user ever bought (Sarwar et al., WWW 2001).

`VisitTransitions`: c(a, b) sums decay ** (d - 1) over pairs of visits of one user that are d apart,
d = 1 to `LAGS`, the first with a and the second with b. The score of b is the sum over visits that
are d - 1 before the newest, and over their items a, of decay ** (d - 1) c(a, b) / (n(a) + s), where
n(a) is c's largest possible value and s = `SMOOTHING`.

`SimilarPasts`: of the k users whose pasts before their newest visit are most like the user's past
(cosine of vectors of decay ** visits since), the sum of the cosines of those whose newest visit had
the item.

Shapes: U users, R reference users, B users of a batch, I items, V visits, K neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pipeline.ranking.tifu_knn import nearest
from pipeline.ranking.visits import Floats, Visits

SMOOTHING = 5.0
LAGS = 5
FOLLOW_DECAY = 0.6
PAST_DECAY = 0.9
NEIGHBOURS = 500
_MAX_CELLS = 8 * 1024 * 1024


@dataclass(frozen=True)
class ItemKnn:
    """Cosines between items, none of an item with itself."""

    cosine_II: sparse.csr_matrix

    def scores(self, visits: Visits) -> Floats:
        """`score_UI`."""
        found: Floats = (visits.counts_UI.sign() @ self.cosine_II).toarray()
        return found


def fit_item_knn(visits: Visits) -> ItemKnn:
    """Count the users of each pair of items."""
    has_UI = visits.counts_UI.sign()
    both_II = (has_UI.T @ has_UI).tocoo()
    by_length_I = 1 / np.sqrt(np.maximum(both_II.tocsr().diagonal(), 1.0))
    other = both_II.row != both_II.col
    row, column = both_II.row[other], both_II.col[other]
    cosine = both_II.data[other] * by_length_I[row] * by_length_I[column]
    return ItemKnn(sparse.csr_matrix((cosine, (row, column)), shape=both_II.shape))


@dataclass(frozen=True)
class VisitTransitions:
    """c(a, b) / (n(a) + s)."""

    share_II: sparse.csr_matrix

    def scores(self, visits: Visits) -> Floats:
        """`score_UI`."""
        weight_E = np.where(visits.visit_E < LAGS, FOLLOW_DECAY**visits.visit_E, 0.0)
        found: Floats = (visits.table(weight_E) @ self.share_II).toarray()
        return found


def fit_visit_transitions(visits: Visits) -> VisitTransitions:
    """Count what later visits of the same user held."""
    visits_VI = visits.visits_VI
    user_V = np.repeat(np.arange(visits.n_users), visits.n_visits_U)
    n_items = visits.n_items
    count_II = sparse.csr_matrix((n_items, n_items))
    most_I = np.zeros(n_items)
    for lag in range(1, LAGS + 1):
        weight = FOLLOW_DECAY ** (lag - 1)
        first_V = np.flatnonzero(user_V[:-lag] == user_V[lag:])
        earlier_VI, later_VI = visits_VI[first_V], visits_VI[first_V + lag]
        count_II = count_II + weight * (earlier_VI.T @ later_VI)
        most_I += weight * np.asarray(earlier_VI.sum(axis=0)).ravel()
    return VisitTransitions((sparse.diags(1 / (most_I + SMOOTHING)) @ count_II).tocsr())


@dataclass(frozen=True)
class SimilarPasts:
    """Pasts of length 1, and what came next."""

    past_RI: sparse.csr_matrix
    next_RI: sparse.csr_matrix
    neighbours: int = NEIGHBOURS

    def scores(self, visits: Visits) -> Floats:
        """`score_UI`; zeros without reference users."""
        n_reference = self.past_RI.shape[0]
        score_UI = np.zeros((visits.n_users, visits.n_items))
        if n_reference == 0:
            return score_UI
        past_UI = _past_vectors(visits)
        k = min(self.neighbours, n_reference)
        step = max(1, _MAX_CELLS // n_reference)
        for start in range(0, visits.n_users, step):
            cosine_BR = (past_UI[start : start + step] @ self.past_RI.T).toarray()
            similar_BK = nearest(-cosine_BR, k)
            rows = np.repeat(np.arange(len(cosine_BR)), k)
            weights = np.take_along_axis(cosine_BR, similar_BK, axis=1).ravel()
            chosen_BR = sparse.csr_matrix(
                (weights, (rows, similar_BK.ravel())), shape=cosine_BR.shape
            )
            score_UI[start : start + step] = (chosen_BR @ self.next_RI).toarray()
        return score_UI


def fit_similar_pasts(visits: Visits, neighbours: int = NEIGHBOURS) -> SimilarPasts:
    """Reference users are those of two visits and more."""
    two_U = np.flatnonzero(visits.n_visits_U > 1)
    return SimilarPasts(
        _past_vectors(visits.before_newest())[two_U], visits.newest()[two_U], neighbours
    )


def _past_vectors(visits: Visits) -> sparse.csr_matrix:
    past_UI = visits.table(np.power(PAST_DECAY, visits.visit_E.astype(np.float64)))
    length_U = np.sqrt(np.asarray(past_UI.multiply(past_UI).sum(axis=1)).ravel())
    return (sparse.diags(1 / np.where(length_U > 0, length_U, 1.0)) @ past_UI).tocsr()
