"""Ranks without lists are the ranks with them, masked or not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.model.user_history import UserHistory
from pipeline.ranking.held_out_ranks import Items, held_out_ranks, rank_users
from pipeline.ranking.metrics import Floats
from tests.training.test_prior_choice import IDS, user

ITEMS = Items(tuple(IDS), np.array([name != "i03" for name in IDS]))


def scorer(users: Sequence[UserHistory]) -> Floats:
    """The first items best: what a user has is in the way until it is masked."""
    return np.tile(-np.arange(len(IDS), dtype=np.float64), (len(users), 1))


@pytest.mark.parametrize("mask", [True, False])
def test_ranks_with_and_without_lists(mask: bool) -> None:
    bought = user([0, 1, 5])
    owner = UserHistory(**{**bought.__dict__, "event_types": ("purchase",) * 3})
    users = [owner, user([2, 4])]
    ranks = rank_users(scorer, users, ITEMS, 3, mask_owned=mask)
    assert np.array_equal(held_out_ranks(scorer, users, ITEMS, mask_owned=mask), ranks.rank_B)
    # Before item 5 stand 0, 1, 2 and 4 (3 cannot be recommended); two of them are owned.
    assert ranks.rank_B.tolist() == [3 if mask else 5, 4]
    assert held_out_ranks(scorer, [], ITEMS, mask_owned=mask).shape == (0,)
