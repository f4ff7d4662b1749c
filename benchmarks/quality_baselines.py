"""Scorers without training for `benchmarks.quality`: what a model has to beat.

All of them are the pipeline's own; windowed counts are what nights call `markov`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.model.list_methods import REPEAT_BASELINES
from pipeline.model.user_history import UserHistory
from pipeline.ranking.baselines import (
    FIRST_ORDER,
    ITEM_KNN,
    fit_markov,
    fit_popularity,
    known_events,
)
from pipeline.ranking.held_out_ranks import Items, Scorer, history_scorer
from pipeline.ranking.visit_baselines import visit_scorer


def baseline_scorers(
    known: Sequence[UserHistory], items: Items, target_event_types: Sequence[str] = ()
) -> dict[str, Scorer]:
    """By name, fit on what is known of the users.

    Args:
        target_event_types: what popularity counts; every event where none is one of them.
    """
    index, n_items = items.index, len(items.item_ids)
    past, targets = known_events(known, index, target_event_types)
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


def repeat_scorers(
    known: Sequence[UserHistory], items: Items, target_event_types: Sequence[str]
) -> dict[str, Scorer]:
    """Those that know what users buy again: GP-TopFreq and TIFU-KNN."""
    past, targets = known_events(known, items.index, target_event_types)
    popularity = fit_popularity(past, targets, len(items.item_ids))
    return {
        name: visit_scorer(name, known, items, popularity, target_event_types)
        for name in REPEAT_BASELINES
    }
