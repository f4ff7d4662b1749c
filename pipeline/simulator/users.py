"""The simulated users: their languages, tastes and habits, and when they come and go.

All of it is drawn once per seed, one array entry a user; consent alone changes by the day
(`ConsentBook`). Reads and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.simulator.assortment import BRANDS, CATEGORIES, DEPARTMENTS, MAX_ASPECTS
from pipeline.simulator.catalogue import NEVER, Flags, Floats, Ints
from pipeline.simulator.lexicon import LANGUAGES
from pipeline.simulator.randomness import BEFORE_OPENING, stream

COUNTRIES = {"en": ("GB", "IE", "US"), "zh": ("CN", "SG"), "de": ("DE", "AT"), "es": ("ES", "MX")}
_LANGUAGE_SHARES = {"en": 0.45, "zh": 0.2, "de": 0.2, "es": 0.15}

_JOIN_SHARE = 0.15
_JOIN_WINDOW_DAYS = 60
_STOP_RATE_PER_DAY = 0.003
_CONSENT_SHARE = 0.86
_WITHDRAW_RATE, _GIVE_RATE = 0.0008, 0.003
_SESSIONS_PER_DAY = 0.45


@dataclass(frozen=True)
class Users:
    """Arrays of length n_users. `language` indexes `LANGUAGES`."""

    user_id: list[str]
    language: Ints
    country: list[str]
    category_taste: Floats  # n_users x n_categories, cumulative, ends in 1
    brand_taste: Floats  # n_users x n_brands
    price_level: Floats  # what they like to pay, as a multiple of the category's price (log)
    sessions_per_day: Floats
    strictness: Floats  # stars they take off for nothing
    cares: Floats  # n_users x MAX_ASPECTS: how much the category's n-th aspect matters
    join_day: Ints
    stop_day: Ints
    consent: Flags

    def __len__(self) -> int:
        return len(self.user_id)

    def here(self, day: int) -> Ints:
        """The users who may come on that day."""
        return np.flatnonzero((self.join_day <= day) & (day < self.stop_day))


def build_users(seed: int, n_users: int, main_language: str) -> Users:
    """The users of a seed. The first one is there from the first day and stays."""
    draw = stream(seed, BEFORE_OPENING, "shoppers")  # the word is part of every seed
    shares = np.array([_LANGUAGE_SHARES[code] for code in LANGUAGES])
    # The shop's own language takes the place of English as the commonest.
    at_home, english = LANGUAGES.index(main_language), LANGUAGES.index("en")
    shares[[at_home, english]] = shares[[english, at_home]]
    language = draw.choice(len(LANGUAGES), n_users, p=shares)
    country = [
        COUNTRIES[LANGUAGES[code]][int(pick * len(COUNTRIES[LANGUAGES[code]]))]
        for code, pick in zip(language.tolist(), draw.random(n_users).tolist(), strict=True)
    ]
    join = np.where(
        draw.random(n_users) < _JOIN_SHARE, draw.integers(1, _JOIN_WINDOW_DAYS + 1, n_users), 0
    )
    stays = draw.geometric(_STOP_RATE_PER_DAY, n_users)
    stop = join + stays
    join[0], stop[0] = 0, NEVER
    return Users(
        user_id=[f"u{1_000_000 + number}" for number in range(n_users)],
        language=language,
        country=country,
        category_taste=_category_taste(draw, n_users),
        brand_taste=draw.gumbel(0, 0.9, (n_users, len(BRANDS))),
        price_level=draw.normal(0, 0.35, n_users),
        # A long tail of keen users, but nobody who could be taken for a bot.
        sessions_per_day=np.minimum(draw.gamma(1.6, 1 / 1.6, n_users), 5.0) * _SESSIONS_PER_DAY,
        strictness=draw.normal(0, 0.4, n_users),
        cares=draw.gamma(0.8, 1.0, (n_users, MAX_ASPECTS)) + 0.05,
        join_day=join,
        stop_day=stop,
        consent=draw.random(n_users) < _CONSENT_SHARE,
    )


def _category_taste(draw: np.random.Generator, n_users: int) -> Floats:
    """A few favourite departments each, and favourite categories within them."""
    by_department = draw.dirichlet(np.full(len(DEPARTMENTS), 0.35), n_users)
    department = np.array([DEPARTMENTS.index(entry.department) for entry in CATEGORIES])
    # Users seldom come for things that are bought because of another thing; most come for the
    # things that lead to them.
    appeal = np.array([0.25 if entry.accessory else 1.0 for entry in CATEGORIES])
    share = np.array([entry.share for entry in CATEGORIES])
    weight = by_department[:, department] * appeal * share
    weight *= draw.gamma(1.5, 1.0, weight.shape) + 1e-9
    taste = np.cumsum(weight / weight.sum(axis=1, keepdims=True), axis=1)
    taste[:, -1] = 1.0
    return taste


class ConsentBook:
    """Who agrees to marketing, day by day. Changes go both ways."""

    def __init__(self, seed: int, users: Users) -> None:
        self._seed = seed
        self._users = users
        self.consent = users.consent.copy()

    def turn(self, day: int) -> Ints:
        """Apply the day's changes; returns the users whose consent changed, ascending."""
        draw = stream(self._seed, day, "consent").random(len(self._users))
        known = self._users.join_day < day
        rate = np.where(self.consent, _WITHDRAW_RATE, _GIVE_RATE)
        changed = np.flatnonzero(known & (draw < rate))
        self.consent[changed] = ~self.consent[changed]
        return changed
