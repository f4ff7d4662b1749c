"""The simulated shop, day after day: the entry point of `pipeline.simulator`.

Writes, below `out`, what a retailer would deliver: `date=YYYY-MM-DD/` with `events.jsonl`,
`reviews.jsonl`, `items.csv`, `users.csv`; and the ground truth in `_truth/`. Guarantees: the same
arguments give the same bytes; the days of a longer simulation begin with those of a shorter one;
a day's directory appears whole or not at all.

Gives up: users do not react to recommendations, and nobody shares a household.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import numpy as np

from pipeline.errors import InputError
from pipeline.simulator.catalogue import build_catalogue
from pipeline.simulator.clock import Clock
from pipeline.simulator.dirt import bots
from pipeline.simulator.events import PURCHASE, join_events
from pipeline.simulator.lexicon import LANGUAGES
from pipeline.simulator.market import Market
from pipeline.simulator.pages import Press
from pipeline.simulator.queries import QueryBook
from pipeline.simulator.randomness import stream
from pipeline.simulator.reviews import Aftermath
from pipeline.simulator.sessions import Behaviour
from pipeline.simulator.users import ConsentBook, build_users
from pipeline.simulator.writer import (
    Delivery,
    act_truth,
    claim,
    market_truth,
    write_delivery,
    write_world,
)

# With 45 days the last one is 1 March 2026.
DEFAULT_START = dt.date(2026, 1, 16)

Progress = Callable[[int, int, int], None]  # days done, days in all, events so far


@dataclass(frozen=True)
class Plan:
    """Everything a simulation depends on, apart from the number of days."""

    users: int
    items: int
    seed: int
    start_date: dt.date
    timezone: str
    language: str
    dirt: float


@dataclass(frozen=True)
class Summary:
    """What was written: lines of events and of reviews, faults of all files."""

    first_date: dt.date
    last_date: dt.date
    events: int
    reviews: int
    faults: int


def simulate_shop(
    out: Path,
    *,
    users: int,
    items: int,
    days: int,
    seed: int,
    start_date: dt.date = DEFAULT_START,
    timezone: str = "UTC",
    language: str = "en",
    dirt: float = 1.0,
    progress: Progress | None = None,
) -> Summary:
    """Simulate a shop and write its deliveries.

    Args:
        out: the raw root; made if it is not there. Days of the same plan are replaced.
        users: how many; about 15 % join in the course of the first 60 days.
        items: how many; about 12 % launch in the course of the first 60 days.
        days: how many, from `start_date` on.
        seed: of every draw.
        start_date: the first day, in the shop's zone.
        timezone: an IANA name.
        language: of titles and categories, one of `LANGUAGES`; some brands are Chinese.
        dirt: multiplies the rate of every fault; 0 is a clean delivery.
        progress: called after each day with (days done, days, events so far).

    Raises:
        InputError: an argument cannot be, or `out` holds another simulation.
    """
    plan = Plan(users, items, seed, start_date, timezone, language, dirt)
    _check(plan, days)
    claim(out, {**asdict(plan), "start_date": start_date.isoformat()})
    shop = Shop(plan)
    write_world(out, shop.catalogue, shop.users)
    events = reviews = faults = 0
    for day in range(days):
        delivery = shop.deliver(day)
        write_delivery(out, delivery)
        events += delivery.pages["events.jsonl"].n_lines
        reviews += delivery.pages["reviews.jsonl"].n_lines
        faults += len(delivery.faults)
        if progress is not None:
            progress(day + 1, days, events)
    return Summary(start_date, start_date + dt.timedelta(days=days - 1), events, reviews, faults)


class Shop:
    """The shop's state; `deliver` must be called for day 0, 1, 2, … in turn."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.catalogue = build_catalogue(plan.seed, plan.items, plan.language)
        self.users = build_users(plan.seed, plan.users, plan.language)
        queries = QueryBook()
        self._market = Market(plan.seed, self.catalogue, plan.users)
        self._behaviour = Behaviour(plan.seed, self.catalogue, self.users, queries)
        self._aftermath = Aftermath(plan.seed, self.catalogue, self.users)
        self._consent = ConsentBook(plan.seed, self.users)
        self._press = Press(plan.seed, plan.dirt, self.catalogue, self.users, queries)
        self._zone = ZoneInfo(plan.timezone)

    def deliver(self, day: int) -> Delivery:
        """Live through one day and hand over its files."""
        clock = Clock(self.plan.start_date + dt.timedelta(days=day), self._zone)
        market, users = self._market, self.users
        market.open_day(day)
        changed = self._consent.turn(day)
        joined = np.flatnonzero(users.join_day == day)
        lived = self._behaviour.day(day, clock.date.weekday(), clock.seconds, market)
        self._aftermath.after(day, lived)
        visitors = bots(
            stream(self.plan.seed, day, "bots"),
            self.plan.dirt,
            len(users),
            np.flatnonzero(market.available),
        )
        returned = self._aftermath.returns(day, clock.seconds)
        events = join_events([lived, returned, visitors])
        events = events.take(np.argsort(events.second, kind="stable"))
        event_page = self._press.events(day, clock, events, market)
        bought = lived.take(lived.kind == PURCHASE)
        market.sell(bought.item, bought.quantity)
        reviews = self._aftermath.reviews(day, clock.seconds)
        pages = {
            "events.jsonl": event_page,
            "reviews.jsonl": self._press.reviews(day, clock, reviews),
            "items.csv": self._press.items(day, clock, market),
            "users.csv": self._press.users(
                day, clock, np.union1d(joined, changed), self._consent.consent
            ),
        }
        acts = join_events([lived, returned])
        acts = acts.take(np.argsort(acts.second, kind="stable"))
        truth = {
            "market": market_truth(self.catalogue, market),
            "acts": act_truth(self.catalogue, users, acts),
        }
        faults = [fault for page in pages.values() for fault in page.faults]
        return Delivery(clock.date, pages, faults, truth)


def _check(plan: Plan, days: int) -> None:
    for name, value in (("users", plan.users), ("items", plan.items), ("days", days)):
        if value < 1:
            raise InputError(f"simulate: {name} must be at least 1, found {value}")
    if not plan.dirt >= 0:
        raise InputError(f"simulate: dirt must be 0 (clean) or more, found {plan.dirt}")
    if plan.language not in LANGUAGES:
        raise InputError(
            f"simulate: language must be one of {', '.join(LANGUAGES)}, found {plan.language!r}"
        )
    if plan.timezone not in available_timezones():
        raise InputError(f"simulate: {plan.timezone!r} is not an IANA time zone like Europe/Berlin")
