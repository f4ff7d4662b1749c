"""What users do on one day: goals, and the searches, views, carts and purchases they lead to.

A session has a goal. Some goals come from earlier purchases (the companion of the phone bought two
purchases ago, the next volume, a cart left behind, a bag of beans that is empty by now), so the
next event depends on more than the last one and on more than popularity. Everything is computed on
arrays, one entry a session; the loop is over a user's n-th session of the day. Reads and writes
nothing.
"""

from __future__ import annotations

import numpy as np

from pipeline.simulator.assortment import CATEGORIES
from pipeline.simulator.catalogue import NOBODY, Catalogue, Ints
from pipeline.simulator.events import (
    CART,
    PURCHASE,
    SEARCH,
    VIEW,
    Events,
    join_events,
    no_events,
)
from pipeline.simulator.habits import BROWSE, CONSUMABLE_DAYS, REFILL, Habits
from pipeline.simulator.market import Market, Shelf
from pipeline.simulator.queries import QueryBook
from pipeline.simulator.randomness import stream
from pipeline.simulator.users import Users

_MAX_SESSIONS_PER_DAY = 4
_CANDIDATES = 5
_BASE_PRICE = np.array([entry.price for entry in CATEGORIES])

# Probabilities per goal, in the order of GOALS. Purchases often come without a view just before
# (the user knows what is wanted), so a model that repeats the last item is not good.
_BUYS = np.array([0.26, 0.80, 0.85, 0.85, 0.85])
_SEARCHES = np.array([0.45, 0.05, 0.10, 0.35, 0.20])
_COMPARES = np.array([0.65, 0.10, 0.05, 0.40, 0.10])
_LOOKS_BEFORE_BUYING = np.array([0.40, 0.10, 0.10, 0.20, 0.20])
_CARTS_BEFORE_BUYING = np.array([0.30, 0.00, 0.30, 0.25, 0.20])

# Cumulative share of the day's sessions by hour of the clock.
_HOURS = np.array(
    [2, 1, 1, 1, 1, 2, 4, 7, 9, 10, 10, 11, 13, 12, 11, 11, 12, 14, 17, 21, 24, 22, 13, 6], float
)
_CLOCK = np.concatenate([[0.0], np.cumsum(_HOURS) / _HOURS.sum()])
_WEEKDAYS = np.array([0.95, 0.9, 0.92, 0.95, 1.05, 1.2, 1.15])


