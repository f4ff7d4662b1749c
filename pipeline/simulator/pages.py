"""One day of the simulated shop as the text of its four files, faults planted.

Strings that come up again (users, items, queries, prices of the day) are rendered once and taken
by number: writing is most of a large simulation's time. Reads and writes nothing.
"""

from __future__ import annotations

import numpy as np

from pipeline.simulator.assortment import BRANDS
from pipeline.simulator.catalogue import Catalogue, Flags, Ints
from pipeline.simulator.clock import Clock
from pipeline.simulator.dirt import NULL, Columns, LatePost, quoted, soil_events, soil_reviews
from pipeline.simulator.events import EVENT_TYPES, RETURN, Events
from pipeline.simulator.lexicon import LANGUAGES
from pipeline.simulator.market import Market
from pipeline.simulator.planting import Page, Planter, lay_out
from pipeline.simulator.queries import QueryBook
from pipeline.simulator.randomness import stream
from pipeline.simulator.reviews import Review
from pipeline.simulator.users import Users

ITEMS_HEADER = "sku,title,brand,category,price,stock,listed"
USERS_HEADER = "user,consent,lang,country"
_FIRST_BOT = 8_000_000  # bots' ids look like anybody's


class Press:
    """Prints a day's pages. Holds the late post: events that a later day delivers."""

    def __init__(
        self, seed: int, dirt: float, catalogue: Catalogue, users: Users, queries: QueryBook
    ) -> None:
        self._seed, self._dirt = seed, dirt
        self._catalogue, self._users = catalogue, users
        self._late = LatePost()
        # The last entry of a table stands for "none": number -1 picks it.
        self._item = _table([*map(quoted, catalogue.sku), NULL])
        self._quoted_user = _table([quoted(user) for user in users.user_id])
        self._type = _table([quoted(name) for name in EVENT_TYPES])
        self._query = _table([*map(quoted, queries.text), NULL])
        self._numbers: list[str] = []
        self._csv_item = [
            ",".join(
                _csv(text) for text in (sku, title, BRANDS[brand].name, catalogue.path[category])
            )
            for sku, title, brand, category in zip(
                catalogue.sku,
                catalogue.title,
                catalogue.brand.tolist(),
                catalogue.category.tolist(),
                strict=True,
            )
        ]

    def events(self, day: int, clock: Clock, events: Events, market: Market) -> Page:
        """The clickstream; users beyond the last user are bots."""
        n_users = len(self._users)
        planter = self._planter(day, "events.jsonl", len(events))
        for row in np.flatnonzero(events.user >= n_users).tolist():
            planter.mark(row, "bot")
        n_bots = max(int(events.user.max(initial=0)) - n_users + 1, 0)
        users = self._quoted_user
        if n_bots:
            bots = [f'"u{_FIRST_BOT + day * 1000 + bot}"' for bot in range(n_bots)]
            users = np.concatenate([users, _table(bots)])
        sessions = self._ids("s", day, int(events.session.max(initial=-1)) + 1)
        prices = _table([*map(repr, market.price.tolist()), NULL])
        price = prices[np.where(np.isnan(events.price), -1, events.item)].tolist()
        for row in np.flatnonzero(events.kind == RETURN).tolist():
            price[row] = repr(float(events.price[row]))  # what was paid, not today's price
        columns: Columns = {
            "event_id": self._ids("e", day, len(events)),
            "ts": clock.stamps(events.second),
            "type": self._type[events.kind].tolist(),
            "user": users[events.user].tolist(),
            "item": self._item[events.item].tolist(),
            "session": _table([*sessions, NULL])[events.session].tolist(),
            "qty": _table(["1", "2", NULL])[np.maximum(events.quantity - 1, -1)].tolist(),
            "price": price,
            "query": self._query[events.query].tolist(),
        }
        return soil_events(planter, clock, day, events.kind, columns, late=self._late)

    def reviews(self, day: int, clock: Clock, written: list[Review]) -> Page:
        """The day's reviews."""
        seconds = np.array([review.second for review in written], dtype=np.int64)
        columns: Columns = {
            "review_id": self._ids("r", day, len(written)),
            "ts": clock.stamps(seconds),
            "user": [self._quoted_user[review.user] for review in written],
            "item": [self._item[review.item] for review in written],
            "stars": [str(review.stars) for review in written],
            "headline": [_or_null(review.headline) for review in written],
            "body": [quoted(review.body) for review in written],
            "lang": [_or_null(review.language) for review in written],
        }
        return soil_reviews(self._planter(day, "reviews.jsonl", len(written)), clock, columns)

    def items(self, day: int, clock: Clock, market: Market) -> Page:
        """The whole catalogue as it is at the day's end."""
        known = np.flatnonzero(market.known)
        planter = self._planter(day, "items.csv", len(known))
        price = [f"{price:.2f}" for price in market.price[known].tolist()]
        # Only entries that an earlier day delivered well: the item itself stays known.
        for row in planter.choose("price_impossible", self._catalogue.launch_day[known] < day):
            price[row] = ("0", "-4.99")[int(planter.draw.integers(2))]
        lines = [
            f"{self._csv_item[item]},{tag},{stock},{'true' if listed else 'false'}"
            for item, tag, stock, listed in zip(
                known.tolist(),
                price,
                market.stock[known].tolist(),
                market.listed[known].tolist(),
                strict=True,
            )
        ]
        ids = [self._catalogue.sku[item] for item in known.tolist()]
        return lay_out(planter, clock.date, lines, ids, header=ITEMS_HEADER)

    def users(self, day: int, clock: Clock, delivered: Ints, consent: Flags) -> Page:
        """The users that the day delivers: new ones, and those whose consent changed."""
        planter = self._planter(day, "users.csv", len(delivered))
        agrees = ["true" if yes else "false" for yes in consent[delivered].tolist()]
        for row in planter.choose("consent_missing"):
            agrees[row] = ""
        users = self._users
        lines = [
            f"{users.user_id[user]},{yes},{LANGUAGES[users.language[user]]},{users.country[user]}"
            for user, yes in zip(delivered.tolist(), agrees, strict=True)
        ]
        ids = [users.user_id[user] for user in delivered.tolist()]
        return lay_out(planter, clock.date, lines, ids, header=USERS_HEADER)

    def _planter(self, day: int, file: str, n_rows: int) -> Planter:
        return Planter(stream(self._seed, day, f"dirt {file}"), file, self._dirt, n_rows)

    def _ids(self, letter: str, day: int, n: int) -> list[str]:
        """Quoted ids that no other day has."""
        self._numbers += [f'{number:07d}"' for number in range(len(self._numbers), n)]
        prefix = f'"{letter}{day:04d}-'
        return [prefix + number for number in self._numbers[:n]]


def _table(texts: list[str]) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return np.array(texts, dtype=object)


def _csv(text: str) -> str:
    """A CSV field, quoted where it must be."""
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n\r') else text


def _or_null(text: str | None) -> str:
    return NULL if text is None else quoted(text)
