"""Baselines for shops where items come again: GP-TopFreq and TIFU-KNN over a night's histories.

A visit is what a user bought on one day (UTC): the lines of an order have no order, and an item
counts once in it. Bought is what a target event says (`histories.target_event_types`), or any event
in a shop that has none; a purchase that was cancelled counts, as it does for popularity. A rating
of what the user bought or rated before is about that, and counts as no purchase. Both back off to
popularity, with scores that are shares of one:

    gp_topfreq   (n(u, i) + p(i)) / (sum of n(u, ·) + 1)        n: visits of u with i
    tifu_knn     (t(u, i) + e p(i)) / (sum of t(u, ·) + e)      t: `pipeline.ranking.tifu_knn`

with p the share of popularity and e = `BACKOFF`, which only decides among equals. A user of whom no
purchase is known gets popularity. Evaluation and generation build visits by `visits_of_events` and
score by `VisitBaseline`, so that what is measured is what is sent.

TIFU-KNN's reference users are at most `MAX_REFERENCE`, the first by their ids, which are hashes.

Gives up: only the newest `histories.max_events` events of a user are known.

Shapes: U users, B users of a batch, E events, I items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.model.list_methods import GP_TOPFREQ, TIFU_KNN
from pipeline.model.user_history import OWNING_EVENTS, RATING, UserHistory
from pipeline.ranking.baselines import Popularity
from pipeline.ranking.held_out_ranks import Items, Scorer
from pipeline.ranking.tifu_knn import TifuKnn, fit_tifu_knn
from pipeline.ranking.visits import Booleans, Floats, Integers, Visits

Strings = NDArray[np.str_]

BACKOFF = 1e-3
# Asked users times reference users are distances: 20,000 keep a batch of 256 at 41 MB.
MAX_REFERENCE = 20_000


@dataclass(frozen=True)
class VisitBaseline:
    """One of the two, fit.

    Args:
        tifu: None for GP-TopFreq.
        every_event: whether any event counts as a purchase.
    """

    popularity: Popularity
    tifu: TifuKnn | None
    every_event: bool

    def scores_and_counted(self, visits: Visits) -> tuple[Floats, Booleans]:
        """`share_BI`, and `counted_BI`: which are above what popularity alone gives."""
        weight = 1.0
        if self.tifu is None:
            strength_BI = visits.counts_UI.toarray()
        else:
            weight, strength_BI = BACKOFF, self.tifu.scores(visits)
            # The nearest to nobody's past are the users of the shortest ones: they say nothing.
            strength_BI[visits.n_visits_U == 0] = 0.0
        total_B1 = strength_BI.sum(axis=1, keepdims=True)
        shares: Floats = (strength_BI + weight * self.popularity.share_I) / (total_B1 + weight)
        return shares, strength_BI > 0


def fit_visit_baseline(
    name: str, popularity: Popularity, reference: Visits, *, every_event: bool
) -> VisitBaseline:
    """Fit the one of this name.

    Args:
        reference: of at most `MAX_REFERENCE` users; GP-TopFreq does not look at it.
    """
    assert name in {GP_TOPFREQ, TIFU_KNN}
    tifu = fit_tifu_knn(reference) if name == TIFU_KNN else None
    return VisitBaseline(popularity, tifu, every_event)


def visits_of_events(
    user_E: Integers, item_E: Integers, day_E: Integers, n_users: int, n_items: int
) -> Visits:
    """Visits from events, one a day; ages count in days, and the newest visit is 1 old.

    Args:
        user_E: rising.
    """
    if not len(user_E):
        none = np.zeros(0, dtype=np.int64)
        return Visits(none, none, none, np.zeros(0), n_users, n_items)
    user_E, day_E, item_E = np.unique(np.stack([user_E, day_E, item_E]), axis=1)
    begins_E = np.append(True, (user_E[1:] != user_E[:-1]) | (day_E[1:] != day_E[:-1]))
    number_E = np.cumsum(begins_E)  # of visits, through all users, oldest first
    last_E = np.searchsorted(user_E, user_E, side="right") - 1
    age_E = (day_E[last_E] - day_E + 1).astype(np.float64)
    return Visits(user_E, item_E, number_E[last_E] - number_E, age_E, n_users, n_items)


def is_later_rating(user_E: Integers, item_E: Integers, kind_E: Strings) -> Booleans:
    """Which events are ratings of what the same user bought or rated before.

    Args:
        user_E: any order of users; each one's events oldest first.
    """
    order = np.lexsort((item_E, user_E))  # stable: a pair's events stay oldest first
    owns_E = np.isin(kind_E[order], OWNING_EVENTS)
    before_E: Integers = np.cumsum(owns_E) - owns_E
    user_E, item_E = user_E[order], item_E[order]
    begins_E = np.append(True, (user_E[1:] != user_E[:-1]) | (item_E[1:] != item_E[:-1]))
    begins_E = begins_E[: len(order)]
    first_E = np.flatnonzero(begins_E)[np.cumsum(begins_E) - 1]
    later_E = np.zeros(len(order), dtype=np.bool_)
    later_E[order] = (kind_E[order] == RATING) & (before_E > before_E[first_E])
    return later_E


def visits_of_users(
    users: Sequence[UserHistory],
    index: Mapping[str, int],
    target_event_types: Sequence[str],
    *,
    every_event: bool,
) -> Visits:
    """What users bought before their held-out event; items that are not in `index` left out."""
    rows = [
        (row, index[item], time.toordinal(), kind)
        for row, user in enumerate(users)
        for item, kind, time in zip(
            user.known_items, user.known_event_types, user.event_times, strict=False
        )
        if item in index
    ]
    user_E, item_E, day_E = (np.array([row[n] for row in rows], np.int64) for n in range(3))
    if not every_event:
        kind_E = np.array([row[3] for row in rows], dtype=np.str_)
        counts_E = np.isin(kind_E, list(target_event_types))
        counts_E &= ~is_later_rating(user_E, item_E, kind_E)
        user_E, item_E, day_E = user_E[counts_E], item_E[counts_E], day_E[counts_E]
    return visits_of_events(user_E, item_E, day_E, len(users), len(index))


def visit_scorer(
    name: str,
    known: Sequence[UserHistory],
    items: Items,
    popularity: Popularity,
    target_event_types: Sequence[str],
) -> Scorer:
    """A baseline that is fit on what is known of users, as a scorer of users.

    Args:
        known: in the order of their ids.
    """
    index = items.index
    every_event = not any(
        kind in target_event_types and item in index
        for user in known
        for item, kind in zip(user.known_items, user.known_event_types, strict=True)
    )

    def visits(users: Sequence[UserHistory]) -> Visits:
        return visits_of_users(users, index, target_event_types, every_event=every_event)

    reference = visits(known[:MAX_REFERENCE] if name == TIFU_KNN else [])
    fitted = fit_visit_baseline(name, popularity, reference, every_event=every_event)

    def score(users: Sequence[UserHistory]) -> Floats:
        return fitted.scores_and_counted(visits(users))[0]

    return score