class Behaviour:
    """Turns days into events, carrying the users' habits along."""

    def __init__(
        self,
        seed: int,
        catalogue: Catalogue,
        users: Users,
        queries: QueryBook,
    ) -> None:
        self._seed = seed
        self._items = catalogue
        self._users = users
        self._queries = queries
        self.habits = Habits(len(users), catalogue)

    def day(self, day: int, weekday: int, day_seconds: int, market: Market) -> Events:
        """All session events of one day, user by user in session order."""
        draw = stream(self._seed, day, "sessions")
        here = self._users.here(day)
        shelf = market.shelf()
        if not shelf.has.any():
            return no_events()
        rate = self._users.sessions_per_day[here] * _WEEKDAYS[weekday]
        n_sessions = np.minimum(draw.poisson(rate), _MAX_SESSIONS_PER_DAY)
        free_from = np.zeros(len(self._users), dtype=np.int64)
        parts = [no_events()]
        numbered = 0
        for nth in range(_MAX_SESSIONS_PER_DAY):
            due = n_sessions > nth
            user = here[due]
            if not len(user):
                break
            part_of_day = (nth + draw.random(len(user))) / n_sessions[due]
            start = (np.interp(part_of_day, _CLOCK, np.arange(25)) / 24 * day_seconds).astype(int)
            start = np.maximum(start, free_from[user])
            events, last = self._sessions(
                day,
                user,
                start=start,
                day_seconds=day_seconds,
                shelf=shelf,
                market=market,
                draw=draw,
            )
            free_from[user] = last + 60
            events.session += numbered
            numbered += len(user)
            parts.append(events)
        return join_events(parts)

    def _sessions(
        self,
        day: int,
        user: Ints,
        *,
        start: Ints,
        day_seconds: int,
        shelf: Shelf,
        market: Market,
        draw: np.random.Generator,
    ) -> tuple[Events, Ints]:
        """One session for each user: its events, and the second of its last."""
        goal, target, rivals, aside = self._wishes(day, user, shelf, market, draw)
        u = draw.random((9, len(user)))
        sellable = market.available[target] & (
            (goal == REFILL) | ~self.habits.remembers(user, target)
        )
        buys = sellable & (u[0] < _BUYS[goal])
        carts = sellable & (u[1] < np.where(buys, _CARTS_BEFORE_BUYING[goal], 0.15))
        looks = u[2] < np.where(buys, _LOOKS_BEFORE_BUYING[goal], 0.9)
        compares = u[3] < _COMPARES[goal]
        side_look = u[4] < 0.3
        takes_aside = (
            side_look & buys & (u[5] < 0.2) & market.available[aside] & (aside != target)
        ) & ~self.habits.remembers(user, aside)
        # What a session can hold, in order: what happens, to which item, and whether it does.
        script = (
            (SEARCH, target, u[6] < _SEARCHES[goal]),
            (VIEW, rivals[:, 0], compares),
            (VIEW, target, looks),
            (VIEW, rivals[:, 1], compares & (u[7] < 0.5)),
            (CART, target, carts),
            (VIEW, aside, side_look),
            (VIEW, rivals[:, 0], compares & carts & (u[8] < 0.35)),
            (PURCHASE, target, buys),
            (PURCHASE, aside, takes_aside),
        )
        happens = np.stack([entry[2] for entry in script], axis=1)
        happens[~happens.any(axis=1), 2] = True  # a session leaves at least a view
        item = np.stack([entry[1] for entry in script], axis=1)
        kind = np.array([entry[0] for entry in script], dtype=np.int8)
        gap = np.where(happens, 2 + draw.exponential(38.0, happens.shape).astype(np.int64), 0)
        length = gap.sum(axis=1)
        start = np.maximum(np.minimum(start, day_seconds - 1 - length), 0)
        second = np.minimum(start[:, None] + np.cumsum(gap, axis=1), day_seconds - 1)
        self.habits.after_session(
            day, user, goal=goal, target=target, buys=buys, carts=carts, draw=draw
        )
        self.habits.after_purchase(user[takes_aside], aside[takes_aside])

        row, slot = np.nonzero(happens)
        events = self._events(row, kind[slot], item[row, slot], user[row], market=market, draw=draw)
        events.second = second[row, slot]
        return events, second[:, -1]

    def _events(
        self,
        session: Ints,
        kinds: np.ndarray[tuple[int], np.dtype[np.int8]],
        items: Ints,
        users: Ints,
        *,
        market: Market,
        draw: np.random.Generator,
    ) -> Events:
        """Events with their prices, quantities and queries; their seconds are not set."""
        category = self._items.category[items]
        searching = kinds == SEARCH
        paid = (kinds == CART) | (kinds == PURCHASE)
        several = (CONSUMABLE_DAYS[category] > 0) & (draw.random(len(session)) < 0.3)
        asked = self._queries.draw(
            self._users.language[users],
            category,
            self._items.brand[items],
            draw.random(len(session)),
        )
        return Events(
            second=np.zeros(len(session), dtype=np.int64),
            kind=kinds,
            user=users,
            item=np.where(searching, NOBODY, items),
            session=session,
            quantity=np.where(paid, 1 + several, -1),
            price=np.where(searching, np.nan, market.price[items]),
            query=np.where(searching, asked, -1),
        )

    def _wishes(
        self, day: int, user: Ints, shelf: Shelf, market: Market, draw: np.random.Generator
    ) -> tuple[Ints, Ints, Ints, Ints]:
        """Per user: the goal, the item it is about, two rivals of it, and an item aside."""
        goal, target = self.habits.pull(day, user, market.listed, draw)
        category = self._taste(user, shelf, draw)
        directed = goal != BROWSE
        category[directed] = self._items.category[target[directed]]
        # A user with a goal still sees its category's shelf; an empty one shows the taste's.
        bare = ~shelf.has[category]
        category[bare] = self._taste(user[bare], shelf, draw)
        found = self._favourites(user, category, shelf, market, draw)
        target = np.where(directed, target, found[:, 0])
        rivals = np.where(directed[:, None], found[:, :2], found[:, 1:3])
        aside = self._favourites(user, self._taste(user, shelf, draw), shelf, market, draw)[:, 0]
        return goal, target, rivals, aside

    def _taste(self, user: Ints, shelf: Shelf, draw: np.random.Generator) -> Ints:
        """A category each, by taste among those with something on the shelf."""
        mark = draw.random(len(user))
        category = (self._users.category_taste[user] <= mark[:, None]).sum(axis=1)
        stocked = np.flatnonzero(shelf.has)
        other = stocked[(draw.random(len(user)) * len(stocked)).astype(np.int64)]
        return np.where(shelf.has[category], category, other)

    def _favourites(
        self, user: Ints, category: Ints, shelf: Shelf, market: Market, draw: np.random.Generator
    ) -> Ints:
        """A few popular items of the category (n x candidates), the user's favourite first."""
        found = shelf.draw(category, draw.random((len(user), _CANDIDATES)))
        base = _BASE_PRICE[self._items.category[found]]
        off = np.log(market.price[found] / base) - self._users.price_level[user][:, None]
        liking = (
            self._users.brand_taste[user[:, None], self._items.brand[found]]
            - 1.5 * off**2
            + draw.gumbel(0, 0.5, found.shape)
            - 9.0 * self.habits.remembers(user, found)
        )
        return np.take_along_axis(found, np.argsort(-liking, axis=1, kind="stable"), axis=1)
