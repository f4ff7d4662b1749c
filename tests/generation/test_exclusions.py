"""Candidates and who may not get them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import GateError
from pipeline.generation.candidates import exclusions, sellable_candidates
from pipeline.model.checkpoint import Checkpoint

N_USERS, N_ITEMS = 6, 8


def catalogue(item_ids: list[str], sellable: list[bool | None]) -> pa.Table:
    n = len(item_ids)
    return pa.table(
        {
            "item_id": item_ids,
            "title": item_ids,
            "brand": pa.nulls(n, pa.string()),
            "category": pa.nulls(n, pa.string()),
            "price": pa.nulls(n, pa.float64()),
            "sellable": pa.array(sellable, pa.bool_()),
        }
    )


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, N_USERS - 1), st.integers(-1, N_ITEMS - 1)), max_size=40),
    st.lists(st.integers(0, N_USERS - 1), max_size=8),
)
def test_exclusions_are_the_set_of_pairs(pairs: list[tuple[int, int]], users: list[int]) -> None:
    array = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    excluded = exclusions(array[:, 0], array[:, 1], N_USERS)
    rows, items = excluded.of(np.array(users, dtype=np.int64))
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
    assert renumbered.of(np.array([0, 1]))[0].tolist() == [0, 1]
    assert renumbered.items_E.tolist() == [0, 0]
    assert renumbered.counts_U.tolist() == [1, 1]


def test_candidates_are_the_sellable_items_by_id() -> None:
    candidates = sellable_candidates(
        catalogue(["c", "a", "b", "d"], [True, True, False, None]), "x"
    )
    assert candidates.item_ids.to_pylist() == ["a", "c"]
    assert candidates.places(pa.array(["c", "b", None, "a", "?"])).tolist() == [1, -1, -1, 0, -1]
    owned = pa.array([["c", "b", "c"], [], None, ["a", "c"]], pa.list_(pa.string()))
    excluded = candidates.excluded_by(owned)
    assert excluded.counts_U.tolist() == [1, 0, 0, 2]
    assert excluded.of(np.array([3, 0]))[1].tolist() == [0, 1, 1]


def test_known_items_are_those_with_a_token(checkpoint: Checkpoint) -> None:
    ids = ["item-007", "item-003", "new-1", "item-039"]
    candidates = sellable_candidates(catalogue(ids, [True] * 4), "x")
    known = candidates.known_to(checkpoint.vocabulary)
    tokens = [checkpoint.vocabulary.item_token(item_id) for item_id in sorted(ids)]
    assert known.token_ids_N.tolist() == [token for token in tokens if token is not None]
    assert known.number_C.tolist() == [0, 1, 2, -1]


def test_nothing_sellable_is_refused() -> None:
    with pytest.raises(GateError, match="none of the 2 items of somewhere is sellable"):
        sellable_candidates(catalogue(["a", "b"], [False, None]), "somewhere")
