"""The lists of some users before they become a table: items, scores, who made each list and why.

Shapes: U users, K list length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.engine.exclusions import Integers

MODEL = "model"


@dataclass
class ListBatch:
    """Lists of U users.

    Args:
        items_UK: places among the candidates, best first; -1 past the end of a shorter list.
        methods: who made each list.
        reasons: why the model did not make a list, by row; a list of the model has none.
        rules: the shop's rules that changed each list.
        counted_UK: which items a fallback has by its counts, not by popularity alone.
    """

    items_UK: Integers
    scores_UK: np.ndarray
    methods: np.ndarray
    reasons: dict[int, str]
    rules: list[list[str]]
    counted_UK: NDArray[np.bool_]

    @classmethod
    def empty(cls, n_users: int, k: int) -> ListBatch:
        """No item for anybody yet; every list is the model's until another method is set."""
        return cls(
            np.full((n_users, k), -1, dtype=np.int64),
            np.zeros((n_users, k), dtype=np.float64),
            np.full(n_users, MODEL, dtype=object),
            {},
            [[] for _ in range(n_users)],
            np.zeros((n_users, k), dtype=np.bool_),
        )

    def put(self, other: ListBatch, rows: Integers) -> None:
        """Replace some rows by those of another batch, in its order."""
        self.items_UK[rows], self.scores_UK[rows] = other.items_UK, other.scores_UK
        self.methods[rows], self.counted_UK[rows] = other.methods, other.counted_UK
        for row, user in enumerate(rows.tolist()):
            self.rules[user] = other.rules[row]
            if row in other.reasons:
                self.reasons[user] = other.reasons[row]
