"""Visits against what can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.ranking.visits import visits_of

# User 0 bought 0 and 1, then 1 and 2, then 1; user 1 nothing; user 2 item 3 once.
BASKETS = [[[0, 1], [2, 1, 1], [1]], [], [[], [3]]]


def test_counts_by_hand() -> None:
    visits = visits_of(BASKETS, 5)
    assert visits.n_visits_U.tolist() == [3, 0, 1]
    expected = [[1, 3, 1, 0, 0], [0] * 5, [0, 0, 0, 1, 0]]
    np.testing.assert_array_equal(visits.counts_UI.toarray(), expected)
    rows = [[1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]]
    np.testing.assert_array_equal(visits.visits_VI.toarray(), rows)
    np.testing.assert_array_equal(visits.newest().toarray(), [rows[2], [0] * 5, rows[3]])


def test_what_came_before_the_newest_visit_is_as_if_it_had_not_been() -> None:
    before = visits_of(BASKETS, 5).before_newest()
    never = visits_of([[[0, 1], [2, 1]], [], []], 5)
    np.testing.assert_array_equal(before.counts_UI.toarray(), never.counts_UI.toarray())
    for name in ("user_E", "item_E", "visit_E", "age_E"):
        of_both = [np.lexsort((v.item_E, v.visit_E, v.user_E)) for v in (before, never)]
        found, wanted = getattr(before, name)[of_both[0]], getattr(never, name)[of_both[1]]
        np.testing.assert_array_equal(found, wanted)


def test_a_run_of_users_is_these_users_alone() -> None:
    visits = visits_of(BASKETS, 5)
    for start in range(3):
        for stop in range(start, 4):
            part = visits.of_users(start, stop).counts_UI.toarray()
            np.testing.assert_array_equal(part, visits.counts_UI.toarray()[start:stop])


@pytest.mark.parametrize("item", [-1, 5])
def test_an_item_that_is_none_is_refused(item: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 4"):
        visits_of([[[item]]], 5)
