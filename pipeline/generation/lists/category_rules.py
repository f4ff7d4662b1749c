"""The cap per category and diversity: how a list is filled from ranked items, place by place.

- The cap: at most so many items of one category. An item without a category is not counted.
- Diversity: each item of the same category that is already in the list costs an item's score so
  much (in units of log-probability) when the next place is filled.

Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

NO_CATEGORY = -1


@dataclass
class CategoryList:
    """A list that is being filled, and how many items it has of each category.

    Args:
        k: its length.
        category_of: a number for each item that there is; `NO_CATEGORY` for none.
        cap: how many items of one category it may have; 0: no cap.
    """

    k: int
    category_of: Sequence[int]
    cap: int
    items: list[int] = field(default_factory=list)
    counts: Counter[int] = field(default_factory=Counter)

    @property
    def is_full(self) -> bool:
        """Whether every place is taken."""
        return len(self.items) == self.k

    def count(self, item: int) -> None:
        """Count an item for its category that stands in the list by another rule."""
        self.counts[self.category_of[item]] += 1

    def add(self, item: int) -> None:
        """Put an item at the next place."""
        self.items.append(item)
        self.count(item)

    def has_room_for(self, item: int) -> bool:
        """Whether the cap allows one more item of its category."""
        category = self.category_of[item]
        return not self.cap or category == NO_CATEGORY or self.counts[category] < self.cap

    def n_alike(self, item: int) -> int:
        """How many items of its category are in the list."""
        category = self.category_of[item]
        return 0 if category == NO_CATEGORY else self.counts[category]

    def fill(self, items: Sequence[int], scores: Mapping[int, float], diversity: float) -> bool:
        """Add items until the list is full; return whether no item below them could be better.

        Args:
            items: from the best.
            diversity: what each item of the same category costs; 0: nothing.
        """
        if diversity:
            return self._fill_diversely(items, scores, diversity)
        for item in items:
            if self.is_full:
                break
            if self.has_room_for(item):
                self.add(item)
        return True

    def _fill_diversely(
        self, items: Sequence[int], scores: Mapping[int, float], diversity: float
    ) -> bool:
        certain = True
        left = list(items)
        lowest = scores[items[-1]] if items else 0.0
        while not self.is_full:
            best, best_value = None, 0.0
            for item in left:
                if not self.has_room_for(item):
                    continue
                value = scores[item] - diversity * self.n_alike(item)
                if best is None or value > best_value:
                    best, best_value = item, value
                if scores[item] <= best_value:
                    break  # what comes below has no better score, and at best no penalty
            if best is None:
                break
            certain = certain and best_value >= lowest
            left.remove(best)
            self.add(best)
        return certain
