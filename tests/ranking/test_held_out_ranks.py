"""Ranks without lists are the ranks with them, masked or not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.evaluation.night_measures import ItemFacts, Measures
from pipeline.model.catalogue import CatalogueItem
from pipeline.model.user_history import UserHistory
from pipeline.ranking.baselines import fit_popularity, known_events
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


@pytest.mark.parametrize("n_items", [1, 3, 5])
def test_a_shop_of_fewer_items_than_a_list_has(n_items: int) -> None:
    """Whole lists are as long as the catalogue, and every measure of them is made."""
    ids = tuple(IDS[:n_items])
    items = Items(ids, np.ones(n_items, dtype=np.bool_))
    users = [user([0]), user([0])]
    ranks = rank_users(
        lambda some: np.tile(-np.arange(n_items, dtype=np.float64), (len(some), 1)),
        users,
        items,
        10,
        mask_owned=False,
    )
    assert ranks.top_BK.shape == ranks.probability_BK.shape == (2, n_items)
    catalogue = [CatalogueItem(name, name, "", "", sellable=True) for name in ids]
    popularity = fit_popularity(*known_events(users, items.index, ("purchase",)), n_items)
    rows = Measures("popularity", "test", ranks, 10).rows(
        users, ItemFacts(items, catalogue, popularity), 1
    )
    assert {row["metric"] for row in rows} >= {"ndcg", "diversity", "gini", "calibration_error"}
    assert {row["k"] for row in rows} == {10}
