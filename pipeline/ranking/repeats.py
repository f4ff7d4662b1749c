"""What a user does again: own counts with decay, and whether an item is due.

For a user u and an item i that u bought before, with ages in the unit of the visits' clock (days,
or visits where no dates are known):

    count     in how many visits u bought i
    decayed   sum over these visits of decay ** (visits since)
    since     the age of the newest of them
    interval  the time after which u buys i again: (sum of u's own gaps of i + s m(i)) /
              (number of these gaps + s), where m(i) is the mean gap of i over everybody, itself
              drawn to the mean of all gaps by s gaps, s = `SMOOTHING`
    due       log(since / interval): 0 on the day, below 0 before it

and the score of the expert is

    decayed * sqrt(rate(i)) / (1 + `OVERDUE` * max(due, 0))

frequent and recent first, of items that come again, and less the longer the day is past. `rate` is
how often an item comes again: of the users who had it before their newest visit, the share that
bought it in that visit, drawn to the mean of all items by s users; 0 everywhere, and so is every
score, in a shop where nobody ever bought twice. An item that the user never bought scores 0. The
decay, the root and `OVERDUE` ranked best on validation (docs/experiments/baskets.md).

Shapes: U users, I items, E purchases, P pairs of a user and an item that the user bought, G gaps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pipeline.ranking.visits import Floats, Integers, Visits

# So many observations weigh as much as what is known beforehand.
SMOOTHING = 5.0
DECAY = 0.95
OVERDUE = 0.3
# Ages and intervals below a day (or a visit) are one: a log needs something above 0.
_LEAST = 1.0


@dataclass(frozen=True)
class Pairs:
    """What is known of each pair of a user and an item that the user bought; users in order."""

    user_P: Integers
    item_P: Integers
    count_P: Floats
    decayed_P: Floats
    since_P: Floats
    span_P: Floats  # from the first purchase to the newest: the sum of the gaps
    n_users: int
    n_items: int

    def table(self, value_P: Floats) -> sparse.csr_matrix:
        """`value_UI`, 0 where the user did not buy the item."""
        shape = (self.n_users, self.n_items)
        return sparse.csr_matrix((value_P, (self.user_P, self.item_P)), shape=shape)


def pairs_of(visits: Visits, decay: float = DECAY) -> Pairs:
    """Every pair, from the purchases."""
    key_E = visits.user_E * visits.n_items + visits.item_E
    key_P, place_E = np.unique(key_E, return_inverse=True)
    n = len(key_P)
    since_P, first_P, decayed_P = np.full(n, np.inf), np.zeros(n), np.zeros(n)
    np.add.at(decayed_P, place_E, np.power(decay, visits.visit_E.astype(np.float64)))
    np.minimum.at(since_P, place_E, visits.age_E)
    np.maximum.at(first_P, place_E, visits.age_E)
    return Pairs(
        key_P // max(visits.n_items, 1),
        key_P % max(visits.n_items, 1),
        np.bincount(place_E, minlength=n).astype(np.float64),
        decayed_P,
        since_P,
        first_P - since_P,
        visits.n_users,
        visits.n_items,
    )


@dataclass(frozen=True)
class Repeats:
    """How often and after how long each item is bought again.

    Args:
        interval_I: m(i), in the clock's unit.
        rate_I: the share of users who had the item and bought it in their newest visit.
    """

    interval_I: Floats
    rate_I: Floats
    decay: float = DECAY

    def intervals(self, pairs: Pairs) -> Floats:
        """`interval_P`, at least one unit of the clock."""
        expected_P = self.interval_I[pairs.item_P]
        gaps_P = pairs.count_P - 1
        interval_P = (pairs.span_P + SMOOTHING * expected_P) / (gaps_P + SMOOTHING)
        return np.maximum(interval_P, _LEAST)

    def due(self, pairs: Pairs) -> Floats:
        """`due_P`: log(since / interval)."""
        log_ratio: Floats = np.log(np.maximum(pairs.since_P, _LEAST) / self.intervals(pairs))
        return log_ratio

    def scores(self, visits: Visits) -> Floats:
        """`score_UI`: the expert's scores."""
        pairs = pairs_of(visits, self.decay)
        late_P = 1 + OVERDUE * np.maximum(self.due(pairs), 0.0)
        score_P = pairs.decayed_P * np.sqrt(self.rate_I[pairs.item_P]) / late_P
        found: Floats = pairs.table(score_P).toarray()
        return found


def fit_repeats(visits: Visits, decay: float = DECAY) -> Repeats:
    """Gaps between purchases of one item by one user, and who bought again in the newest visit."""
    pairs, n_items = pairs_of(visits, decay), visits.n_items
    gaps_I = np.bincount(pairs.item_P, pairs.count_P - 1, minlength=n_items)
    span_I = np.bincount(pairs.item_P, pairs.span_P, minlength=n_items)
    n_gaps = gaps_I.sum()
    mean = span_I.sum() / n_gaps if n_gaps else _LEAST
    interval_I = np.maximum((span_I + SMOOTHING * mean) / (gaps_I + SMOOTHING), _LEAST)
    had_UI = visits.before_newest().counts_UI.sign()
    again_UI = had_UI.multiply(visits.newest()).tocsr()
    had_I = np.asarray(had_UI.sum(axis=0)).ravel()
    again_I = np.asarray(again_UI.sum(axis=0)).ravel()
    overall = again_I.sum() / max(had_I.sum(), 1.0)
    rate_I = (again_I + SMOOTHING * overall) / (had_I + SMOOTHING)
    return Repeats(interval_I, rate_I, decay)
