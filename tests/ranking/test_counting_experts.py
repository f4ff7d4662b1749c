"""Baselines and experts over visits against their formulas, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.ranking import repeats
from pipeline.ranking.repeats import fit_repeats, pairs_of
from pipeline.ranking.tifu_knn import TifuShape, fit_tifu_knn, nearest, personal_frequencies
from pipeline.ranking.top_frequency import fit_top_frequency
from pipeline.ranking.trend import SMOOTHING, fit_trend
from pipeline.ranking.visit_experts import (
    FOLLOW_DECAY,
    fit_item_knn,
    fit_similar_pasts,
    fit_visit_transitions,
)
from pipeline.ranking.visits import Visits, visits_of

BASKETS = [[[0, 1], [1, 2], [1]], [[2], [2, 3]], [[3]]]
VISITS = visits_of(BASKETS, 5)
ASKED = visits_of([[[1], [1, 2]], []], 5)


def test_top_frequencies() -> None:
    share = np.array([1, 3, 3, 2, 0]) / 9
    own = np.array([[0, 2, 1, 0, 0], [0] * 5])
    for chosen, expected in (
        (fit_top_frequency(VISITS, own=False), [share, share]),
        (fit_top_frequency(VISITS, everybody=False), own),
        (fit_top_frequency(VISITS), own + share),
    ):
        np.testing.assert_allclose(chosen.scores(ASKED), expected)


def test_tifu_vector_of_three_visits_in_two_groups() -> None:
    shape = TifuShape(within_decay=0.5, across_decay=0.4, groups=2)
    # The newer group is the larger: visit 0, then visits 1 and 2.
    older = np.array([1, 1, 0, 0, 0])
    newer = np.array([0, 0.5 * 1 + 1, 0.5 * 1, 0, 0]) / 2
    found = personal_frequencies(VISITS, shape).toarray()
    np.testing.assert_allclose(found[0], (0.4 * older + newer) / 2)
    # Two visits and two groups: each is a group of its own.
    np.testing.assert_allclose(found[1], np.array([0, 0, 0.4 + 1, 1, 0]) / 2)
    # One visit is the first of the groups, however many there are.
    np.testing.assert_allclose(found[2], [0, 0, 0, 0.4, 0])


@pytest.mark.parametrize(
    ("n_visits", "groups"),
    [
        (4, [[0], [1], [2, 3]]),
        (5, [[0], [1, 2], [3, 4]]),
        (6, [[0, 1], [2, 3], [4, 5]]),
        (2, [[0], [1]]),
    ],
)
def test_the_later_tifu_groups_are_the_larger_ones(n_visits: int, groups: list[list[int]]) -> None:
    """Every visit has an item of its own, so that each one's weight is seen."""
    shape = TifuShape(within_decay=0.5, across_decay=0.4, groups=3)
    visits = visits_of([[[n] for n in range(n_visits)]], n_visits)
    expected = [
        0.4 ** (2 - j) * 0.5 ** (len(group) - 1 - i) / len(group) / len(groups)
        for j, group in enumerate(groups)
        for i in range(len(group))
    ]
    np.testing.assert_allclose(personal_frequencies(visits, shape).toarray()[0], expected)


def test_tifu_takes_the_nearest_by_euclidean_distance() -> None:
    rng = np.random.default_rng(2)

    def some(n_users: int) -> Visits:
        """Long and short pasts: their vectors differ in length and in direction."""
        return visits_of(
            [
                [rng.integers(0, 8, rng.integers(1, 6)).tolist() for _ in range(rng.integers(1, 6))]
                for _ in range(n_users)
            ],
            8,
        )

    shape = TifuShape(neighbours=4, groups=2, own_weight=0.25)
    fitted, asked = fit_tifu_knn(some(40), shape), some(25)
    own = personal_frequencies(asked, shape).toarray()
    reference = fitted.reference_RI.toarray()
    distance = ((own[:, None] - reference[None]) ** 2).sum(axis=2)
    near = reference[np.argsort(distance, axis=1)[:, :4]].mean(axis=1)
    np.testing.assert_allclose(fitted.scores(asked), 0.25 * own + 0.75 * near)


def test_more_neighbours_than_users_are_all_of_them() -> None:
    fitted = fit_tifu_knn(VISITS, TifuShape(neighbours=300, own_weight=0.0))
    mean = fitted.reference_RI.toarray().mean(axis=0)
    np.testing.assert_allclose(fitted.scores(ASKED), [mean, mean])


