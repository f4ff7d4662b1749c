"""One shard's lists, step by step: each step's rules are in a module of its own.

1. A user whose list would come out the same keeps last night's (`reused_lists`).
2. The model ranks for the others (`model_lists`), and says whom it could not serve and why.
3. Past the deadline a user gets the list that the night before sent (`deadline_lists`).
4. The fallback ranks for everybody else without a list, and fills up the lists of step 3
   (`fallback`).
5. The shop's rules choose from these rankings, where there are rules (`reranker`).
6. The lists become a table (`ranked_table`).

A user for whom nothing at all may be recommended has an empty list and is counted.

A list and its spares are one ranking: places 1 to K are the list, those below the spares.

Shapes: U users of the shard, K list length (in a batch with the spares).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
import pyarrow as pa

from pipeline.arrow_columns import Column, column
from pipeline.engine.exclusions import Exclusions, Integers, no_exclusions
from pipeline.engine.ranker import DEADLINE
from pipeline.generation.lists.candidates import Candidates
from pipeline.generation.lists.deadline_lists import (
    last_night_lists,
    put_last_night_first,
)
from pipeline.generation.lists.earlier_lists import EarlierLists
from pipeline.generation.lists.fallback import Events, Fallback
from pipeline.generation.lists.list_batch import MODEL, ListBatch
from pipeline.generation.lists.model_lists import ModelLists
from pipeline.generation.lists.ranked_table import ranked_table
from pipeline.generation.lists.reranker import Reranker
from pipeline.generation.lists.reused_lists import ReusedList, ReusedLists
from pipeline.model.list_methods import LAST_NIGHT, POPULARITY
from pipeline.progress import no_progress

# The counts of a shard, beside those of the reasons why users fell back.
REUSED = "reused"
SHORT_LISTS = "short_lists"
EMPTY_LISTS = "empty_lists"
# Nothing that is sellable is left for this user: no row, and nobody's error.
NOTHING_LEFT = "nothing_left"


class ListMaker:
    """Everything that a shard's lists are made with.

    Args:
        titles: of every item of the catalogue that has one.
        fallback: called the first time somebody needs it; many nights never do.
        k: the length of a list.
        spares: how many items below it are kept for tools that drop what sold out since.
        exclude_owned: whether nobody gets what they already bought or rated.
        earlier: what earlier nights sent.
        reused: whose lists stay as they were; None: every list is made anew.
    """

    def __init__(
        self,
        model_lists: ModelLists,
        candidates: Candidates,
        titles: Mapping[str, str],
        fallback: Callable[[], Fallback],
        *,
        k: int,
        spares: int = 0,
        exclude_owned: bool,
        reranker: Reranker,
        earlier: EarlierLists,
        reused: ReusedLists | None,
    ) -> None:
        self.model_lists = model_lists
        self.candidates = candidates
        self.titles = titles
        self.k = k
        self.size = k + spares
        self.exclude_owned = exclude_owned
        self.reranker = reranker
        self.earlier = earlier
        self.reused = reused
        self._fit_fallback = fallback

    @cached_property
    def fallback(self) -> Fallback:
        """Fit when first needed."""
        return self._fit_fallback()

    def make(
        self, users: pa.Table, done: Callable[[int], None] = no_progress
    ) -> tuple[pa.Table, dict[str, int]]:
        """Ranked lists of a shard's users; counts of fallbacks, short, empty and reused lists."""
        n = users.num_rows
        excluded = no_exclusions(n)
        if self.exclude_owned:
            excluded = self.candidates.excluded_by(column(users, "owned_item_ids"))
        reused = self.reused.lists(users) if self.reused else {}
        done(len(reused))
        batch = ListBatch.empty(n, self.size)
        batch.put(self._reused_batch(reused), np.array(list(reused), dtype=np.int64))
        others = np.array([user for user in range(n) if user not in reused], dtype=np.int64)
        if len(others):
            some = users.take(_indices(others))
            batch.put(self._make_anew(some, excluded.for_users(others), done), others)
        table = ranked_table(users, batch, self.candidates, self.titles)
        counts = Counter(batch.reasons.values())
        length_U = (batch.items_UK >= 0).sum(axis=1)
        counts[SHORT_LISTS] = int(((length_U > 0) & (length_U < self.k)).sum())
        counts[EMPTY_LISTS] = int((length_U == 0).sum())
        counts[REUSED] = len(reused)
        return table, dict(sorted(counts.items()))

    def _reused_batch(self, lists: Mapping[int, ReusedList]) -> ListBatch:
        """Lists that stay as they were."""
        batch = ListBatch.empty(len(lists), self.size)
        for row, (items, scores, rules) in enumerate(lists.values()):
            batch.items_UK[row, : len(items)] = self.candidates.places(pa.array(items, pa.string()))
            batch.scores_UK[row, : len(items)] = scores
            batch.rules[row] = list(rules)
        return batch

    def _make_anew(
        self, users: pa.Table, excluded: Exclusions, done: Callable[[int], None]
    ) -> ListBatch:
        """Lists made tonight, by the shop's rules where there are any."""
        listeners = [done]

        def rank_users(rows: Integers, size: int) -> ListBatch:
            # A user who is ranked once more, deeper, was counted already.
            listener = listeners.pop() if listeners else no_progress
            some = users.take(_indices(rows))
            return self._rank(some, excluded.for_users(rows), size, listener)

        ignored = self.earlier.ignored(users)
        if self.reranker.in_force(ignored):
            batch = self.reranker.apply(users, excluded, ignored, rank_users)
        else:
            batch = rank_users(np.arange(users.num_rows), self.size)
        by_baseline_U = ~np.isin(batch.methods, (MODEL, LAST_NIGHT))
        # Of the list alone: its method is what it would be without spares.
        counted_U = batch.counted_UK[:, : self.k].any(axis=1)
        batch.methods[by_baseline_U & ~counted_U] = POPULARITY
        return batch

    def _rank(
        self, users: pa.Table, excluded: Exclusions, size: int, done: Callable[[int], None]
    ) -> ListBatch:
        """The best `size` items of each user: the model's, last night's or the fallback's."""
        batch = self.model_lists.rank(users, excluded, size, done)
        late = [user for user, reason in sorted(batch.reasons.items()) if reason == DEADLINE]
        last_night = last_night_lists(users, late, excluded, self.earlier, self.candidates)
        # A whole list needs no fallback; its spares may be fewer.
        full = {user for user, last in last_night.items() if len(last.items) >= self.k}
        fallen = np.array(sorted(batch.reasons.keys() - full), dtype=np.int64)
        if len(fallen):
            self._fall_back(batch, users, excluded, fallen, size)
        put_last_night_first(batch, last_night, size)
        return batch

    def _fall_back(
        self, batch: ListBatch, users: pa.Table, excluded: Exclusions, fallen: Integers, size: int
    ) -> None:
        """Put the fallback's lists into the rows of the users who need them."""
        histories = column(users, "item_ids").take(pa.array(fallen))
        columns = (column(users, name) for name in ("event_types", "event_times"))
        events = Events(*(lists.take(pa.array(fallen)) for lists in columns))
        lists = self.fallback.rank(histories, excluded.for_users(fallen), size, events)
        batch.items_UK[fallen], batch.scores_UK[fallen] = lists.items_UK, lists.scores_UK
        batch.methods[fallen], batch.counted_UK[fallen] = self.fallback.name, lists.counted_UK
        batch.reasons |= {int(fallen[row]): NOTHING_LEFT for row in lists.errors}


def _indices(rows: Integers) -> Column:
    return pa.array(rows, pa.int64())
