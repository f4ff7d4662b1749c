"""The weights of the prior's mixture of counts, learned from the weeks before tonight.

A list is for what is bought after tonight, which the last event of a visit does not stand for: most
of it is told by the other items of that visit. So each of the last `WEEKS` weeks is asked for as if
it had not come yet: counts are made of what was known before it, and what its buyers bought in it
is the target (each buyer who was active then). Weights are two logistic regressions
(`pipeline.ranking.pair_logit`): of items that a user had, and of others.

The newest week judges: where a mixture that learned from the weeks before it has a lower NDCG there
than the best of its experts alone, there is no mixture. Then
the weights are learned from all weeks, and the counts made of everything that is known. How much
the mixture counts beside the model is chosen as for every prior (`prior_choice`).

Held-out events are not looked at, nor what came after the night. Pure. Shapes: U users, B users of
a batch, I items of the vocabulary, F features, E events of a user.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.model.count_mixture import (
    COUNT_FEATURES,
    PAIR_FEATURES,
    SAME_SHAPE,
    CountMixture,
    Weights,
    count_features,
    own_features,
)
from pipeline.model.transitions import Transitions, fit_transitions
from pipeline.model.user_history import OWNING_EVENTS, UserHistory
from pipeline.ranking.bootstrap import difference_interval
from pipeline.ranking.metrics import ndcgs, top_items
from pipeline.ranking.pair_logit import Logit, PairLogit, PairRows

log = logging.getLogger("nightcart")

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

WEEKS = 3
DAYS = 7
ACTIVE_DAYS = 30
# With fewer buyers in the newest week, or in those before it, nothing is learned.
MIN_USERS = 30
MIN_PAIRS = 100
# Of one week; the first by their ids, which are hashes.
MAX_USERS = 1000
# Of `histories.max_events`, before the week, where a history may have lost older events.
MIN_PAST_SHARE = 0.5
ITEM_FEATURES = ("popularity", "month", "week")
FEATURES = (*PAIR_FEATURES, *ITEM_FEATURES)
# What ranks by itself, and whose first items are worth learning from.
EXPERTS = ("same", "recent", "followed", "popularity", "week")
RIDGE = 10.0
MIXTURE = "mixture"
# So many events of an item's usual share weigh as much as those of the last days.
_SMOOTHING = 20.0
_HALF = 0.5  # of an event, for an item that has none
_MAX_CELLS = 8 * 1024 * 1024


@dataclass(frozen=True)
class Past:
    """Known events of one user, oldest first, and what the user ever owned."""

    item_E: Integers
    day_E: Integers
    is_target_E: Booleans
    owns_E: Booleans
    owned: frozenset[int]
    is_cut: bool  # whether more happened before these events

    def owned_on(self, day: int) -> list[int]:
        """What the user owned at the end of a day; what is older than the events counts as then."""
        until_E = self.owns_E & (self.day_E <= day)
        later = set(self.item_E[self.owns_E & ~until_E].tolist())
        return sorted((self.owned - later) | set(self.item_E[until_E].tolist()))


def known_pasts(
    users: Sequence[UserHistory],
    index: Mapping[str, int],
    target_event_types: Sequence[str],
    max_events: int,
    zone: dt.tzinfo,
) -> list[Past]:
    """What is known of users before their held-out events; items without a number left out.

    A day is the shop's, as the night is; events are in UTC. Of who is measured the newest target is
    held out, so item weights of the last days count too little in a shop with few events.
    """
    pasts = []
    for user in users:
        known = [
            (
                index[item],
                time.astimezone(zone).toordinal(),
                kind in target_event_types,
                kind in OWNING_EVENTS,
            )
            for item, time, kind in zip(
                user.known_items, user.event_times, user.known_event_types, strict=False
            )
            if item in index
        ]
        item_E, day_E, is_target_E, owns_E = np.array(known, dtype=np.int64).reshape(-1, 4).T
        owned = frozenset(index[item] for item in user.owned_before_holdout() if item in index)
        is_cut = len(user.item_ids) >= max_events
        pasts.append(Past(item_E, day_E, is_target_E > 0, owns_E > 0, owned, is_cut))
    return pasts


def item_features(pasts: Sequence[Past], n_items: int, night: int) -> Floats:
    """`feature_IF` of `ITEM_FEATURES` at the end of a night: logarithms of shares of target events.

    Half the mean share is added to each: a rare item must not be far from all that was learned.
    """
    item_E = np.concatenate([np.zeros(0, np.int64), *(past.item_E for past in pasts)])
    day_E = np.concatenate([np.zeros(0, np.int64), *(past.day_E for past in pasts)])
    is_target_E = np.concatenate([np.zeros(0, np.bool_), *(past.is_target_E for past in pasts)])
    chosen_E = day_E <= night
    if is_target_E[chosen_E].any():
        chosen_E &= is_target_E
    count_I = np.bincount(item_E[chosen_E], minlength=n_items) + _HALF
    share_I, least = count_I / count_I.sum(), 0.5 / max(1, n_items)
    found = [np.log(share_I + least)]
    for days in (ACTIVE_DAYS, DAYS):
        recent_I = np.bincount(item_E[chosen_E & (day_E > night - days)], minlength=n_items)
        total = recent_I.sum() + _SMOOTHING
        found.append(np.log((recent_I + _SMOOTHING * share_I) / total + least))
    return np.stack(found, axis=1)


@dataclass(frozen=True)
class Week:
    """The days after `night`, and what was known then.

    Args:
        pasts: with the week itself, and with what came after it.
    """

    night: int
    pasts: Sequence[Past]
    n_items: int
    min_past: int

    @cached_property
    def histories(self) -> list[Integers]:
        """Items of each user until the night."""
        return [past.item_E[past.day_E <= self.night] for past in self.pasts]

    @cached_property
    def same(self) -> Transitions:
        """Counted of what was known."""
        return fit_transitions(self.histories, self.n_items, SAME_SHAPE)

    @cached_property
    def followed(self) -> Transitions:
        """Counted of what was known."""
        return fit_transitions(self.histories, self.n_items)

    @cached_property
    def item_features_IF(self) -> Floats:
        """As of the night."""
        return item_features(self.pasts, self.n_items, self.night)

    def buyers(self) -> list[tuple[int, Integers]]:
        """Who was active, and what they bought in the week.

        Of those who buy most, a history that keeps the newest events alone holds little that is
        older than the week, and says nothing of what a list is made from; they are left out.
        """
        found = []
        for user, past in enumerate(self.pasts):
            known_E = past.day_E <= self.night
            inside_E = ~known_E & (past.day_E <= self.night + DAYS) & past.is_target_E
            was_active = known_E.any() and past.day_E[known_E][-1] > self.night - ACTIVE_DAYS
            is_whole = not past.is_cut or known_E.sum() >= self.min_past
            if was_active and is_whole and inside_E.any():
                found.append((user, past.item_E[inside_E]))
        return found[:MAX_USERS]

    def batches(self, *, mask_owned: bool) -> Iterator[Asked]:
        """A few buyers at a time."""
        buyers = self.buyers()
        step = max(1, _MAX_CELLS // max(1, self.n_items * len(FEATURES)))
        for start in range(0, len(buyers), step):
            some = buyers[start : start + step]
            histories = [self.histories[user] for user, _ in some]
            features = [
                *count_features(self.same, self.followed, histories),
                *own_features(histories, self.n_items),
            ]
            feature_BIF = np.zeros((len(some), self.n_items, len(FEATURES)), dtype=np.float32)
            for number, feature_UI in enumerate(features):
                feature_BIF[:, :, number] = feature_UI.toarray()
            feature_BIF[:, :, len(features) :] = self.item_features_IF
            had_BI = feature_BIF[:, :, PAIR_FEATURES.index("own")] > 0
            wanted_BI, hidden_BI = np.zeros_like(had_BI), np.zeros_like(had_BI)
            for row, (user, bought) in enumerate(some):
                wanted_BI[row, bought] = True
                if mask_owned:
                    hidden_BI[row, self.pasts[user].owned_on(self.night)] = True
            wanted_BI &= ~hidden_BI
            asks_B = wanted_BI.any(axis=1)
            yield Asked(feature_BIF[asks_B], had_BI[asks_B], wanted_BI[asks_B], hidden_BI[asks_B])


@dataclass(frozen=True)
class Asked:
    """Buyers with what they bought; hidden is what no list of theirs may hold."""

    feature_BIF: NDArray[np.float32]
    had_BI: Booleans
    wanted_BI: Booleans
    hidden_BI: Booleans


def learn_mixture(  # noqa: PLR0917  what choosing a prior is told too
    users: Sequence[UserHistory],
    index: Mapping[str, int],
    target_event_types: Sequence[str],
    sellable_I: Booleans,
    night: dt.date,
    k: int,
    max_events: int,
    seed: int,
    *,
    zone: dt.tzinfo,
    mask_owned: bool,
) -> CountMixture | None:
    """The mixture; None where there is too little to learn from, or an expert alone is better.

    Args:
        users: consenting ones, in the order of their ids.
        index: the number of each item.
        sellable_I: what may be recommended.
        night: until the end of which everything is known.
        max_events: how many of a user's events, the newest, histories keep.
        seed: of the bootstrap.
        zone: the shop's, whose calendar day a night is.
        mask_owned: whether what a user owns may not come again.
    """
    pasts = known_pasts(users, index, target_event_types, max_events, zone)
    last, n_items, min_past = night.toordinal(), len(index), int(max_events * MIN_PAST_SHARE)
    weeks = [Week(last - n * DAYS, pasts, n_items, min_past) for n in range(1, WEEKS + 1)]
    rows = PairRows(FEATURES, EXPERTS, PAIR_FEATURES[len(COUNT_FEATURES) :])
    n_before = sum(_gather(rows, week, mask_owned=mask_owned) for week in weeks[1:])
    if n_before < MIN_USERS:
        log.info("no mixture: %d buyers in the weeks to learn from", n_before)
        return None
    ndcg_B_of = _measured(weeks[0], _fitted(rows), sellable_I, k, mask_owned=mask_owned)
    mixed_B = ndcg_B_of.pop(MIXTURE)
    if len(mixed_B) < MIN_USERS:
        log.info("no mixture: %d buyers in the newest week", len(mixed_B))
        return None
    best = max(ndcg_B_of, key=lambda name: float(ndcg_B_of[name].mean()))
    difference = difference_interval(mixed_B, ndcg_B_of[best], seed)
    log.info(
        "mixture of counts: NDCG %.4f in the newest week (less %s alone: %s)",
        mixed_B.mean(),
        best,
        difference,
    )
    if difference.mean < 0:
        return None
    _gather(rows, weeks[0], mask_owned=mask_owned)
    logit, tonight = _fitted(rows), Week(last, pasts, n_items, min_past)
    again = _weights(logit.bought, tonight, len(PAIR_FEATURES)) if _tell_again(rows) else None
    return CountMixture(
        tonight.same, tonight.followed, _weights(logit.new, tonight, len(COUNT_FEATURES)), again
    )


def _gather(rows: PairRows, week: Week, *, mask_owned: bool) -> int:
    """Add a week to what is learned from; returns its buyers."""
    n_users = 0
    for asked in week.batches(mask_owned=mask_owned):
        if len(asked.feature_BIF):
            rows.add(asked.feature_BIF, asked.had_BI, asked.wanted_BI, asked.hidden_BI)
        n_users += len(asked.feature_BIF)
    return n_users


def _tell_again(rows: PairRows) -> bool:
    """Whether there are enough pairs of a buyer and an item of the buyer's past."""
    return sum(len(wanted_N) for _, wanted_N, _ in rows.rows[True]) >= MIN_PAIRS


