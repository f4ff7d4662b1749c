"""Batches: everybody once, nearly equal lengths."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.engine.batches import (
    MAX_TOKENS,
    PADDING_SHARE,
    SMALL_BATCH,
    length_batches,
    padded_batch,
)
from pipeline.model.prompt import Prompt

LENGTHS = st.lists(st.integers(1, 60), max_size=400) | st.lists(st.integers(1, 3000), max_size=60)


@settings(max_examples=100, deadline=None)
@given(LENGTHS, st.integers(1, 300))
@example([1] * 40 + [60] * 40, 300)
def test_every_user_once_within_the_budget(lengths: list[int], max_rows: int) -> None:
    lengths_U = np.array(lengths, dtype=np.int64)
    batches = list(length_batches(lengths_U, np.arange(len(lengths)), max_rows))
    assert sorted(user for batch in batches for user in batch) == list(range(len(lengths)))
    for batch in batches:
        longest, rows = lengths_U[batch].max(), len(batch)
        assert rows <= max_rows
        assert rows == 1 or rows * longest <= MAX_TOKENS
        if rows > SMALL_BATCH:
            assert 1 - lengths_U[batch].sum() / (rows * longest) <= PADDING_SHARE


def test_a_batch_is_padded_on_the_right() -> None:
    prompts = [Prompt([1, 2, 3], [4, 5, 6]), Prompt([9], [9]), Prompt([7, 8], [0, 0])]
    batch = padded_batch(prompts, np.array([2, 0]), pad=99)
    assert batch.token_ids_BT.tolist() == [[7, 8, 99], [1, 2, 3]]
    assert batch.type_ids_BT.tolist() == [[0, 0, 99], [4, 5, 6]]
    assert batch.last_B.tolist() == [1, 2]
