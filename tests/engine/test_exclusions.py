"""Exclusions: what each user may not get, as pairs and renumbered."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.engine.exclusions import exclusions

N_USERS, N_ITEMS = 6, 8


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, N_USERS - 1), st.integers(-1, N_ITEMS - 1)), max_size=40),
    st.lists(st.integers(0, N_USERS - 1), max_size=8),
)
def test_exclusions_are_the_set_of_pairs(pairs: list[tuple[int, int]], users: list[int]) -> None:
    array = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    excluded = exclusions(array[:, 0], array[:, 1], N_USERS)
    rows, items = excluded.pairs_of(np.array(users, dtype=np.int64))
    found = list(zip(rows.tolist(), items.tolist(), strict=True))
    expected = {
        (row, item)
        for row, user in enumerate(users)
        for u, item in pairs
        if u == user and item >= 0
    }
    assert set(found) == expected
    assert len(found) == len(expected)


def test_renumbering_drops_what_the_model_does_not_know() -> None:
    excluded = exclusions(np.array([0, 0, 1]), np.array([2, 5, 2]), 2)
    renumbered = excluded.renumbered(np.array([-1, -1, 0, -1, -1, -1]))
    assert renumbered.pairs_of(np.array([0, 1]))[0].tolist() == [0, 1]
    assert renumbered.items_E.tolist() == [0, 0]
    assert renumbered.counts_U.tolist() == [1, 1]
