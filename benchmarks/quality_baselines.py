"""Scorers without training for `benchmarks.quality`: what a model has to beat.

All of them are the pipeline's own; windowed counts are what nights call `markov`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.evaluation.baselines import FIRST_ORDER, ITEM_KNN, fit_markov, fit_popularity
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
    item_knn = fit_markov(past, popularity, n_items, ITEM_KNN)
    return {
        "popularity": history_scorer(popularity.scores, items),
        "first-order chain": history_scorer(chain.scores, items),
        "item-kNN": history_scorer(item_knn.scores, items),
        "windowed counts": history_scorer(windowed.scores, items),
    }
