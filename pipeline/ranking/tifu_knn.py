"""TIFU-KNN: own frequencies with decay in time, mixed with those of similar users.

Hu, He, Gao, Zhang: "Modeling Personalized Item Frequency Information for Next-basket
Recommendation", SIGIR 2020, sections 4.1 to 4.3. A user's n visits are cut, oldest first, into
G = min(n, m) groups of floor(n / G) visits; the last n mod G of them have one more. With v_t the
0/1 vector of visit t, a group g of s visits, oldest first, and a user are

    v_g = (1 / s) sum over i of r_b ** (s - i) v_i      i = 1 … s
    u   = (1 / G) sum over j of r_g ** (m - j) v_gj     j = 1 … G

Which groups are larger, and that the exponent starts from m where there are fewer visits, the
paper leaves open; both are as in the authors' code (`group_history_list`). Decay within a group
is the paper's; the code counts it from the newest visit of all.

The prediction is alpha u + (1 - alpha) times the mean of the k reference users whose vectors are
nearest by Euclidean distance. A reference user may be the asked one: 1 of k.

Memory: a batch of users times the reference users, and times the items.

Shapes: U users, R reference users, B users of a batch, E purchases, I items, K neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pipeline.ranking.visits import Floats, Visits

# Distances at a time: 64 MB of float64.
_MAX_CELLS = 8 * 1024 * 1024


@dataclass(frozen=True)
class TifuShape:
    """The method's parameters, named as in the paper's table 2.

    Raises:
        ValueError: a number is outside its range.
    """

    neighbours: int = 300  # k
    within_decay: float = 0.9  # r_b
    across_decay: float = 0.7  # r_g
    groups: int = 3  # m
    own_weight: float = 0.3  # alpha

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.groups < 1:
            raise ValueError("neighbours and groups must be at least 1")
        for name in ("within_decay", "across_decay", "own_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1")


def personal_frequencies(visits: Visits, shape: TifuShape) -> sparse.csr_matrix:
    """`u_UI`: each user's vector."""
    n_E = visits.n_visits_U[visits.user_E]
    groups_E = np.minimum(n_E, shape.groups)
    place_E = n_E - 1 - visits.visit_E  # t, oldest first
    small_E = n_E // groups_E
    n_small_E = groups_E - n_E % groups_E  # so many groups have no visit more
    after_E = place_E - n_small_E * small_E  # place behind the small groups
    is_large_E = after_E >= 0
    size_E = small_E + is_large_E
    in_row_E = np.where(is_large_E, after_E, place_E)
    group_E = in_row_E // size_E + np.where(is_large_E, n_small_E, 0)
    within_E = shape.within_decay ** (size_E - 1 - in_row_E % size_E) / size_E
    across_E = shape.across_decay ** (shape.groups - 1 - group_E) / groups_E
    return visits.table(within_E * across_E)


@dataclass(frozen=True)
class TifuKnn:
    """The vectors of the reference users."""

    reference_RI: sparse.csr_matrix
    shape: TifuShape

    def scores(self, visits: Visits) -> Floats:
        """`score_UI` of every item."""
        own_UI = personal_frequencies(visits, self.shape)
        alpha = self.shape.own_weight
        mixed: Floats = alpha * own_UI.toarray() + (1 - alpha) * self.neighbours(own_UI)
        return mixed

    def neighbours(self, own_UI: sparse.csr_matrix) -> Floats:
        """`mean_UI`: the mean vector of each user's neighbours; zeros without reference users."""
        n_users, n_items = own_UI.shape
        n_reference = self.reference_RI.shape[0]
        mean_UI = np.zeros((n_users, n_items))
        if n_reference == 0:
            return mean_UI
        length_R = np.asarray(self.reference_RI.multiply(self.reference_RI).sum(axis=1)).ravel()
        k = min(self.shape.neighbours, n_reference)
        step = max(1, _MAX_CELLS // n_reference)
        for start in range(0, n_users, step):
            own_BI = own_UI[start : start + step]
            # |r|^2 - 2 u r: the squared distance but for |u|^2, the same for every reference user.
            distance_BR = length_R - 2 * (own_BI @ self.reference_RI.T).toarray()
            nearest_BK = nearest(distance_BR, k)
            rows = np.repeat(np.arange(own_BI.shape[0]), k)
            chosen_BR = sparse.csr_matrix(
                (np.full(nearest_BK.size, 1.0 / k), (rows, nearest_BK.ravel())),
                shape=distance_BR.shape,
            )
            mean_UI[start : start + step] = (chosen_BR @ self.reference_RI).toarray()
        return mean_UI


def nearest(distance_BR: Floats, k: int) -> np.ndarray:
    """The k columns of least distance, in no order; of equals at the edge the first ones."""
    if k >= distance_BR.shape[1]:
        return np.tile(np.arange(distance_BR.shape[1]), (len(distance_BR), 1))
    edge_B1 = np.partition(distance_BR, k - 1, axis=1)[:, k - 1 : k]
    # Below the edge 0, at the edge 1, above it 2: a stable sort of small whole numbers is fast.
    side_BR = (distance_BR >= edge_B1).astype(np.int8) + (distance_BR > edge_B1)
    return np.argsort(side_BR, axis=1, kind="stable")[:, :k]


def fit_tifu_knn(visits: Visits, shape: TifuShape | None = None) -> TifuKnn:
    """The reference users' vectors; users without a visit are no reference."""
    shape = shape or TifuShape()
    vectors_UI = personal_frequencies(visits, shape)
    return TifuKnn(vectors_UI[np.flatnonzero(visits.n_visits_U > 0)], shape)
