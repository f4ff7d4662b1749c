"""The learned mixture of experts, or the best expert alone where the mixture is no better.

Held-out users decide: the mixture is taken if its mean NDCG is at least the best expert's on the
same users; else that expert ranks alone. So a mixture that learned noise never makes a list.

Shapes: B users, I items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.model.list_methods import ITEM_KNN, TIFU_KNN
from pipeline.ranking.experts import (
    PAIR_FEATURES,
    USER_OF_PAIR_FEATURES,
    Experts,
)
from pipeline.ranking.pair_logit import PairLogit, PairRows
from pipeline.ranking.visits import Booleans, Floats, Visits

MIXTURE = "mixture"
# The features whose first items are worth learning from.
RANKED_BY = ("trend", "popularity", "similar pasts", TIFU_KNN, "transitions", ITEM_KNN)
# Users at a time: 128 users, 12,000 items and 20 features are 123 MB.
BATCH_USERS = 128


@dataclass(frozen=True)
class Mixture:
    """Experts and what weighs them; `alone` names the expert that ranks in their place."""

    experts: Experts
    logit: PairLogit
    alone: str | None = None

    def scores(self, visits: Visits) -> Floats:
        """`score_BI` of every item: log odds, or the scores of the expert that ranks alone."""
        if self.alone is not None:
            return self.experts.scores(visits)[self.alone]
        return self.logit.scores(*self.experts.features(visits))


def pair_rows(experts: Experts) -> PairRows:
    """An empty collection of pairs to learn from."""
    pair_only = PAIR_FEATURES + USER_OF_PAIR_FEATURES
    return PairRows(experts.feature_names, RANKED_BY, pair_only)


def gather(rows: PairRows, experts: Experts, visits: Visits, wanted_UI: Booleans) -> None:
    """Add what users bought after their visits to what is learned from.

    Args:
        experts: fit without anything that is wanted.
        wanted_UI: what each user bought in the visit after these.
    """
    for start in range(0, visits.n_users, BATCH_USERS):
        stop = min(start + BATCH_USERS, visits.n_users)
        rows.add(*experts.features(visits.of_users(start, stop)), wanted_UI[start:stop])


def alone_instead(mixture_ndcg_B: Floats, ndcg_B_of: Mapping[str, Floats]) -> str | None:
    """The expert that ranks alone; None where the mixture's mean is at least the best expert's.

    Args:
        mixture_ndcg_B: NDCG of users that the mixture did not learn from.
        ndcg_B_of: the same of each expert, of the same users.
    """
    if not len(mixture_ndcg_B):
        return max(ndcg_B_of)  # nobody says anything: any will do, the same each time
    best = max(ndcg_B_of, key=lambda name: float(np.mean(ndcg_B_of[name])))
    return None if mixture_ndcg_B.mean() >= ndcg_B_of[best].mean() else best
