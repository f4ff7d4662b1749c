"""All experts over visits, fit together, and what a mixture sees of a user, an item and a pair.

An expert is a way to count that ranks by itself: popularity, trend, GP-TopFreq, TIFU-KNN,
item-kNN, what follows in later visits, what users of similar pasts bought next, and
repeat-and-recency. A feature is an expert's score on a scale on which scores add (a logarithm,
mostly), or a fact of the user, the item or the pair. Features of a pair are 0 where the user never
bought the item.

Shapes: B users of a batch, I items, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.model.list_methods import GP_TOPFREQ, ITEM_KNN, TIFU_KNN
from pipeline.ranking.repeats import Repeats, fit_repeats, pairs_of
from pipeline.ranking.tifu_knn import TifuKnn, TifuShape, fit_tifu_knn
from pipeline.ranking.top_frequency import TopFrequency, fit_top_frequency
from pipeline.ranking.trend import Trend, fit_trend
from pipeline.ranking.visit_experts import (
    ItemKnn,
    SimilarPasts,
    VisitTransitions,
    fit_item_knn,
    fit_similar_pasts,
    fit_visit_transitions,
)
from pipeline.ranking.visits import Booleans, Floats, Visits

Features = NDArray[np.float32]

REPEATS = "repeats"
# Own counts beside the trend on one scale: counts + weight * share. The mixture chooses among them.
GP_WEIGHTS = (30.0, 100.0, 200.0)
PAIR_FEATURES = ("count", "per visit", "decay 0.8", "decay 0.5", "since", "due", "once", "rate")
ITEM_FEATURES = ("trend", "popularity", "trend share")
EXPERT_FEATURES = (
    *(f"own + {weight:g} trend" for weight in GP_WEIGHTS),
    TIFU_KNN,
    ITEM_KNN,
    "transitions",
    "similar pasts",
)
USER_OF_PAIR_FEATURES = ("visits of the user", "repeat share of the user")


@dataclass(frozen=True)
class Experts:
    """Every expert, fit on the same reference users."""

    g_topfreq: TopFrequency
    p_topfreq: TopFrequency
    gp_topfreq: TopFrequency
    tifu_knn: TifuKnn
    item_knn: ItemKnn
    transitions: VisitTransitions
    similar_pasts: SimilarPasts
    repeats: Repeats
    trend: Trend

    def scores(self, visits: Visits) -> dict[str, Floats]:
        """Each expert's `score_BI`, by name."""
        return {
            "g_topfreq": self.g_topfreq.scores(visits),
            "p_topfreq": self.p_topfreq.scores(visits),
            GP_TOPFREQ: self.gp_topfreq.scores(visits),
            TIFU_KNN: self.tifu_knn.scores(visits),
            ITEM_KNN: self.item_knn.scores(visits),
            "transitions": self.transitions.scores(visits),
            "similar_pasts": self.similar_pasts.scores(visits),
            REPEATS: self.repeats.scores(visits),
            "trend": self.trend.scores(visits),
        }

    def features(self, visits: Visits) -> tuple[Features, Booleans]:
        """`feature_BIF` in the order of `feature_names`, and `bought_BI`."""
        shape = visits.n_users, visits.n_items
        pairs = pairs_of(visits, 0.8)
        place = pairs.user_P, pairs.item_P
        visits_P = np.maximum(visits.n_visits_U[pairs.user_P], 1)
        bought_BI = np.zeros(shape, dtype=np.bool_)
        bought_BI[place] = True
        count_BI = np.zeros(shape)
        count_BI[place] = pairs.count_P
        repeat_share_B = _repeat_shares(visits)
        of_pairs = {
            "count": np.log1p(pairs.count_P),
            "per visit": pairs.count_P / visits_P,
            "decay 0.8": pairs.decayed_P,
            "decay 0.5": pairs_of(visits, 0.5).decayed_P,
            "since": np.log(np.maximum(pairs.since_P, 1.0)),
            "due": np.where(pairs.count_P > 1, self.repeats.due(pairs), 0.0),
            "once": (pairs.count_P == 1).astype(np.float64),
            "rate": np.log(self.repeats.rate_I[pairs.item_P] + 1e-6),
            "visits of the user": np.log(visits_P),
            "repeat share of the user": repeat_share_B[pairs.user_P],
        }
        trend_I, share_I = self.trend.share_I, self.g_topfreq.share_I
        least = 1.0 / (10.0 * max(visits.n_items, 1))
        of_items = {
            "trend": np.log(trend_I + least),
            "popularity": np.log(share_I + least),
            "trend share": trend_I,
        }
        of_experts = {
            **{
                f"own + {weight:g} trend": np.log(count_BI + weight * trend_I + 0.05)
                for weight in GP_WEIGHTS
            },
            TIFU_KNN: np.log(self.tifu_knn.scores(visits) + 1e-4),
            ITEM_KNN: np.log(self.item_knn.scores(visits) + 1e-2),
            "transitions": np.log(self.transitions.scores(visits) + 1e-3),
            "similar pasts": np.log(self.similar_pasts.scores(visits) + 5e-2),
        }
        feature_BIF = np.zeros((*shape, len(self.feature_names)), dtype=np.float32)
        for number, name in enumerate(self.feature_names):
            if name in of_pairs:
                feature_BIF[(*place, number)] = of_pairs[name]
            else:
                feature_BIF[:, :, number] = of_items.get(name, of_experts.get(name))
        return feature_BIF, bought_BI

    @property
    def feature_names(self) -> tuple[str, ...]:
        """In the order of the features; those of pairs first."""
        return (*PAIR_FEATURES, *USER_OF_PAIR_FEATURES, *ITEM_FEATURES, *EXPERT_FEATURES)


def _repeat_shares(visits: Visits) -> Floats:
    """Of what each user bought after the first visit, the share that the user had bought before."""
    pairs = pairs_of(visits)
    again_B = np.bincount(pairs.user_P, pairs.count_P - 1, minlength=visits.n_users)
    is_first_E = visits.visit_E == visits.n_visits_U[visits.user_E] - 1
    later_B = np.bincount(visits.user_E[~is_first_E], minlength=visits.n_users)
    return again_B / np.maximum(later_B, 1)


def fit_experts(visits: Visits, tifu: TifuShape | None = None, recent: float = 1.0) -> Experts:
    """Fit every expert.

    Args:
        visits: of the reference users.
        recent: purchases of at most this age are recent, in the unit of the visits' clock.
    """
    return Experts(
        g_topfreq=fit_top_frequency(visits, own=False),
        p_topfreq=fit_top_frequency(visits, everybody=False),
        gp_topfreq=fit_top_frequency(visits),
        tifu_knn=fit_tifu_knn(visits, tifu),
        item_knn=fit_item_knn(visits),
        transitions=fit_visit_transitions(visits),
        similar_pasts=fit_similar_pasts(visits),
        repeats=fit_repeats(visits),
        trend=fit_trend(visits, recent),
    )
