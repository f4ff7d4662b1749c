"""What users carry from session to session: what they wait for, own, and left in the cart.

It is why the next item depends on more than the last one. Reads and writes nothing.
"""

from __future__ import annotations

import numpy as np

from pipeline.simulator.assortment import CATEGORIES
from pipeline.simulator.catalogue import NOBODY, Catalogue, Flags, Ints

BROWSE, FINISH_CART, REFILL, CHAIN, VOLUME = range(5)
GOALS = ("browse", "finish_cart", "refill", "chain", "volume")

CONSUMABLE_DAYS = np.array([entry.consumable_days for entry in CATEGORIES])

_REMEMBERED = 12  # purchases that a user does not repeat on a whim


class Habits:
    """What users carry from session to session. `NOBODY` where there is nothing pending."""

    def __init__(self, n_users: int, catalogue: Catalogue) -> None:
        self._items = catalogue

        def nothing() -> Ints:
            return np.full(n_users, NOBODY, dtype=np.int64)

        self.chain_item = nothing()  # the purchase that started a chain
        self.chain_step = np.zeros(n_users, dtype=np.int64)  # 1: partner next, 2: companion next
        self.volume = nothing()
        self.cart = nothing()
        self.refill = nothing()
        self.refill_day = np.zeros(n_users, dtype=np.int64)
        self.recent = np.full((n_users, _REMEMBERED), NOBODY, dtype=np.int64)
        self.bought = np.zeros(n_users, dtype=np.int64)

    def remembers(self, user: Ints, item: Ints) -> Flags:
        """Whether each user bought that item lately; `item` is (n,) or (n, k)."""
        recent = self.recent[user].reshape(len(user), *[1] * (item.ndim - 1), _REMEMBERED)
        found: Flags = (recent == item[..., None]).any(axis=-1)
        return found

    def pull(
        self, day: int, user: Ints, listed: Flags, draw: np.random.Generator
    ) -> tuple[Ints, Ints]:
        """What each user comes for, if for anything pending: the goal and its item.

        The item is `NOBODY` where the goal is `BROWSE`.
        """
        n, items = len(user), self._items
        u = draw.random((5, n))
        anchor = self.chain_item[user]
        chained = np.where(
            self.chain_step[user] == 1,
            items.partner[anchor, np.searchsorted([0.62, 0.88], u[4])],
            items.companion[anchor, (u[4] > 0.8).astype(np.int64)],
        )
        chained[self.chain_step[user] == 0] = NOBODY
        nothing = np.full(n, NOBODY)
        wanted = np.stack([nothing, self.cart[user], self.refill[user], chained, self.volume[user]])
        urge = np.stack(
            [
                np.zeros(n, dtype=np.bool_),
                u[0] < 0.5,
                (u[1] < 0.6) & (self.refill_day[user] <= day),
                u[2] < 0.8,
                u[3] < 0.7,
            ]
        )
        urge &= (wanted != NOBODY) & listed[wanted]
        goal = np.where(urge.any(axis=0), urge.argmax(axis=0), BROWSE)
        return goal, wanted[goal, np.arange(n)]

    def after_session(
        self,
        day: int,
        user: Ints,
        *,
        goal: Ints,
        target: Ints,
        buys: Flags,
        carts: Flags,
        draw: np.random.Generator,
    ) -> None:
        """What a session leaves pending; each user at most once."""
        items = self._items
        self.cart[user[goal == FINISH_CART]] = NOBODY
        left = carts & ~buys
        self.cart[user[left]] = target[left]

        done = buys & (goal == CHAIN)
        step = self.chain_step[user]
        more = items.companion[self.chain_item[user], 0] != NOBODY
        self.chain_step[user[done]] = np.where((step == 1) & more, 2, 0)[done]
        tired = (goal == CHAIN) & ~buys & (draw.random(len(user)) < 0.25)
        self.chain_step[user[tired]] = 0

        read = buys & ((items.next_volume[target] != NOBODY) | (goal == VOLUME))
        self.volume[user[read]] = items.next_volume[target[read]]

        days = CONSUMABLE_DAYS[items.category[target]]
        used = buys & (days > 0)
        self.refill[user[used]] = target[used]
        wait = (days * (0.8 + 0.4 * draw.random(len(user)))).astype(np.int64)
        self.refill_day[user[used]] = day + wait[used]

        self._own(user[done], target[done])
        fresh = buys & ~done
        self.after_purchase(user[fresh], target[fresh])

    def after_purchase(self, user: Ints, item: Ints) -> None:
        """A purchase that no chain led to: it may start one, unless one is under way."""
        starts = (self.chain_step[user] == 0) & (self._items.partner[item, 0] != NOBODY)
        self.chain_item[user[starts]] = item[starts]
        self.chain_step[user[starts]] = 1
        self._own(user, item)

    def _own(self, user: Ints, item: Ints) -> None:
        self.recent[user, self.bought[user] % _REMEMBERED] = item
        self.bought[user] += 1
