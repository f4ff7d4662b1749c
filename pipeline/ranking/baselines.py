"""The baselines: lists without a model, by popularity and by counts of what follows what.

They are fit in seconds from the items of histories that end before the held-out event, and score
every item for many histories at once. A model must beat them to be promoted, and one of them is the
fallback of generation (`pipeline.ranking.best_baseline`).

`Popularity`: how often an item was the object of a target event (one of the types of
`histories.target_event_types`); of any event in a shop without targets. `Markov`: the windowed
transitions of `pipeline.model.transitions`, which are the model's prior too, backing off to
popularity with the weight of one observation: (s(history, b) + p(b)) / (sum of s(history, ·) + 1).
`FIRST_ORDER` is the shape that makes it the chain that only looks at the last item, `ITEM_KNN` the
one that makes it item-kNN: the cosine of two items' users, summed over the history (Sarwar et al.,
WWW 2001).

Shapes: U users, I items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.model import list_methods
from pipeline.model.transitions import Transitions, TransitionShape, fit_transitions
from pipeline.model.user_history import UserHistory

Booleans = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FIRST_ORDER = TransitionShape(window=1, age_decay=0.0)
ITEM_KNN = TransitionShape(age_decay=1.0, together=True)
# The baselines that count pairs, by their names in metrics and in lists.
SHAPES: Mapping[str, TransitionShape] = {
    list_methods.MARKOV: TransitionShape(),
    list_methods.ITEM_KNN: ITEM_KNN,
}


@dataclass(frozen=True)
class Popularity:
    """The same order for everybody."""

    share_I: Floats
    count_I: Floats

    def scores(self, histories: Sequence[Sequence[int] | Integers]) -> Floats:
        """`share_UI`, of events by item; a row sums to 1 unless nothing ever happened."""
        return np.tile(self.share_I, (len(histories), 1))


@dataclass(frozen=True)
class Markov:
    """Items that followed a user's newest items, else popular ones."""

    transitions: Transitions
    popularity: Popularity

    def scores(self, histories: Sequence[Sequence[int] | Integers]) -> Floats:
        """`share_UI`: estimated share of each item as the next one. Items are numbers from 0."""
        return self.scores_and_counted(histories)[0]

    def scores_and_counted(
        self, histories: Sequence[Sequence[int] | Integers]
    ) -> tuple[Floats, Booleans]:
        """`share_UI`, and `counted_UI`: which shares are above what popularity alone gives."""
        strength_UI = self.transitions.scores(histories)
        total_U1 = np.asarray(strength_UI.sum(axis=1)).reshape(-1, 1)
        strengths = strength_UI.toarray()
        shares: Floats = (strengths + self.popularity.share_I) / (total_U1 + 1.0)
        return shares, strengths > 0


def known_events(
    users: Sequence[UserHistory], index: Mapping[str, int], target_event_types: Sequence[str]
) -> tuple[list[list[int]], list[list[bool]]]:
    """What a baseline is fit on: item numbers before the held-out event, and which are targets.

    Args:
        index: the number of each item; events of other items are left out.
        target_event_types: `histories.target_event_types`.
    """
    known = [
        [
            (index[item], kind in target_event_types)
            for item, kind in zip(user.known_items, user.known_event_types, strict=True)
            if item in index
        ]
        for user in users
    ]
    return (
        [[item for item, _ in row] for row in known],
        [[is_target for _, is_target in row] for row in known],
    )


def fit_popularity(
    histories: Sequence[Sequence[int] | Integers],
    targets: Sequence[Sequence[bool] | Booleans],
    n_items: int,
) -> Popularity:
    """Count events per item.

    Args:
        histories: item numbers per user, held-out events left out.
        targets: parallel to them, whether each is a target event.
    """
    items = np.concatenate(
        [np.asarray(row, dtype=np.int64) for row in histories] or [np.zeros(0, np.int64)]
    )
    is_target = np.concatenate(
        [np.asarray(row, dtype=bool) for row in targets] or [np.zeros(0, bool)]
    )
    chosen = items[is_target] if is_target.any() else items
    return popularity_of(np.bincount(chosen, minlength=n_items).astype(np.float64))


def popularity_of(count_I: Floats) -> Popularity:
    """From counted events per item."""
    return Popularity(count_I / max(count_I.sum(), 1.0), count_I)


def fit_markov(
    histories: Sequence[Sequence[int] | Integers],
    popularity: Popularity,
    n_items: int,
    shape: TransitionShape | None = None,
) -> Markov:
    """Count which items follow which, in the default shape or another."""
    return Markov(fit_transitions(histories, n_items, shape), popularity)