def _fitted(rows: PairRows) -> PairLogit:
    """Both regressions; where the first has too little to learn from it is the second."""
    logit = rows.fit(RIDGE)
    return logit if _tell_again(rows) else replace(logit, bought=logit.new)


def _measured(
    week: Week, logit: PairLogit, sellable_I: Booleans, k: int, *, mask_owned: bool
) -> dict[str, Floats]:
    """NDCG@k of the mixture and of each expert, a value a buyer."""
    found: dict[str, list[Floats]] = {name: [] for name in (MIXTURE, *EXPERTS)}
    for asked in week.batches(mask_owned=mask_owned):
        wanted_BI = asked.wanted_BI & sellable_I
        never_BI = asked.hidden_BI | ~sellable_I
        asks_B = wanted_BI.any(axis=1)
        for name, ndcg_B in found.items():
            score_BI = (
                logit.scores(asked.feature_BIF, asked.had_BI)
                if name == MIXTURE
                else asked.feature_BIF[:, :, FEATURES.index(name)].astype(np.float64)
            )
            top_BK = top_items(np.where(never_BI, -np.inf, score_BI), k)
            hit_BK = np.take_along_axis(wanted_BI, top_BK, axis=1)
            ndcg_B.append(ndcgs(hit_BK, wanted_BI.sum(axis=1))[asks_B].astype(np.float64))
    return {name: np.concatenate([np.zeros(0), *parts]) for name, parts in found.items()}


def _weights(logit: Logit, tonight: Week, n_features: int) -> Weights:
    of_items_F = logit.weight_F[-len(ITEM_FEATURES) :]
    return Weights(logit.weight_F[:n_features], tonight.item_features_IF @ of_items_F + logit.bias)
