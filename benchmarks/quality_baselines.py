"""Scorers without training for `benchmarks.quality`: what a model has to beat.

Popularity, the first-order chain and the windowed counts are the pipeline's own; item-kNN is the
cosine of the users of two items (Sarwar et al. 2001), summed over the history.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline.evaluation.baselines import fit_markov, fit_popularity
from pipeline.evaluation.ranking import Items, Scorer, history_scorer
from pipeline.model.transitions import fit_transitions
from pipeline.model.user_history import UserHistory

Floats = NDArray[np.floating]


def baseline_scorers(known: Sequence[UserHistory], items: Items) -> dict[str, Scorer]:
    """By name, fit on what is known of the users."""
    index, n_items = items.index, len(items.item_ids)
    past = [[index[item] for item in user.known_items] for user in known]
    popularity = fit_popularity(past, [[True] * len(row) for row in past], n_items)
    markov = fit_markov(past, popularity, n_items)
    similar_II = _cosines(past, n_items)
    return {
        "popularity": history_scorer(popularity.scores, items),
        "first-order chain": history_scorer(markov.scores, items),
        "item-kNN": _sparse_scorer(lambda rows: _bags(rows, n_items) @ similar_II, items),
        "windowed counts": _sparse_scorer(fit_transitions(past, n_items).scores, items),
    }


def _bags(rows: Sequence[Sequence[int]], n_items: int) -> sparse.csr_matrix:
    users = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    columns = np.array([item for row in rows for item in row], dtype=np.int64)
    bags = sparse.csr_matrix((np.ones(len(columns)), (users, columns)), shape=(len(rows), n_items))
    bags.data[:] = 1.0
    return bags


def _cosines(rows: Sequence[Sequence[int]], n_items: int) -> sparse.csr_matrix:
    bags = _bags(rows, n_items)
    lengths = np.sqrt(np.maximum(np.asarray(bags.sum(axis=0)).ravel(), 1.0))
    unit = bags @ sparse.diags(1 / lengths)
    return (unit.T @ unit).tocsr()


def _sparse_scorer(
    scores: Callable[[Sequence[Sequence[int]]], sparse.csr_matrix], items: Items
) -> Scorer:
    index = items.index

    def score(users: Sequence[UserHistory]) -> Floats:
        histories = [[index[item] for item in user.known_items if item in index] for user in users]
        dense: Floats = scores(histories).toarray()
        return dense

    return score
