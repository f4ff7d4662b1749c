"""Which items each user may not get: one flat array for all users of a call.

Items are numbers from 0; what they number (a night's candidates, or the candidates that the model
knows) is the caller's business, and `renumbered` goes from one to the other.

Shapes: U users, B users of a batch, C items, E exclusions of all users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Exclusions:
    """User u may not get the items `items_E[starts_U1[u]:starts_U1[u+1]]`.

    No pair occurs twice.
    """

    starts_U1: Integers
    items_E: Integers

    @property
    def counts_U(self) -> Integers:
        """How many each user has."""
        return np.diff(self.starts_U1)

    def pairs_of(self, users_B: Integers) -> tuple[Integers, Integers]:
        """The exclusions of some users as (row in `users_B`, item) pairs."""
        counts_B = self.counts_U[users_B]
        rows = np.repeat(np.arange(len(users_B)), counts_B)
        before_B = np.cumsum(counts_B) - counts_B
        places = np.arange(len(rows)) + np.repeat(self.starts_U1[users_B] - before_B, counts_B)
        return rows, self.items_E[places]

    def for_users(self, users_B: Integers) -> Exclusions:
        """The exclusions of some users, who are then users 0 … B-1."""
        rows, items = self.pairs_of(users_B)
        starts = np.searchsorted(rows, np.arange(len(users_B) + 1)).astype(np.int64)
        return Exclusions(starts, items)

    def renumbered(self, new_number_C: Integers) -> Exclusions:
        """The same with other numbers for the items; a negative number drops the pair."""
        users_E = np.repeat(np.arange(len(self.counts_U)), self.counts_U)
        return exclusions(users_E, new_number_C[self.items_E], len(self.counts_U))


def exclusions(users_E: Integers, items_E: Integers, n_users: int) -> Exclusions:
    """Exclusions from (user, item) pairs; negative items and repeats are dropped."""
    there = items_E >= 0
    pairs = np.unique(np.stack([users_E[there], items_E[there]]), axis=1).astype(np.int64)
    starts = np.searchsorted(pairs[0], np.arange(n_users + 1)).astype(np.int64)
    return Exclusions(starts, pairs[1])


def no_exclusions(n_users: int) -> Exclusions:
    """Everybody may get everything."""
    return Exclusions(np.zeros(n_users + 1, dtype=np.int64), np.zeros(0, dtype=np.int64))
