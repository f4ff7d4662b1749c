"""From a user's ranking to the list that is sent: the shop's own rules, each named where it counts.

A list is chosen one place after the other from a pool, the best-ranked items that a user may get:

- `category_cap` and `diversity`: `pipeline.generation.lists.category_rules`;
- `no_repeat`: what earlier nights sent and the user ignored comes after everything else;
- `promotion:<name>`: `pipeline.generation.lists.promotion_slots`; a promoted item counts for its
  category.

Guarantees: distinct items of the pool or promoted ones, and as many as without the rules. Where the
whole pool cannot fill a list by the rules, first `no_repeat` is lifted and then the cap, and the
list says so (`no_repeat_lifted`, `category_cap_lifted`). A score stays that of the ranking, so
scores of a list need not fall with the rank. A promoted item that is not in the pool gets the score
of the last item that would be in the list without any rule: the ranking puts it no higher.

Spares are the next items of a pool: as they are ranked, none that was ignored, and none that would
break the cap beside the list, so that any of them may take the place of any listed item.

A rule is named if the list without this one rule would be another; if only several rules together
change a list, all that are in force are named. Pure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from pipeline.generation.lists.category_rules import CategoryList
from pipeline.generation.lists.promotion_slots import PromotedItem, items_by_slot, with_promoted

CATEGORY_CAP, DIVERSITY, NO_REPEAT = "category_cap", "diversity", "no_repeat"
NO_REPEAT_LIFTED, CATEGORY_CAP_LIFTED = "no_repeat_lifted", "category_cap_lifted"
PROMOTION = "promotion:"


@dataclass(frozen=True)
class RerankRules:
    """The rules in force for one user.

    Args:
        ignored: items that earlier nights sent and the user ignored.
    """

    per_category: int = 0  # 0: no cap
    diversity: float = 0.0
    ignored: Set[int] = frozenset()
    promoted: Sequence[PromotedItem] = ()

    @property
    def names(self) -> list[str]:
        """Rules that could change a list."""
        held = ((CATEGORY_CAP, self.per_category), (DIVERSITY, self.diversity))
        names = [name for name, value in (*held, (NO_REPEAT, len(self.ignored))) if value]
        return [*names, *(PROMOTION + one.name for one in self.promoted)]

    def without(self, name: str) -> RerankRules:
        """The same but for one rule."""
        nothing: dict[str, dict[str, Any]] = {
            CATEGORY_CAP: {"per_category": 0},
            DIVERSITY: {"diversity": 0.0},
            NO_REPEAT: {"ignored": frozenset()},
        }
        if name in nothing:
            return dataclasses.replace(self, **nothing[name])
        others = [one for one in self.promoted if PROMOTION + one.name != name]
        return dataclasses.replace(self, promoted=others)


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
class RerankedList:
    """One user's list. `settled`: a larger pool would not change it."""

    items: list[int]
    scores: list[float]
    rules: list[str]
    settled: bool


def rerank(pool: Pool, category_of: Sequence[int], rules: RerankRules, k: int) -> RerankedList:
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
    return RerankedList(items, scores, [*names, *lifted], settled)


def spares_below(
    pool: Pool, listed: Sequence[int], category_of: Sequence[int], rules: RerankRules, n: int
) -> list[int]:
    """The next items of a pool below a list that was chosen by the rules; at most `n`."""
    chosen = CategoryList(n, category_of, rules.per_category)
    for item in listed:
        chosen.count(item)
    taken = {*listed, *rules.ignored}
    chosen.fill([item for item in pool.items if item not in taken], {}, diversity=0.0)
    return chosen.items


def _choose(
    pool: Pool, category_of: Sequence[int], rules: RerankRules, k: int
) -> tuple[list[int], list[str], bool]:
    """The items in their order, the rules that were lifted, and whether the list is settled."""
    slots = items_by_slot(rules.promoted, k)
    promoted = set(slots.values())
    chosen = CategoryList(k - len(slots), category_of, rules.per_category)
    for item in slots.values():
        chosen.count(item)
    scores = dict(zip(pool.items, pool.scores, strict=True))
    fresh = [item for item in pool.items if item not in promoted and item not in rules.ignored]
    certain = chosen.fill(fresh, scores, rules.diversity)
    lifted: list[str] = []
    if not chosen.is_full and pool.whole:
        ignored = [item for item in pool.items if item in rules.ignored and item not in promoted]
        n_before = len(chosen.items)
        chosen.fill(ignored, scores, rules.diversity)
        lifted += [NO_REPEAT_LIFTED] * (len(chosen.items) > n_before)
        n_before, chosen.cap = len(chosen.items), 0
        for rest in (fresh, ignored):
            left = [item for item in rest if item not in set(chosen.items)]
            chosen.fill(left, scores, rules.diversity)
        lifted += [CATEGORY_CAP_LIFTED] * (len(chosen.items) > n_before)
    settled = pool.whole or (certain and chosen.is_full)
    return with_promoted(chosen.items, slots, k), lifted, settled
