"""From a ranking to the list that is sent: the shop's own rules, each named where it changed a list.

A list is chosen one place after the other from a pool, the best-ranked items that a user may get:

- `category_cap`: at most so many items of one category; an item without a category is not counted;
- `diversity`: each item of the same category that is already in the list costs an item's score so
  much (in units of log-probability) when the next place is filled;
- `no_repeat`: what earlier nights sent and the user ignored comes after everything else;
- `promotion:<name>`: an item at a place of the shop's choosing; it counts for its category.

Guarantees: distinct items of the pool or promoted ones, and as many as without the rules. Where the
whole pool cannot fill a list by the rules, first `no_repeat` gives way and then the cap, and the
list says so (`no_repeat_lifted`, `category_cap_lifted`). A score stays what the ranking said, so
scores of a list need not fall with the rank; a promoted item that is not in the pool has the score
of the last item that would be in the list without any rule: the ranking puts it no higher.

A rule is named if the list without this one rule would be another; if it takes several at once to
change a list, all that are in force are named.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any

CATEGORY_CAP, DIVERSITY, NO_REPEAT = "category_cap", "diversity", "no_repeat"
NO_REPEAT_LIFTED, CATEGORY_CAP_LIFTED = "no_repeat_lifted", "category_cap_lifted"
PROMOTION = "promotion:"
NO_CATEGORY = -1


@dataclass(frozen=True)
class Promoted:
    """An item that a promotion wants at a place, counted from 1."""

    name: str
    slot: int
    item: int


@dataclass(frozen=True)
class SlateRules:
    """What is in force for one user."""

    per_category: int = 0  # 0: no cap
    diversity: float = 0.0
    tired: Set[int] = frozenset()
    promoted: Sequence[Promoted] = ()

    @property
    def names(self) -> list[str]:
        """Rules that could change a list."""
        held = ((CATEGORY_CAP, self.per_category), (DIVERSITY, self.diversity))
        names = [name for name, value in (*held, (NO_REPEAT, len(self.tired))) if value]
        return [*names, *(PROMOTION + one.name for one in self.promoted)]

    def without(self, name: str) -> SlateRules:
        """The same but for one rule."""
        nothing: dict[str, dict[str, Any]] = {
            CATEGORY_CAP: {"per_category": 0},
            DIVERSITY: {"diversity": 0.0},
            NO_REPEAT: {"tired": frozenset()},
        }
        if name in nothing:
            return dataclasses.replace(self, **nothing[name])
        kept = [one for one in self.promoted if PROMOTION + one.name != name]
        return dataclasses.replace(self, promoted=kept)


@dataclass(frozen=True)
class Pool:
    """The best of a user's ranking: item numbers, best first.

    Args:
        whole: there is nothing else that the user may get.
    """

    items: Sequence[int]
    scores: Sequence[float]
    whole: bool


@dataclass(frozen=True)
class Slate:
    """What is sent. `settled`: a larger pool would not change it."""

    items: list[int]
    scores: list[float]
    rules: list[str]
    settled: bool


@dataclass
class _List:
    """A list that is being filled, and how often it has each category."""

    k: int
    category_of: Sequence[int]
    cap: int
    items: list[int] = field(default_factory=list)
    counts: Counter[int] = field(default_factory=Counter)

    def add(self, item: int) -> None:
        self.items.append(item)
        self.counts[self.category_of[item]] += 1

    def has_room_for(self, item: int) -> bool:
        category = self.category_of[item]
        return not self.cap or category == NO_CATEGORY or self.counts[category] < self.cap

    def penalty(self, item: int) -> int:
        category = self.category_of[item]
        return 0 if category == NO_CATEGORY else self.counts[category]


def compose(pool: Pool, category_of: Sequence[int], rules: SlateRules, k: int) -> Slate:
    """The list of one user by the rules.

    Args:
        category_of: a number for each item that there is; `NO_CATEGORY` for none.
    """
    items, lifted, settled = _choose(pool, category_of, rules, k)
    plain = list(pool.items[:k])
    names: list[str] = []
    if items != plain:
        in_force = rules.names
        names = [
            name
            for name in in_force
            if _choose(pool, category_of, rules.without(name), k)[0] != items
        ] or in_force
    score_of = dict(zip(pool.items, pool.scores, strict=True))
    last = pool.scores[len(plain) - 1] if plain else 0.0
    scores = [score_of.get(item, last) for item in items]
    return Slate(items, scores, [*names, *lifted], settled)


def _choose(
    pool: Pool, category_of: Sequence[int], rules: SlateRules, k: int
) -> tuple[list[int], list[str], bool]:
    """The items in their order, the rules that gave way, whether a larger pool is of no use."""
    places = _places(rules.promoted, k)
    promoted = set(places.values())
    chosen = _List(k - len(places), category_of, rules.per_category)
    for item in places.values():
        chosen.counts[category_of[item]] += 1
    scores = dict(zip(pool.items, pool.scores, strict=True))
    fresh = [item for item in pool.items if item not in promoted and item not in rules.tired]
    certain = _fill(chosen, fresh, scores, rules.diversity)
    lifted: list[str] = []
    if len(chosen.items) < chosen.k and pool.whole:
        tired = [item for item in pool.items if item in rules.tired and item not in promoted]
        before = len(chosen.items)
        _fill(chosen, tired, scores, rules.diversity)
        lifted += [NO_REPEAT_LIFTED] * (len(chosen.items) > before)
        before, chosen.cap = len(chosen.items), 0
        for rest in (fresh, tired):
            left = [item for item in rest if item not in set(chosen.items)]
            _fill(chosen, left, scores, rules.diversity)
        lifted += [CATEGORY_CAP_LIFTED] * (len(chosen.items) > before)
    settled = pool.whole or (certain and len(chosen.items) == chosen.k)
    return _in_order(chosen.items, places, k), lifted, settled


def _fill(chosen: _List, items: Sequence[int], scores: dict[int, float], diversity: float) -> bool:
    """Fill a list from items, best first; whether nothing below them could have been better."""
    certain = True
    if not diversity:
        for item in items:
            if len(chosen.items) == chosen.k:
                break
            if chosen.has_room_for(item):
                chosen.add(item)
        return certain
    left = list(items)
    lowest = scores[items[-1]] if items else 0.0
    while len(chosen.items) < chosen.k:
        best, best_value = None, 0.0
        for item in left:
            if not chosen.has_room_for(item):
                continue
            value = scores[item] - diversity * chosen.penalty(item)
            if best is None or value > best_value:
                best, best_value = item, value
            if scores[item] <= best_value:
                break  # what comes below has no better score, and at best no penalty
        if best is None:
            break
        certain = certain and best_value >= lowest
        left.remove(best)
        chosen.add(best)
    return certain


def _places(promoted: Sequence[Promoted], k: int) -> dict[int, int]:
    """Which place each promoted item gets: its own or the next that is free, each item once."""
    places: dict[int, int] = {}
    for one in promoted:
        free = [place for place in range(one.slot, k + 1) if place not in places]
        if free and one.item not in places.values():
            places[free[0]] = one.item
    return dict(sorted(places.items()))


def _in_order(chosen: Sequence[int], places: dict[int, int], k: int) -> list[int]:
    """Promoted items at their places, the others around them; no place stays empty."""
    others, promoted = list(chosen), dict(places)
    ordered: list[int] = []
    for place in range(1, k + 1):
        if place in promoted:
            ordered.append(promoted.pop(place))
        elif others:
            ordered.append(others.pop(0))
    return [*ordered, *promoted.values()][:k]
