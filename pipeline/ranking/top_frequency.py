"""Counting as a baseline: G-TopFreq, P-TopFreq and GP-TopFreq.

From "A Next Basket Recommendation Reality Check" (Li et al., TOIS 2023): the globally most
frequent items; the user's own most frequent items; the own ones first, filled up with global ones.

    G(u, i)  = c(i) / sum of c        c(i): visits with i, of all users
    P(u, i)  = n(u, i)                n(u, i): visits of u with i
    GP(u, i) = n(u, i) + G(u, i)

G is below 1 where more than one item was bought, so a purchase more of one's own always counts
more, and the global order decides among items that the user bought equally often.

Shapes: U users, I items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.ranking.visits import Floats, Visits


@dataclass(frozen=True)
class TopFrequency:
    """Global shares of visits, and own counts.

    Args:
        own: whether the user's own counts are looked at.
        everybody: whether global shares are.
    """

    share_I: Floats
    own: bool = True
    everybody: bool = True

    def scores(self, visits: Visits) -> Floats:
        """`score_UI` of every item."""
        score_UI = np.zeros((visits.n_users, len(self.share_I)))
        if self.own:
            score_UI += visits.counts_UI.toarray()
        if self.everybody:
            score_UI += self.share_I
        return score_UI


def fit_top_frequency(visits: Visits, *, own: bool = True, everybody: bool = True) -> TopFrequency:
    """Count in how many visits each item is."""
    count_I = np.bincount(visits.item_E, minlength=visits.n_items).astype(np.float64)
    return TopFrequency(count_I / max(count_I.sum(), 1.0), own, everybody)
