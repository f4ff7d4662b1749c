"""What happens after a purchase: returns, stars, and words that follow what the user thought.

Stars come from the item's true quality per aspect, weighed by what the user cares about. The
text names those aspects, praised or blamed accordingly, in the user's language. Which of the
clauses an aspect gets leans on the item, so that an item has words that tell it from others.
Reads and writes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from pipeline.simulator.assortment import CATEGORIES
from pipeline.simulator.catalogue import NOBODY, Catalogue, Flags, Floats, Ints
from pipeline.simulator.events import PURCHASE, RETURN, Events, join_events, no_events
from pipeline.simulator.lexicon import LANGUAGES, Lexicon, load_lexicon
from pipeline.simulator.randomness import stream
from pipeline.simulator.users import Users

_REVIEW_RATE = 0.4
_RETURN_RATE, _RETURN_RATE_DISLIKED = 0.015, 0.15


@dataclass(frozen=True)
class Review:
    """One review as the retailer delivers it; `second` counts from the day's beginning."""

    second: int
    user: int
    item: int
    stars: int
    headline: str | None = None
    body: str = ""
    language: str | None = None


class Aftermath:
    """Schedules what purchases lead to, and hands it out on its day."""

    def __init__(self, seed: int, catalogue: Catalogue, users: Users) -> None:
        self._seed = seed
        self._items = catalogue
        self._users = users
        self._reviews: defaultdict[int, list[tuple[Ints, Ints, Ints]]] = defaultdict(list)
        self._returns: defaultdict[int, list[Events]] = defaultdict(list)

    def after(self, day: int, events: Events) -> None:
        """Decide what the day's purchases lead to on later days."""
        bought = events.take(events.kind == PURCHASE)
        n = len(bought)
        draw = stream(self._seed, day, "aftermath")
        stars = self._stars(bought.user, bought.item, draw.normal(0, 0.35, n))
        u = draw.random((2, n))
        review_day = day + draw.integers(2, 13, n)
        return_day = day + draw.integers(2, 15, n)
        # People write when they are moved.
        writes = u[0] < _REVIEW_RATE * np.where(np.abs(stars - 3) == 2, 1.3, 0.8)
        returns = u[1] < np.where(stars <= 2, _RETURN_RATE_DISLIKED, _RETURN_RATE)
        for later in np.unique(review_day[writes]).tolist():
            due = writes & (review_day == later)
            self._reviews[later].append((bought.user[due], bought.item[due], stars[due]))
        for later in np.unique(return_day[returns]).tolist():
            self._returns[later].append(bought.take(returns & (return_day == later)))

    def returns(self, day: int, day_seconds: int) -> Events:
        """The return events of that day; they belong to no session."""
        back = join_events([no_events(), *self._returns.pop(day, [])])
        draw = stream(self._seed, day, "returns")
        back.second = draw.integers(day_seconds // 4, day_seconds, len(back))
        back.kind = np.full(len(back), RETURN, dtype=np.int8)
        back.session = np.full(len(back), NOBODY)
        return back

    def reviews(self, day: int, day_seconds: int) -> list[Review]:
        """The reviews written on that day, in order of time."""
        due = self._reviews.pop(day, [])
        if not due:
            return []
        user, item, stars = (np.concatenate(column) for column in zip(*due, strict=True))
        draw = stream(self._seed, day, "reviews")
        second = draw.integers(day_seconds // 4, day_seconds, len(user))
        order = np.argsort(second, kind="stable")
        user, item, stars, second = user[order], item[order], stars[order], second[order]
        mentioned, praised = self._opinions(user, item, stars, draw)
        picks = draw.random((len(user), 10))
        return [
            self._write(
                Review(
                    second=int(second[row]),
                    user=int(user[row]),
                    item=int(item[row]),
                    stars=int(stars[row]),
                ),
                mentioned[row].tolist(),
                praised[row].tolist(),
                picks[row].tolist(),
            )
            for row in range(len(user))
        ]

    def _stars(self, user: Ints, item: Ints, mood: Floats) -> Ints:
        quality, cares = self._items.quality[item], self._users.cares[user]
        cares = np.where(np.isnan(quality), 0.0, cares)
        liking = (np.nan_to_num(quality) * cares).sum(axis=1) / cares.sum(axis=1)
        stars = np.round(3.5 + 1.2 * liking - self._users.strictness[user] + mood)
        rounded: Ints = np.clip(stars, 1, 5).astype(np.int64)
        return rounded

    def _opinions(
        self, user: Ints, item: Ints, stars: Ints, draw: np.random.Generator
    ) -> tuple[Ints, Flags]:
        """Aspects by how much they are on the writer's mind, and what the writer thinks of each.

        Happy writers speak of what is good, unhappy ones of what is bad.
        """
        quality = self._items.quality[item]
        felt = quality + draw.normal(0, 0.3, quality.shape)
        lean = np.clip(stars - 3, -1, 1)[:, None]
        mind = np.log(self._users.cares[user]) + draw.gumbel(0, 0.6, quality.shape)
        mind = np.where(np.isnan(quality), -np.inf, mind + 1.2 * lean * np.nan_to_num(felt))
        order = np.argsort(-mind, axis=1, kind="stable")
        return order, np.take_along_axis(felt, order, axis=1) > 0

    def _write(
        self, bare: Review, mentioned: list[int], praised: list[bool], picks: list[float]
    ) -> Review:
        """The review with its words; `picks` are uniform draws."""
        code = LANGUAGES[self._users.language[bare.user]]
        words = load_lexicon(code)
        category = CATEGORIES[self._items.category[bare.item]]
        verdict = "good" if bare.stars >= 4 else "mixed" if bare.stars == 3 else "bad"
        n_clauses = min(1 + int(picks[0] * 3), len(category.aspects))
        clauses = [
            _clause(words, category.aspects[aspect], good, bare.item * 7 + aspect, pick)
            for aspect, good, pick in zip(
                mentioned[:n_clauses], praised[:n_clauses], picks[1:], strict=False
            )
        ]
        opener = _pick(words.openers[verdict], picks[5]) if picks[6] < 0.8 else ""
        closer = _pick(words.closers[verdict], picks[7])
        body = words.sentence_space.join(
            part for part in (opener, words.sentences(clauses, praised), closer) if part
        )
        headline = _pick(words.headlines[verdict], picks[8]).format(noun=words.noun(category.key))
        return replace(
            bare,
            headline=headline if picks[9] > 0.08 else None,
            body=body,
            language=code if picks[9] < 0.96 else None,
        )


def _clause(words: Lexicon, aspect: str, good: bool, habit: int, pick: float) -> str:
    """Seven times in ten the clause that is this item's own."""
    choices = words.aspects[aspect].praise if good else words.aspects[aspect].blame
    return choices[habit % len(choices)] if pick < 0.7 else _pick(choices, (pick - 0.7) / 0.3)


def _pick(choices: tuple[str, ...], uniform: float) -> str:
    return choices[int(uniform * len(choices))]
