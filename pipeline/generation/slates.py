"""A shard's lists by the shop's rules (`slate`): who is eligible for what, and how deep to look.

The ranking is asked for a pool a few times the list's length; users whose pool turns out too short
for the rules are ranked again, eight times as deep, until it is long enough or is all there is.

Shapes: U users, C candidates, P pool, K list length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.generation.candidates import Candidates, Exclusions, Integers
from pipeline.generation.columns import column, python_lists
from pipeline.generation.promotions import Promotion
from pipeline.generation.slate import NO_CATEGORY, Pool, Promoted, SlateRules, compose

POOL_TIMES, DEEPER_TIMES = 4, 8


@dataclass
class Drawn:
    """Lists of U users: candidate places (-1 past the end), scores, who made them, what else.

    `counted_UK`: which items a fallback has by its counts, not by popularity alone.
    """

    items_UK: Integers
    scores_UK: np.ndarray
    methods: np.ndarray
    reasons: dict[int, str]
    rules: list[list[str]]
    counted_UK: NDArray[np.bool_]

    @classmethod
    def empty(cls, n_users: int, k: int) -> Drawn:
        """No item for anybody yet; whatever comes is the model's unless somebody says otherwise."""
        return cls(
            np.full((n_users, k), -1, dtype=np.int64),
            np.zeros((n_users, k), dtype=np.float64),
            np.full(n_users, "model", dtype=object),
            {},
            [[] for _ in range(n_users)],
            np.zeros((n_users, k), dtype=np.bool_),
        )

    def put(self, other: Drawn, rows: Integers) -> None:
        """Let some rows be another's, in its order."""
        self.items_UK[rows], self.scores_UK[rows] = other.items_UK, other.scores_UK
        self.methods[rows], self.counted_UK[rows] = other.methods, other.counted_UK
        for row, user in enumerate(rows.tolist()):
            self.rules[user] = other.rules[row]
            if row in other.reasons:
                self.reasons[user] = other.reasons[row]


Draw = Callable[[Integers, int], Drawn]  # rows of some users, how many items of each


class Slates:
    """The rules of a night.

    Args:
        category_of: the category of every item of the catalogue that has one.
    """

    def __init__(
        self,
        candidates: Candidates,
        category_of: dict[str, str],
        promotions: Sequence[Promotion],
        *,
        k: int,
        per_category: int,
        diversity: float,
    ) -> None:
        self.candidates = candidates
        self.category_of = category_of
        self.promotions = promotions
        self.k = k
        self.per_category = per_category
        self.diversity = diversity

    def in_force(self, ignored: Sequence[frozenset[str]]) -> bool:
        """Whether any rule could change a list."""
        return bool(self.per_category or self.diversity or self.promotions or any(ignored))

    def apply(
        self,
        users: pa.Table,
        excluded: Exclusions,
        ignored: Sequence[frozenset[str]],
        draw: Draw,
    ) -> Drawn:
        """Draw pools and choose each user's list from theirs."""
        n, k = users.num_rows, self.k
        rules = self._rules(users, excluded, ignored)
        allowed_U = len(self.candidates) - excluded.counts_U
        most_tired = max((len(rule.tired) for rule in rules), default=0)
        todo = np.arange(n)
        size = POOL_TIMES * k + most_tired
        drawn = Drawn.empty(n, k)
        while len(todo):
            pools = draw(todo, min(size, len(self.candidates)))
            deeper = []
            for row, user in enumerate(todo.tolist()):
                there_P = pools.items_UK[row] >= 0
                items = pools.items_UK[row][there_P].tolist()
                # A pool that is shorter than asked for is all that its maker can rank.
                whole = len(items) >= allowed_U[user] or len(items) < size
                pool = Pool(items, pools.scores_UK[row][there_P].tolist(), whole)
                slate = compose(pool, self._numbers, rules[user], k)
                if not slate.settled:
                    deeper.append(user)
                    continue
                drawn.items_UK[user] = -1
                drawn.items_UK[user, : len(slate.items)] = slate.items
                drawn.scores_UK[user, : len(slate.items)] = slate.scores
                drawn.methods[user] = pools.methods[row]
                counted = set(pools.items_UK[row][pools.counted_UK[row]].tolist())
                drawn.counted_UK[user, : len(slate.items)] = [it in counted for it in slate.items]
                drawn.rules[user] = slate.rules
                if row in pools.reasons:
                    drawn.reasons[user] = pools.reasons[row]
            todo, size = np.array(deeper, dtype=np.int64), size * DEEPER_TIMES
        return drawn

    def _rules(
        self, users: pa.Table, excluded: Exclusions, ignored: Sequence[frozenset[str]]
    ) -> list[SlateRules]:
        """What is in force for each user."""
        place_of = self._place_of
        pasts = zip(
            users.column("language").to_pylist(),
            users.column("region").to_pylist(),
            python_lists(column(users, "item_ids")),
            strict=True,
        )
        rules = []
        for user, (language, region, items) in enumerate(pasts):
            tired = frozenset(place_of[item] for item in ignored[user] if item in place_of)
            promoted: list[Promoted] = []
            if self.promotions:
                past = {self.category_of[item] for item in items if item in self.category_of}
                start, end = excluded.starts_U1[user : user + 2]
                refused = tired.union(excluded.items_E[start:end].tolist())
                for one in self.promotions:
                    if not one.is_for(language, region, past):
                        continue
                    taken = {other.item for other in promoted}
                    places = (place_of[item] for item in one.items if item in place_of)
                    free = (p for p in places if p not in refused and p not in taken)
                    item = next(free, None)
                    if item is not None:
                        promoted.append(Promoted(one.name, one.slot, item))
            rules.append(SlateRules(self.per_category, self.diversity, tired, tuple(promoted)))
        return rules

    @cached_property
    def _place_of(self) -> dict[str, int]:
        return {item: place for place, item in enumerate(self.candidates.item_ids.to_pylist())}

    @cached_property
    def _numbers(self) -> list[int]:
        """A number for each candidate's category."""
        numbers: dict[str, int] = {}
        return [
            numbers.setdefault(self.category_of[item], len(numbers))
            if item in self.category_of
            else NO_CATEGORY
            for item in self._place_of
        ]