def test_nearest_of_equals_are_the_first_ones() -> None:
    distance = np.array([[3.0, 1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    found = np.sort(nearest(distance, 2), axis=1)
    assert found.tolist() == [[1, 4], [0, 1]]


@pytest.mark.parametrize("wrong", [{"neighbours": 0}, {"groups": 0}, {"own_weight": 1.1}])
def test_a_shape_outside_its_range_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        TifuShape(**wrong)


def test_repeats_by_hand() -> None:
    fitted = fit_repeats(VISITS)
    # Gaps: item 1 of user 0 twice, ages 3 to 1; item 2 of user 1 once, ages 2 to 1. Mean 1.
    s = repeats.SMOOTHING
    np.testing.assert_allclose(fitted.interval_I, np.ones(5))
    # Had before the newest visit: 0, 1 and 2 by user 0, 2 by user 1; again: 1, and 2 by user 1.
    overall = 2 / 4
    had, again = np.array([1, 1, 2, 0, 0]), np.array([0, 1, 1, 0, 0])
    np.testing.assert_allclose(fitted.rate_I, (again + s * overall) / (had + s))
    # Items 0 and 2, bought once, three and one visits ago, and item 1 twice.
    asked = visits_of([[[0, 1], [1], [2]]], 5)
    d = repeats.DECAY
    decayed = np.array([d**2, d**2 + d, 1, 0, 0])
    due = np.log([3.0, 2.0, 1.0, 1.0, 1.0])
    expected = decayed * np.sqrt(fitted.rate_I) / (1 + repeats.OVERDUE * due)
    np.testing.assert_allclose(fitted.scores(asked)[0], expected)


def test_an_interval_is_between_the_users_own_gaps_and_everybodys() -> None:
    days = Visits(
        user_E=np.array([0, 0, 0, 1, 1]),
        item_E=np.array([0, 0, 0, 0, 0]),
        visit_E=np.array([2, 1, 0, 1, 0]),
        age_E=np.array([65.0, 35.0, 5.0, 24.0, 10.0]),
        n_users=2,
        n_items=1,
    )
    fitted = fit_repeats(days)
    mean = (60 + 14) / 3  # two gaps of 30 days, one of 14
    s = repeats.SMOOTHING
    np.testing.assert_allclose(fitted.interval_I, [(74 + s * mean) / (3 + s)])
    pairs = pairs_of(days)
    intervals = [(60 + s * mean) / (2 + s), (14 + s * mean) / (1 + s)]
    np.testing.assert_allclose(fitted.intervals(pairs), intervals)
    np.testing.assert_allclose(fitted.due(pairs), np.log(np.array([5, 10]) / intervals))


def test_where_nobody_ever_bought_twice_the_repeat_expert_says_nothing() -> None:
    once = visits_of([[[0], [1]], [[1], [2]], [[3]]], 5)
    fitted = fit_repeats(once)
    assert not fitted.rate_I.any()
    assert not fitted.scores(once).any()


def test_trend_by_hand() -> None:
    fitted = fit_trend(VISITS)  # recent is each user's newest visit
    recent, before = np.array([0, 1, 1, 2, 0]), np.array([1, 2, 2, 0, 0])
    share = (recent + SMOOTHING * before / 5) / (4 + SMOOTHING)
    np.testing.assert_allclose(fitted.share_I, share)
    np.testing.assert_allclose(fitted.lift_I, np.log((share + 1 / 9) / (before / 5 + 1 / 9)))
    np.testing.assert_allclose(fitted.scores(ASKED), [share, share])


def test_trend_without_anything_older_is_popularity() -> None:
    np.testing.assert_allclose(
        fit_trend(visits_of([[[0, 1]], [[1]]], 3)).share_I, [1 / 3, 2 / 3, 0]
    )


def test_item_knn_by_hand() -> None:
    cosine = fit_item_knn(VISITS).cosine_II.toarray()
    assert cosine[1, 2] == pytest.approx(1 / math.sqrt(1 * 2))
    assert cosine[2, 3] == pytest.approx(1 / math.sqrt(2 * 2))
    assert not cosine.diagonal().any()
    found = fit_item_knn(VISITS).scores(ASKED)
    np.testing.assert_allclose(found[0], cosine[1] + cosine[2])
    assert not found[1].any()


def test_visit_transitions_by_hand() -> None:
    fitted = fit_visit_transitions(VISITS)
    d, s = FOLLOW_DECAY, repeats.SMOOTHING
    count, most = np.zeros((5, 5)), np.zeros(5)
    for earlier, later, weight in (
        ([0, 1], [1, 2], 1.0),
        ([1, 2], [1], 1.0),
        ([0, 1], [1], d),
        ([2], [2, 3], 1.0),
    ):
        for a in earlier:
            most[a] += weight
            count[a, later] += weight
    share = count / (most + s)[:, None]
    np.testing.assert_allclose(fitted.share_II.toarray(), share)
    # Item 2 in the newest visit; item 1 in the newest and in the one before it.
    np.testing.assert_allclose(fitted.scores(ASKED)[0], share[2] + (1 + d) * share[1])


def test_order_inside_a_visit_means_nothing() -> None:
    turned = visits_of([[basket[::-1] for basket in user] for user in BASKETS], 5)
    for fit in (fit_visit_transitions, fit_item_knn, fit_similar_pasts, fit_tifu_knn, fit_trend):
        np.testing.assert_array_equal(fit(turned).scores(ASKED), fit(VISITS).scores(ASKED))


def test_similar_pasts_by_hand() -> None:
    fitted = fit_similar_pasts(VISITS, neighbours=1)
    # User 1 had 2 and then bought 2 and 3; user 0 had 0, 1, 1 and 2 and then bought 1.
    found = fitted.scores(visits_of([[[2]], [[0]]], 5))
    np.testing.assert_allclose(found[0], [0, 0, 1, 1, 0])
    past = np.array([0.9, 1.9, 1, 0, 0])
    np.testing.assert_allclose(found[1], [0, past[0] / np.linalg.norm(past), 0, 0, 0])
