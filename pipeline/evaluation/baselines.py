"""What a shop gets without a model: the bestsellers, and what usually follows the last item.

Both are fit from the items of histories that end before the held-out event, in seconds, and score
every item for a history. They are the bar of the promotion gate and the fallback of generation.

`Popularity`: how often an item was the object of a target event (purchase, rating); of any event
in a shop without targets. `Markov`: first-order transition shares, backing off to popularity with
the weight of one observation: (n(a, b) + p(b)) / (n(a) + 1).

Shapes: I items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Popularity:
    """The same order for everybody."""

    share_I: Floats
    count_I: Floats

    def scores(self, _history: Sequence[int] | Integers) -> Floats:
        """Share of events by item; sums to 1 unless nothing ever happened."""
        return self.share_I


@dataclass(frozen=True)
class Markov:
    """What followed a user's last item, else what is popular."""

    counts_II: sparse.csr_matrix
    popularity: Popularity

    def scores(self, history: Sequence[int] | Integers) -> Floats:
        """Estimated share of each item as the next one. Items are numbers from 0."""
        if not len(history):
            return self.popularity.share_I
        row = self.counts_II[int(history[-1])].toarray()[0]
        shares: Floats = (row + self.popularity.share_I) / (row.sum() + 1.0)
        return shares

    def knows(self, history: Sequence[int] | Integers) -> bool:
        """Whether anything was ever seen to follow the history's last item."""
        return bool(len(history)) and self.counts_II[int(history[-1])].nnz > 0


def fit_popularity(
    histories: Sequence[Sequence[int]], targets: Sequence[Sequence[bool]], n_items: int
) -> Popularity:
    """Count events per item.

    Args:
        histories: item numbers per user, held-out events left out.
        targets: parallel to them, whether each is a target event.
    """
    items = _joined(histories)
    is_target = np.concatenate(
        [np.asarray(row, dtype=bool) for row in targets] or [np.zeros(0, bool)]
    )
    chosen = items[is_target] if is_target.any() else items
    counts = np.bincount(chosen, minlength=n_items).astype(np.float64)
    return Popularity(counts / max(counts.sum(), 1.0), counts)


def fit_markov(histories: Sequence[Sequence[int]], popularity: Popularity, n_items: int) -> Markov:
    """Count what directly follows what."""
    before = _joined([row[:-1] for row in histories if len(row) > 1])
    after = _joined([row[1:] for row in histories if len(row) > 1])
    counts = sparse.csr_matrix(
        (np.ones(len(before)), (before, after)), shape=(n_items, n_items), dtype=np.float64
    )
    counts.sum_duplicates()
    return Markov(counts, popularity)


def _joined(rows: Sequence[Sequence[int]]) -> Integers:
    return np.concatenate(
        [np.asarray(row, dtype=np.int64) for row in rows] or [np.zeros(0, np.int64)]
    )
