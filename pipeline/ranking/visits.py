"""Purchases of many users, grouped by visit: what the experts on repeat purchases count.

A visit is everything that a user bought at one time (an order, a basket, a day). The lines of a
visit have no order, and an item counts once in it. Pure; only numpy and scipy.

Shapes: E purchases of all users, U users, I items (numbers from 0), B users of a batch, V visits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Booleans = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Visits:
    """Purchases, ordered by user.

    Args:
        visit_E: how many visits the user made after this one; the newest visit is 0.
        age_E: how long ago the visit was, in the unit of the caller's clock (days, or visits where
            no dates are known); never negative.
    """

    user_E: Integers
    item_E: Integers
    visit_E: Integers
    age_E: Floats
    n_users: int
    n_items: int

    @cached_property
    def n_visits_U(self) -> Integers:
        """How many visits each user made."""
        count_U = np.zeros(self.n_users, dtype=np.int64)
        np.maximum.at(count_U, self.user_E, self.visit_E + 1)
        return count_U

    @cached_property
    def starts_U(self) -> Integers:
        """Where each user's purchases start; one more entry at the end."""
        starts: Integers = np.searchsorted(self.user_E, np.arange(self.n_users + 1))
        return starts

    def table(self, weight_E: Floats) -> sparse.csr_matrix:
        """`weight_UI`: the sum of the weights of a user's purchases of an item."""
        shape = (self.n_users, self.n_items)
        return sparse.csr_matrix((weight_E, (self.user_E, self.item_E)), shape=shape)

    @cached_property
    def counts_UI(self) -> sparse.csr_matrix:
        """In how many visits a user bought an item."""
        return self.table(np.ones(len(self.user_E)))

    @cached_property
    def visits_VI(self) -> sparse.csr_matrix:
        """A row a visit, users in order, oldest first: 1 where the item is in it."""
        first_U = np.concatenate([[0], np.cumsum(self.n_visits_U)])
        row_E = first_U[self.user_E] + self.n_visits_U[self.user_E] - 1 - self.visit_E
        shape = (int(first_U[-1]), self.n_items)
        return sparse.csr_matrix((np.ones(len(row_E)), (row_E, self.item_E)), shape=shape)

    def of_users(self, start: int, stop: int) -> Visits:
        """A run of users, numbered anew from 0."""
        stop = min(stop, self.n_users)
        here = slice(self.starts_U[start], self.starts_U[stop])
        return Visits(
            self.user_E[here] - start,
            self.item_E[here],
            self.visit_E[here],
            self.age_E[here],
            stop - start,
            self.n_items,
        )

    def before_newest(self) -> Visits:
        """Without each user's newest visit; a user of one visit is left without any."""
        earlier_E = self.visit_E > 0
        newest_U = np.full(self.n_users, np.inf)
        np.minimum.at(newest_U, self.user_E[earlier_E], self.age_E[earlier_E])
        user_E = self.user_E[earlier_E]
        return Visits(
            user_E,
            self.item_E[earlier_E],
            self.visit_E[earlier_E] - 1,
            # As of the newest visit that is left plus one step: ages must not tell what came after.
            self.age_E[earlier_E] - newest_U[user_E] + 1.0,
            self.n_users,
            self.n_items,
        )

    def newest(self) -> sparse.csr_matrix:
        """`bought_UI`: 1 where an item is in the user's newest visit."""
        return self.table((self.visit_E == 0).astype(np.float64)).sign()


def visits_of(baskets: Sequence[Sequence[Sequence[int] | Integers]], n_items: int) -> Visits:
    """From each user's baskets, oldest first, where no dates are known.

    The newest visit is 1 old, the one before it 2, and so on. Empty baskets are left out.

    Raises:
        ValueError: an item's number is outside 0 to `n_items - 1`.
    """
    users, items, visits = [], [], []
    for user, of_user in enumerate(baskets):
        full = [np.unique(np.asarray(basket, dtype=np.int64)) for basket in of_user if len(basket)]
        for age, basket in enumerate(reversed(full)):
            users.append(np.full(len(basket), user, dtype=np.int64))
            items.append(basket)
            visits.append(np.full(len(basket), age, dtype=np.int64))
    none = [np.zeros(0, dtype=np.int64)]
    item_E, visit_E = np.concatenate(items or none), np.concatenate(visits or none)
    if len(item_E) and (item_E.min() < 0 or item_E.max() >= n_items):
        raise ValueError(f"items must be numbers from 0 to {n_items - 1:,}")
    age_E = visit_E.astype(np.float64) + 1.0
    return Visits(np.concatenate(users or none), item_E, visit_E, age_E, len(baskets), n_items)
