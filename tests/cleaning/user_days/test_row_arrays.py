"""Rules over arrays: groups are whole whatever the batches, and a row has one outcome."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cleaning.user_days.row_arrays import ACT_TYPES, Outcomes, groups_of, whole_groups
from pipeline.contracts.contract import load_contract


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.lists(st.integers(0, 20)))
def test_groups_are_whole_whatever_the_batches(sizes: list[int], cuts: list[int]) -> None:
    of = np.repeat(np.arange(len(sizes)), sizes)
    at = sorted({0, len(of), *(cut for cut in cuts if cut < len(of))})
    batches = [
        (pa.array(of[start:end]), pa.array([f"row {n}" for n in range(start, end)]))
        for start, end in zip(at, [*at[1:], len(of)], strict=True)
    ]
    found = list(whole_groups(batches))
    assert [group for groups, _ in found for group in groups.to_pylist()] == of.tolist()
    assert [row for _, rows in found for row in rows.to_pylist()] == [
        f"row {n}" for n in range(len(of))
    ]
    seen = [set(groups.to_pylist()) for groups, _ in found]
    assert sum(map(len, seen)) == len(sizes)


def test_a_batch_without_rows_is_no_group() -> None:
    empty = (pa.array([], pa.int64()),)
    assert not list(whole_groups([empty, empty]))
    found = whole_groups([(pa.array([3]),), empty, (pa.array([3, 4]),)])
    assert [rows.to_pylist() for (rows,) in found] == [[3, 3], [4]]


def test_groups_are_numbered_in_their_order() -> None:
    assert groups_of(pa.array([7, 7, -2, 9, 9, 9])).tolist() == [0, 0, 1, 2, 2, 2]


def test_a_row_that_no_rule_names_has_no_new_outcome() -> None:
    outcomes = Outcomes(np.array([True, True, False]))
    outcomes.set(np.array([1]), "removed", "bot", n_events=[7], bot_rules=[["rate"]])
    assert outcomes.is_good.tolist() == [True, False, False]
    assert outcomes.to_arrow().to_pylist() == [
        None,
        {
            "outcome": "removed",
            "reason": "bot",
            "evidence": {
                "bot_rules": ["rate"],
                "n_events": 7,
                "n_items": None,
                "median_gap_seconds": None,
                "repeats_event_id": None,
            },
        },
        None,
    ]


def test_verdicts_that_say_nothing_are_as_many_nulls() -> None:
    outcomes = Outcomes(np.array([True, False]))
    outcomes.set(np.empty(0, np.int64), "removed", "duplicate")
    assert outcomes.to_arrow().null_count == 2


def test_a_row_is_told_once() -> None:
    outcomes = Outcomes(np.array([True]))
    outcomes.set(np.array([0]), "removed", "duplicate")
    with pytest.raises(AssertionError):
        outcomes.set(np.array([0]), "removed", "bot")


def test_the_types_of_acts_are_those_of_the_contract() -> None:
    assert set(ACT_TYPES) == set(load_contract("raw_events").column("event_type").values)
