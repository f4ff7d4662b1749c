"""What is bought now, against what was bought before.

`recent_I` counts purchases that are at most `recent` old (in the unit of the visits' clock: days,
or, where no dates are known, a user's newest visits), `before_I` the older ones. The expert's score
is the share of the recent purchases, drawn to the share of the older ones by s purchases:

    trend(i) = (recent(i) + s before(i) / sum of before) / (sum of recent + s)

and `lift_I` = log((trend(i) + e) / (share of before(i) + e)) says how much an item rises or falls,
e = 1 / all purchases. Where nothing is recent, the trend is what was bought before.

Shapes: I items, E purchases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.ranking.visits import Floats, Visits

# So many recent purchases weigh as much as all that was bought before.
SMOOTHING = 100.0


@dataclass(frozen=True)
class Trend:
    """The same order for everybody."""

    share_I: Floats
    lift_I: Floats

    def scores(self, visits: Visits) -> Floats:
        """`share_UI`."""
        return np.tile(self.share_I, (visits.n_users, 1))


def fit_trend(visits: Visits, recent: float = 1.0) -> Trend:
    """Count recent and earlier purchases.

    Args:
        recent: purchases of at most this age are recent.
    """
    is_recent_E, n_items = visits.age_E <= recent, visits.n_items
    recent_I = np.bincount(visits.item_E[is_recent_E], minlength=n_items).astype(np.float64)
    before_I = np.bincount(visits.item_E[~is_recent_E], minlength=n_items).astype(np.float64)
    before_share_I = before_I / max(before_I.sum(), 1.0)
    smoothing = SMOOTHING if before_I.any() else 0.0
    total = recent_I.sum() + smoothing
    share_I = (recent_I + smoothing * before_share_I) / max(total, 1.0)
    least = 1.0 / max(len(visits.item_E), 1)
    return Trend(share_I, np.log((share_I + least) / (before_share_I + least)))
