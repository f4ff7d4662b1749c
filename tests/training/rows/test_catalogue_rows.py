"""Of a large catalogue an epoch has a part: new items first, then met ones, each in its turn."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.rows.catalogue_rows import MET, NEW, REST, epochs_of_rows, item_kinds
from pipeline.training.rows.training_rows import TrainingRow


def row(about: int | None) -> TrainingRow:
    return TrainingRow([1], [1], [0], [1], False, about is None, about)


PASTS = [row(None)] * 3


@given(
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(1, 60),
    st.integers(0, 9),
)
def test_an_epoch_is_bounded_and_every_kind_has_its_part(
    new: int, met: int, rest: int, most: int, seed: int
) -> None:
    kinds = np.array([NEW] * new + [MET] * met + [REST] * rest, dtype=np.int8)
    rows = [*PASTS, *(row(n) for n in range(len(kinds)) for _ in range(2))]
    order = np.random.default_rng(seed)
    for some in epochs_of_rows(rows, kinds, most, 3, order):
        assert [r for r in some if r.about is None] == PASTS
        items = Counter(r.about for r in some if r.about is not None)
        assert set(items.values()) <= {2}  # an item comes with all of its rows
        assert len(items) == min(most, len(kinds))
        n_new = sum(n < new for n in items)
        n_rest = sum(n >= new + met for n in items)
        assert n_new >= min(new, most // 2)
        assert n_rest >= min(rest, most // 10)


def test_every_item_comes_up_before_any_comes_up_twice() -> None:
    kinds = np.array([NEW] * 4 + [MET] * 30 + [REST] * 66, dtype=np.int8)
    rows = [row(n) for n in range(100)]
    epochs = list(epochs_of_rows(rows, kinds, 20, 66, np.random.default_rng(1)))
    seen = Counter(r.about for some in epochs for r in some)
    assert {seen[n] for n in range(4)} == {66}  # the new ones in each
    assert max(seen[n] for n in range(4, 34)) - min(seen[n] for n in range(4, 34)) <= 1
    assert {seen[n] for n in range(34, 100)} == {2}


def test_a_small_catalogue_is_taken_whole_and_draws_nothing() -> None:
    order = np.random.default_rng(1)
    rows = [*PASTS, *(row(n) for n in range(5))]
    for most in (0, 5):
        assert list(epochs_of_rows(rows, None, most, 2, order)) == [rows, rows]
    assert order.integers(1 << 60) == np.random.default_rng(1).integers(1 << 60)


def test_kinds() -> None:
    unmet, met = np.array([True, False, False]), np.array([False, True, False])
    assert item_kinds(unmet, met).tolist() == [NEW, MET, REST]
