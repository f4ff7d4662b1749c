"""All measures of one scorer on one half of the held-out users, as rows of `metrics.v1`.

Pure: ranks in, rows out. Measures of accuracy come by segment and with a bootstrap interval;
measures of the lists as a whole are of all users.

Shapes: B users, K list length, I items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.evaluation.list_measures import (
    average_popularities,
    calibration_error,
    diversities,
    gini,
    item_features,
    novelties,
    tail_shares,
)
from pipeline.evaluation.segments import ALL, segments
from pipeline.model.catalogue import CatalogueItem
from pipeline.model.user_history import UserHistory
from pipeline.ranking.baselines import Popularity
from pipeline.ranking.bootstrap import mean_intervals
from pipeline.ranking.held_out_ranks import Items, Ranks
from pipeline.ranking.metrics import (
    Floats,
    Integers,
    average_precisions,
    coverage,
    hits_of,
    ndcgs,
    precisions,
    recalls,
    reciprocal_ranks,
)


@dataclass(frozen=True)
class ItemFacts:
    """The facts about items that measures need.

    Args:
        catalogue: in the order of `items.item_ids`.
        popularity: fit without the held-out events.
    """

    items: Items
    catalogue: Sequence[CatalogueItem]
    popularity: Popularity

    @cached_property
    def events_I(self) -> Floats:
        """Known events of each item, of the kind that popularity counts."""
        return self.popularity.count_I

    @cached_property
    def categories(self) -> list[str]:
        """The category of each item."""
        return [item.category for item in self.catalogue]

    @cached_property
    def features_IF(self) -> Any:
        """The features of each item, for diversity."""
        return item_features(self.categories, [item.brand for item in self.catalogue])


@dataclass(frozen=True)
class Measures:
    """One scorer's ranks of one half, and the measures of them."""

    model: str
    split: str
    ranks: Ranks
    k: int

    @cached_property
    def accuracy_B(self) -> Mapping[str, Floats]:
        """Measures of accuracy, a value a user."""
        hit_BK, one_B = hits_of(self.ranks.rank_B, self.k), np.ones_like(self.ranks.rank_B)
        return {
            "recall": recalls(hit_BK, one_B),
            "ndcg": ndcgs(hit_BK, one_B),
            "mrr": reciprocal_ranks(hit_BK),
            "precision": precisions(hit_BK),
            "map": average_precisions(hit_BK, one_B),
        }

    @property
    def ndcg_B(self) -> Floats:
        """The measure that the gate decides by."""
        return self.accuracy_B["ndcg"]

    def rows(
        self, users: Sequence[UserHistory], facts: ItemFacts, seed: int
    ) -> list[dict[str, Any]]:
        """All rows of `metrics.v1`."""
        rows = []
        inside_of = segments(users, facts.items.index, facts.events_I, facts.categories)
        for segment, inside_B in inside_of.items():
            values = {name: value_B[inside_B] for name, value_B in self.accuracy_B.items()}
            if segment == ALL:
                values |= self._of_lists(facts)
            rows += self._mean_rows(segment, values, seed)
        return rows + [
            self._row(ALL, name, len(users), value) for name, value in self._of_all(facts).items()
        ]

    def _of_lists(self, facts: ItemFacts) -> dict[str, Floats]:
        top_BK: Integers = self.ranks.top_BK
        return {
            "novelty": novelties(top_BK, facts.events_I),
            "diversity": diversities(top_BK, facts.features_IF),
            "average_popularity": average_popularities(top_BK, facts.events_I),
            "tail_share": tail_shares(top_BK, facts.events_I),
        }

    def _of_all(self, facts: ItemFacts) -> dict[str, float]:
        # Fewer places than k where there are fewer items.
        hit_BK = hits_of(self.ranks.rank_B, self.ranks.probability_BK.shape[1])
        return {
            "coverage": coverage(self.ranks.top_BK, int(facts.items.sellable_I.sum())),
            "gini": gini(self.ranks.top_BK, facts.items.sellable_I),
            "calibration_error": calibration_error(self.ranks.probability_BK, hit_BK),
        }

    def _mean_rows(
        self, segment: str, values: Mapping[str, Floats], seed: int
    ) -> list[dict[str, Any]]:
        names = list(values)
        intervals = mean_intervals(np.stack([values[name] for name in names], axis=1), seed)
        n_users = len(values[names[0]])
        return [
            self._row(
                segment,
                name,
                n_users,
                interval.mean,
                *((interval.low, interval.high) if n_users else (None, None)),
            )
            for name, interval in zip(names, intervals, strict=True)
        ]

    def _row(  # noqa: PLR0917  the columns, in their order
        self,
        segment: str,
        metric: str,
        n_users: int,
        value: float,
        low: float | None = None,
        high: float | None = None,
    ) -> dict[str, Any]:
        return {
            "model": self.model,
            "split": self.split,
            "metric": metric,
            "k": self.k,
            # Rounding may put a mean of ones a hair above one.
            "value": min(max(value, 0.0), 1.0),
            "n_users": n_users,
            "segment": segment,
            "low": None if low is None else min(max(low, 0.0), 1.0),
            "high": None if high is None else min(max(high, 0.0), 1.0),
        }
