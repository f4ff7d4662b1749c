"""Item-to-item transitions: counts of which items follow which, and a prior made of them.

A pair of different items counts 1 / sqrt(d) where the second stands d events after the first,
d up to a window (or another decay). A pair's strength is log(1 + count): the tenth time adds less
than the second. A user's score of an item is the sum of the strengths from all the user's events;
the newest counts 1, the one before it `age_decay`, and so on (the counts of PCTM, RecSys 2026;
figures in docs/experiments/quality.md).

Where the lines of an order have no order, pairs are not counted by distance: a shape with
`together` counts the users who have both items, and a pair's strength is the cosine,
count / sqrt(users of one * users of the other). With an `age_decay` of 1 that is item-kNN (Sarwar
et al., WWW 2001).

`pipeline.model.prior` adds such scores to a model's log-probabilities. Pure; only numpy and scipy.

Shapes: U users, I items (numbers from 0), P pairs of items that were counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

# A history is scored by its newest events: 0.6^20 is less than 1 in 10,000.
NEWEST_EVENTS = 20


@dataclass(frozen=True)
class TransitionShape:
    """How pairs are counted and a history is weighed.

    `distance_decay` 0 is 1 / sqrt(d); anything else is `distance_decay ** (d - 1)`. `together` has
    no distances: `window` and `distance_decay` are not looked at.
    """

    window: int = 10
    distance_decay: float = 0.0
    age_decay: float = 0.6
    together: bool = False

    def distance_weights(self) -> Floats:
        """The weight of a pair at distances 1 to `window`.

        Raises:
            ValueError: the shape counts pairs at any distance.
        """
        if self.together:
            raise ValueError("a shape that counts together has no distances")
        distance = np.arange(1, self.window + 1, dtype=np.float64)
        if self.distance_decay == 0:
            return distance**-0.5
        weights: Floats = self.distance_decay ** (distance - 1)
        return weights


def transition_counts(
    histories: Sequence[Sequence[int] | Integers], n_items: int, shape: TransitionShape
) -> sparse.csr_matrix:
    """`counts_II[a, b]`: how often b came within the window after a, by distance.

    With `together`: how many users have both, and on the diagonal how many have the item.

    Args:
        histories: item numbers per user, oldest first, held-out events left out.
    """
    if shape.together:
        return _users_of_both(histories, n_items)
    before, after, weights = [], [], []
    rows = [np.asarray(history, dtype=np.int64) for history in histories]
    for distance, weight in enumerate(shape.distance_weights(), start=1):
        long_enough = [row for row in rows if len(row) > distance]
        before += [row[:-distance] for row in long_enough]
        after += [row[distance:] for row in long_enough]
        n_pairs = sum(len(row) - distance for row in long_enough)
        weights.append(np.full(n_pairs, weight))
    first = np.concatenate(before) if before else np.zeros(0, np.int64)
    second = np.concatenate(after) if after else np.zeros(0, np.int64)
    value = np.concatenate(weights) if weights else np.zeros(0)
    other = first != second
    counts = sparse.csr_matrix(
        (value[other], (first[other], second[other])), shape=(n_items, n_items)
    )
    counts.sum_duplicates()
    return counts


def _users_of_both(
    histories: Sequence[Sequence[int] | Integers], n_items: int
) -> sparse.csr_matrix:
    items = [np.unique(np.asarray(history, dtype=np.int64)) for history in histories]
    columns = np.concatenate(items) if items else np.zeros(0, np.int64)
    users = np.repeat(np.arange(len(items)), [len(row) for row in items])
    has_UI = sparse.csr_matrix(
        (np.ones(len(columns)), (users, columns)), shape=(len(items), n_items)
    )
    return (has_UI.T @ has_UI).tocsr()


@dataclass(frozen=True)
class Transitions:
    """Counts with the shape they were made in."""

    counts_II: sparse.csr_matrix
    shape: TransitionShape = field(default_factory=TransitionShape)

    def scores(self, histories: Sequence[Sequence[int] | Integers]) -> sparse.csr_matrix:
        """`scores_UI`: the sparse scores of each history; no row's scores depend on another's."""
        weighed_UI = weighed_histories(histories, self.counts_II.shape[0], self.shape)
        return (weighed_UI @ self.strengths_II).tocsr()

    @cached_property
    def strengths_II(self) -> sparse.csr_matrix:
        """The strength of each pair of items: log(1 + count); with `together`, the cosine.

        With `together` an item is strongest for itself: where it may come again, it often does.
        """
        counts_II = self.counts_II
        if self.shape.together:
            by_length_I = 1.0 / np.sqrt(np.maximum(counts_II.diagonal(), 1.0))
            strength_P = counts_II.data * np.repeat(by_length_I, np.diff(counts_II.indptr))
            strength_P *= by_length_I[counts_II.indices]
        else:
            strength_P = np.log1p(counts_II.data)
        # The index arrays of the counts, not a copy of them.
        strengths = (strength_P, counts_II.indices, counts_II.indptr)
        return sparse.csr_matrix(strengths, shape=counts_II.shape)


def fit_transitions(
    histories: Sequence[Sequence[int] | Integers],
    n_items: int,
    shape: TransitionShape | None = None,
) -> Transitions:
    """Count transitions, in the default shape or another."""
    shape = shape or TransitionShape()
    return Transitions(transition_counts(histories, n_items, shape), shape)


def weighed_histories(
    histories: Sequence[Sequence[int] | Integers], n_items: int, shape: TransitionShape
) -> sparse.csr_matrix:
    """`weights_UI`: each user's items, the newest 1, older ones decaying; repetitions add up.

    With `together` every event counts, and an item once, as its newest event.
    """
    newest = [np.asarray(history, dtype=np.int64)[::-1] for history in histories]
    if shape.together:
        newest = [row[np.sort(np.unique(row, return_index=True)[1])] for row in newest]
    else:
        newest = [row[:NEWEST_EVENTS] for row in newest]
    columns = np.concatenate(newest) if newest else np.zeros(0, np.int64)
    ages = [np.arange(len(row), dtype=np.float64) for row in newest]
    weights = shape.age_decay ** np.concatenate(ages or [np.zeros(0)])
    rows = np.repeat(np.arange(len(newest)), [len(row) for row in newest])
    weighed_UI = sparse.csr_matrix((weights, (rows, columns)), shape=(len(newest), n_items))
    weighed_UI.eliminate_zeros()  # with a decay of 0 only the newest event counts
    return weighed_UI


def own_strengths(histories: Sequence[Sequence[int] | Integers], n_items: int) -> sparse.csr_matrix:
    """`strength_UI`: log(1 + how often the item is in the user's own history)."""
    rows = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    items = [np.asarray(history, dtype=np.int64) for history in histories]
    columns = np.concatenate(items) if items else np.zeros(0, np.int64)
    counts_UI = sparse.csr_matrix(
        (np.ones(len(columns)), (rows, columns)), shape=(len(histories), n_items)
    )
    counts_UI.sum_duplicates()
    return counts_UI.log1p()
