"""Candidates: the sellable items by id, who owns which, which of them the model knows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import GateError
from pipeline.generation.lists.candidates import sellable_candidates
from pipeline.model.checkpoint import Checkpoint


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


def test_candidates_are_the_sellable_items_by_id() -> None:
    candidates = sellable_candidates(
        catalogue(["c", "a", "b", "d"], [True, True, False, None]), "x"
    )
    assert candidates.item_ids.to_pylist() == ["a", "c"]
    assert candidates.places(pa.array(["c", "b", None, "a", "?"])).tolist() == [1, -1, -1, 0, -1]
    owned = pa.array([["c", "b", "c"], [], None, ["a", "c"]], pa.list_(pa.string()))
    excluded = candidates.excluded_by(owned)
    assert excluded.counts_U.tolist() == [1, 0, 0, 2]
    assert excluded.pairs_of(np.array([3, 0]))[1].tolist() == [0, 1, 1]


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
