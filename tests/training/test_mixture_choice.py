"""Weights learned from the weeks before: who bought what, nothing held out and nothing later."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np
import pytest

from pipeline.model.count_mixture import PAIR_FEATURES, CountMixture
from pipeline.model.user_history import UserHistory
from pipeline.training.mixture_choice import (
    Past,
    Week,
    item_features,
    known_pasts,
    learn_mixture,
)

NIGHT = dt.date(2026, 3, 1)
N = 30
IDS = [f"i{n:02d}" for n in range(N)]
INDEX = {item: n for n, item in enumerate(IDS)}
TARGETS = ("purchase", "rating")
SELLABLE = np.ones(N, dtype=np.bool_)


def user(name: str, events: list[tuple[int, int]], kinds: list[str] | None = None) -> UserHistory:
    """Events of (days before the night, item), oldest first; all are known."""
    times = [dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC) - dt.timedelta(days=d) for d, _ in events]
    items, kinds = tuple(IDS[item] for _, item in events), kinds or ["purchase"] * len(events)
    owned = tuple(sorted({i for i, kind in zip(items, kinds, strict=True) if kind != "view"}))
    return UserHistory(name, items, tuple(kinds), tuple(times), (), (), owned, "en", None, None)


def shop(seed: int = 0, *, again: bool = False) -> list[UserHistory]:
    """In each of five weeks everybody buys the next item, or the same one again."""
    random = np.random.default_rng(seed)
    people = []
    for n in range(120):
        start = int(random.integers(N))
        steps = [start if again else (start + week) % N for week in range(5)]
        events = [(30 - 7 * week, item) for week, item in enumerate(steps)]
        people.append(user(f"u{n:03d}", events))
    return people


def learn(people: list[UserHistory], *, mask_owned: bool = True) -> CountMixture | None:
    return learn_mixture(
        people, INDEX, TARGETS, SELLABLE, NIGHT, 5, 50, 0, zone=dt.UTC, mask_owned=mask_owned
    )


def test_what_comes_next_is_ranked_first() -> None:
    found = learn(shop())
    assert found is not None
    scores_I = found.scores([[3, 4, 5]]).toarray()[0] + found.new.item_I
    scores_I[[3, 4, 5]] = -np.inf
    assert np.argmax(scores_I) == 6


def test_where_nobody_buys_twice_what_one_had_comes_last() -> None:
    found = learn(shop(), mask_owned=False)
    assert found is not None
    assert found.again is not None
    assert not found.again.weight_F.any()
    scores_I = found.scores([[3, 4, 5]]).toarray()[0] + found.new.item_I
    assert np.argmax(scores_I) == 6
    assert scores_I[[3, 4, 5]].max() < scores_I[6]


def test_where_all_buy_the_same_again_that_is_ranked_first() -> None:
    found = learn(shop(again=True), mask_owned=False)
    assert found is not None
    assert found.again is not None
    scores_I = found.scores([[7, 7, 7]]).toarray()[0] + found.new.item_I
    assert np.argmax(scores_I) == 7


def test_held_out_events_and_the_days_after_the_night_move_nothing() -> None:
    before = learn(shop())
    with_more = [
        dataclasses.replace(
            person,
            item_ids=(*person.item_ids, IDS[0]),
            event_types=(*person.event_types, "purchase"),
            event_times=(*person.event_times, dt.datetime(2026, 3, 1, 13, tzinfo=dt.UTC)),
            owned_item_ids=tuple(sorted({*person.owned_item_ids, IDS[0]})),
            holdout_index=len(person.item_ids),
            holdout_split="test",
        )
        for person in shop()
        if IDS[0] not in person.item_ids
    ]
    others = [person for person in shop() if IDS[0] in person.item_ids]
    after = learn(sorted([*with_more, *others], key=lambda person: person.user_id))
    assert before is not None
    assert after is not None
    assert len(with_more) > 50
    assert np.array_equal(before.new.weight_F, after.new.weight_F)
    assert np.array_equal(before.new.item_I, after.new.item_I)
    assert (before.same.counts_II != after.same.counts_II).nnz == 0


def test_too_few_people_nobody_and_one_item_make_no_mixture() -> None:
    assert learn(shop()[:10]) is None
    assert learn([]) is None
    everybody = [user(f"u{n}", [(20, 0), (3, 0)]) for n in range(100)]
    only = learn_mixture(
        everybody, {IDS[0]: 0}, TARGETS, SELLABLE[:1], NIGHT, 5, 50, 0, zone=dt.UTC, mask_owned=True
    )
    assert only is None  # all own all there is


def test_a_week_knows_what_came_before_it_and_who_owned_what() -> None:
    people = [
        user("a", [(20, 1), (9, 2), (3, 4), (1, 1)]),
        user("b", [(20, 5), (3, 6)], ["view", "purchase"]),
        user("c", [(3, 7)]),  # nothing is known before
        user("d", [(60, 8), (3, 9)]),  # was not active
    ]
    pasts = known_pasts(people, INDEX, TARGETS, 50, dt.UTC)
    week = Week(NIGHT.toordinal() - 7, pasts, N, 25)
    assert [past.tolist() for past in week.histories] == [[1, 2], [5], [], [8]]
    assert [(who, bought.tolist()) for who, bought in week.buyers()] == [(0, [4, 1]), (1, [6])]
    (asked,) = week.batches(mask_owned=True)
    assert [np.flatnonzero(row).tolist() for row in asked.wanted_BI] == [[4], [6]]
    assert [np.flatnonzero(row).tolist() for row in asked.hidden_BI] == [[1, 2], []]
    assert [np.flatnonzero(row).tolist() for row in asked.had_BI] == [[1, 2], [5]]
    (asked,) = week.batches(mask_owned=False)
    assert [np.flatnonzero(row).tolist() for row in asked.wanted_BI] == [[1, 4], [6]]
    assert asked.feature_BIF[0, 1, PAIR_FEATURES.index("own")] > 0


def test_a_history_that_lost_its_older_events_is_learned_from_if_enough_is_left() -> None:
    events = [(20, 1), (9, 2), (3, 4)]
    cut = known_pasts([user("a", events)], INDEX, TARGETS, 3, dt.UTC)
    assert cut[0].is_cut
    night = NIGHT.toordinal() - 7
    assert len(Week(night, cut, N, 2).buyers()) == 1
    assert Week(night, cut, N, 3).buyers() == []


def test_item_features_by_hand() -> None:
    day = NIGHT.toordinal()
    days = np.array([day - 40, day - 10, day, day + 1])
    yes = np.ones(4, dtype=np.bool_)
    past = Past(np.array([0, 1, 1, 0]), days, yes, yes, frozenset(), is_cut=False)
    popularity, month, week = item_features([past], 2, day).T
    share = np.array([1.5, 2.5]) / 4
    np.testing.assert_allclose(popularity, np.log(share + 0.25))
    np.testing.assert_allclose(month, np.log((np.array([0, 2]) + 20 * share) / 22 + 0.25))
    np.testing.assert_allclose(week, np.log((np.array([0, 1]) + 20 * share) / 21 + 0.25))


@pytest.mark.parametrize("hours", [-8, 0, 9])
def test_days_are_the_shops_so_that_its_last_evening_counts_and_its_next_morning_does_not(
    hours: int,
) -> None:
    zone = dt.timezone(dt.timedelta(hours=hours))
    midnight = dt.datetime(2026, 3, 2, tzinfo=zone).astimezone(dt.UTC)
    minute = dt.timedelta(minutes=1)
    times = (midnight - dt.timedelta(days=7) - minute, midnight - minute, midnight + minute)
    person = dataclasses.replace(user("a", [(20, 1), (3, 2), (0, 3)]), event_times=times)
    pasts = known_pasts([person], INDEX, TARGETS, 50, zone)
    last = NIGHT.toordinal()
    assert Week(last, pasts, N, 25).histories[0].tolist() == [1, 2]
    ((_, bought),) = Week(last - 7, pasts, N, 25).buyers()
    assert bought.tolist() == [2]
