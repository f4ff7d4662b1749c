"""Prices, stock and what is on sale, day by day.

State is carried from day to day and moved by the seed and the day alone, so that a longer
simulation has the same days. Reads and writes nothing.
"""

from __future__ import annotations

import numpy as np

from pipeline.simulator.assortment import CATEGORIES
from pipeline.simulator.catalogue import Catalogue, Flags, Floats, Ints
from pipeline.simulator.randomness import stream

_PRICE_CHANGE_RATE = 0.015
_PROMOTION_RATE = 0.01
_PROMOTION_DAYS = 5
_RESTOCK_RATE = 0.35  # per day, once an item is sold out


class Market:
    """The state of every item on one day: call `open_day`, sell, then read the day's catalogue."""

    def __init__(self, seed: int, catalogue: Catalogue, n_users: int) -> None:
        self._seed = seed
        self._catalogue = catalogue
        # A normal order covers about four weeks, so that some items run out and most do not.
        appeal = catalogue.popularity / catalogue.popularity.sum()
        self._order = np.maximum((appeal * n_users * 3).astype(np.int64), 8)
        self.stock: Ints = self._order.copy()
        self._list_price: Floats = catalogue.price.copy()
        self._promotion_ends: Ints = np.zeros(len(catalogue), dtype=np.int64)
        self.price: Floats = self._list_price.copy()
        self.listed: Flags = np.ones(len(catalogue), dtype=np.bool_)
        self.known: Flags = np.ones(len(catalogue), dtype=np.bool_)

    def open_day(self, day: int) -> None:
        """Restock, re-price, launch and delist for the day."""
        items = self._catalogue
        draw = stream(self._seed, day, "market")
        n_items = len(items)
        restock = (self.stock == 0) & (draw.random(n_items) < _RESTOCK_RATE)
        self.stock[restock] = self._order[restock]
        moved = draw.random(n_items) < _PRICE_CHANGE_RATE
        step = np.exp(draw.normal(0, 0.06, n_items))
        self._list_price[moved] = _tag(items.price[moved] * step[moved])
        begins = draw.random(n_items) < _PROMOTION_RATE
        self._promotion_ends[begins] = day + _PROMOTION_DAYS
        on_promotion = self._promotion_ends > day
        self.price = np.where(on_promotion, _tag(self._list_price * 0.8), self._list_price)
        self.known = items.launch_day <= day
        self.listed = self.known & (day < items.delist_day)

    @property
    def available(self) -> Flags:
        """Listed and in stock this morning."""
        return self.listed & (self.stock > 0)

    def sell(self, item: Ints, quantity: Ints) -> None:
        """Take the day's purchases out of stock; a rush may empty it, never go below."""
        sold = np.bincount(item, quantity, minlength=len(self.stock)).astype(np.int64)
        self.stock = np.maximum(self.stock - sold, 0)

    def shelf(self) -> Shelf:
        """Today's items by category, for drawing by popularity."""
        return Shelf(self._catalogue, self.available)


class Shelf:
    """Draws available items of a category in proportion to popularity."""

    def __init__(self, catalogue: Catalogue, available: Flags) -> None:
        weight = np.where(available, catalogue.popularity, 0.0)
        self._order = np.argsort(catalogue.category, kind="stable")
        self._cumulative = np.concatenate([[0.0], np.cumsum(weight[self._order])])
        bounds = np.searchsorted(
            catalogue.category[self._order], np.arange(len(CATEGORIES) + 1), side="left"
        )
        self._low = self._cumulative[bounds[:-1]]
        self._high = self._cumulative[bounds[1:]]
        self.has: Flags = self._high - self._low > 1e-12

    def draw(self, category: Ints, uniform: Floats) -> Ints:
        """One item per category asked for; meaningless where `has` is false.

        `uniform` has shape (n,) or (n, k); the answer has the same.
        """
        low, high = self._low[category], self._high[category]
        if uniform.ndim == 2:
            low, high = low[:, None], high[:, None]
        # Rounding must not lift a draw out of its category.
        mark = np.minimum(low + uniform * (high - low), np.nextafter(high, low))
        at = np.searchsorted(self._cumulative, mark, side="right") - 1
        items: Ints = self._order[np.clip(at, 0, len(self._order) - 1)]
        return items


def _tag(price: Floats) -> Floats:
    """A price as shops write it: at least 0.99, ending in 9 cents."""
    return np.maximum(np.round(np.round(price, 1) - 0.01, 2), 0.99)
