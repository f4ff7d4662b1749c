"""Scorers without training for `benchmarks.quality`: what a model has to beat.

Popularity, the first-order chain and the windowed counts are the pipeline's own; item-kNN is the
cosine of the users of two items (Sarwar et al. 2001), summed over the history.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from pipeline.evaluation.baselines import FIRST_ORDER, fit_markov, fit_popularity
from pipeline.evaluation.ranking import Items, Scorer, history_scorer
from pipeline.model.user_history import UserHistory


def baseline_scorers(
    known: Sequence[UserHistory], items: Items, target_event_types: Sequence[str] = ()
) -> dict[str, Scorer]:
    """By name, fit on what is known of the users.

    Args:
        target_event_types: what popularity counts; every event where none is one of them.
    """
    index, n_items = items.index, len(items.item_ids)
    past = [[index[item] for item in user.known_items if item in index] for user in known]
    targets = [
        [
            kind in target_event_types
            for item, kind in zip(user.known_items, user.known_event_types, strict=True)
            if item in index
        ]
        for user in known
    ]
    popularity = fit_popularity(past, targets, n_items)
    chain = fit_markov(past, popularity, n_items, FIRST_ORDER)
    windowed = fit_markov(past, popularity, n_items)
    similar_II = _cosines(past, n_items)
    return {
        "popularity": history_scorer(popularity.scores, items),
        "first-order chain": history_scorer(chain.scores, items),
        "item-kNN": history_scorer(
            lambda rows: (_bags(rows, n_items) @ similar_II).toarray(), items
        ),
        "windowed counts": history_scorer(windowed.scores, items),
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
