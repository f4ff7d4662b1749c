"""A shard's lists by the shop's rules (`rerank`): the rules of each user, and how deep to rank.

The ranking is asked for a pool a few times the list's length. Users whose pool turns out too short
for the rules are ranked again, eight times as deep, until the pool is long enough or is all there
is. Spares look no deeper than one such step, and not at all where the cap leaves no room for them.

Shapes: U users, C candidates, P pool, K list length (in a batch with the spares).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa

from pipeline.arrow_columns import column, python_lists
from pipeline.engine.exclusions import Exclusions, Integers
from pipeline.generation.lists.candidates import Candidates
from pipeline.generation.lists.category_rules import NO_CATEGORY
from pipeline.generation.lists.list_batch import ListBatch
from pipeline.generation.lists.promotion_slots import PromotedItem, promoted_items
from pipeline.generation.lists.promotions import Promotion
from pipeline.generation.lists.rerank import Pool, RerankedList, RerankRules, rerank, spares_below

# The first pool is so many times as long as the list; each further one so many times as deep.
POOL_TIMES, DEEPER_TIMES = 4, 8

# Ranks some users: their rows, and how many items of each.
RankUsers = Callable[[Integers, int], ListBatch]


class Reranker:
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
        spares: int = 0,
        per_category: int,
        diversity: float,
    ) -> None:
        self.candidates = candidates
        self.category_of = category_of
        self.promotions = promotions
        self.k = k
        self.spares = spares
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
        rank_users: RankUsers,
    ) -> ListBatch:
        """Rank pools and choose each user's list from theirs.

        Args:
            ignored: the items that earlier nights sent to each user and they ignored.
        """
        n, k = users.num_rows, self.k
        rules = self._rules(users, excluded, ignored)
        allowed_U = len(self.candidates) - excluded.counts_U
        most_ignored = max((len(rule.ignored) for rule in rules), default=0)
        todo, listed = np.arange(n), dict[int, list[int]]()
        size = POOL_TIMES * k + most_ignored
        batch = ListBatch.empty(n, k + self.spares)
        while len(todo):
            pools = rank_users(todo, min(size, len(self.candidates)))
            deeper = []
            for row, user in enumerate(todo.tolist()):
                there_P = pools.items_UK[row] >= 0
                items = pools.items_UK[row][there_P].tolist()
                # A pool that is shorter than asked for is all that its maker can rank.
                whole = len(items) >= allowed_U[user] or len(items) < size
                pool = Pool(items, pools.scores_UK[row][there_P].tolist(), whole)
                if user not in listed:
                    reranked = rerank(pool, self._category_numbers, rules[user], k)
                    if not reranked.settled:
                        deeper.append(user)
                        continue
                    # A deeper pool is for the spares alone: the list is what it is without them.
                    listed[user] = reranked.items
                    _put_list(batch, user, reranked, pools, row)
                if not self._put_spares(batch, user, listed[user], pool, rules[user]):
                    deeper.append(user)
            todo, size = np.array(deeper, dtype=np.int64), size * DEEPER_TIMES
        return batch

    def _put_spares(
        self, batch: ListBatch, user: int, listed: list[int], pool: Pool, rules: RerankRules
    ) -> bool:
        """Whether a larger pool is of no use for them."""
        if not self.spares or len(listed) < self.k:
            return True
        # The same depth in every pool: no spare depends on who else is ranked.
        steps = max(DEEPER_TIMES * self.k, self.k + self.spares)
        depth = POOL_TIMES * steps + len(rules.ignored)
        near = Pool(pool.items[:depth], pool.scores[:depth], pool.whole)
        wanted = min(self.spares, self._room_beside(listed))
        spares = spares_below(near, listed, self._category_numbers, rules, wanted)
        if len(spares) < wanted and not pool.whole and len(pool.items) < depth:
            return False
        score_of = dict(zip(pool.items, pool.scores, strict=True))
        places = slice(self.k, self.k + len(spares))
        batch.items_UK[user, places] = spares
        batch.scores_UK[user, places] = [score_of[item] for item in spares]
        return True

    def _room_beside(self, listed: list[int]) -> int:
        """How many items of the catalogue the cap at most allows beside a list."""
        if not self.per_category:
            return len(self.candidates) - len(listed)
        taken = Counter(self._category_numbers[item] for item in listed)
        room = sum(self._room_in.values())
        return room - sum(min(n, self._room_in[category]) for category, n in taken.items())

    def _rules(
        self, users: pa.Table, excluded: Exclusions, ignored: Sequence[frozenset[str]]
    ) -> list[RerankRules]:
        """The rules in force for each user."""
        place_of = self._place_of
        pasts = zip(
            users.column("language").to_pylist(),
            users.column("region").to_pylist(),
            python_lists(column(users, "item_ids")),
            strict=True,
        )
        rules = []
        for user, (language, region, past) in enumerate(pasts):
            places = frozenset(place_of[item] for item in ignored[user] if item in place_of)
            promoted: tuple[PromotedItem, ...] = ()
            if self.promotions:
                categories = {self.category_of[item] for item in past if item in self.category_of}
                start, end = excluded.starts_U1[user : user + 2]
                refused = places.union(excluded.items_E[start:end].tolist())
                promoted = promoted_items(
                    self.promotions,
                    language,
                    region,
                    categories,
                    place_of=place_of,
                    refused=refused,
                )
            rules.append(RerankRules(self.per_category, self.diversity, places, promoted))
        return rules

    @cached_property
    def _place_of(self) -> dict[str, int]:
        return {item: place for place, item in enumerate(self.candidates.item_ids.to_pylist())}

    @cached_property
    def _room_in(self) -> dict[int, int]:
        """How many items of each category a list may have."""
        return {
            category: n if category == NO_CATEGORY else min(n, self.per_category)
            for category, n in Counter(self._category_numbers).items()
        }

    @cached_property
    def _category_numbers(self) -> list[int]:
        """A number for each candidate's category."""
        numbers: dict[str, int] = {}
        return [
            numbers.setdefault(self.category_of[item], len(numbers))
            if item in self.category_of
            else NO_CATEGORY
            for item in self._place_of
        ]


def _put_list(
    batch: ListBatch, user: int, reranked: RerankedList, pools: ListBatch, row: int
) -> None:
    """One user's list, and what its pool says of it."""
    n_items = len(reranked.items)
    batch.items_UK[user, :n_items] = reranked.items
    batch.scores_UK[user, :n_items] = reranked.scores
    batch.methods[user] = pools.methods[row]
    counted = set(pools.items_UK[row][pools.counted_UK[row]].tolist())
    batch.counted_UK[user, :n_items] = [item in counted for item in reranked.items]
    batch.rules[user] = reranked.rules
    if row in pools.reasons:
        batch.reasons[user] = pools.reasons[row]
