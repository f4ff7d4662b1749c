"""Counts of a night's lists: who made them, and how different they are.

The share of distinct lists is the alarm for a model that gives everybody the same list. Holds
8 bytes a user and the set of recommended items, not the lists.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.arrow_columns import column


class ListStats:
    """Counts over several tables of rows.

    Args:
        n_candidates: how many items could have been recommended.
    """

    def __init__(self, n_candidates: int) -> None:
        self.n_candidates = n_candidates
        self.users = 0
        self._counts: dict[str, Counter[str]] = {
            "method": Counter(),
            "fallback_reason": Counter(),
            "reason_method": Counter(),
        }
        self._rules: Counter[str] = Counter()
        self._lists: list[np.ndarray] = []
        self._items: set[str] = set()

    def add(self, rows: pa.Table) -> None:
        """Some rows of `schemas/recommendations.v1.yaml`."""
        for name, counter in self._counts.items():
            counter.update(value for value in column(rows, name).to_pylist() if value is not None)
        items = column(rows, "items")
        item_ids = items.flatten().field("item_id").to_pylist()
        self._items.update(item_ids)
        self._rules.update(column(rows, "rules").flatten().to_pylist())
        offsets = items.offsets.to_pylist()
        digests = []
        for start, end in pairwise(offsets):
            text = "\0".join(item_ids[start - offsets[0] : end - offsets[0]])
            digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)
            digests.append(int.from_bytes(digest.digest(), "big"))
        self._lists.append(np.array(digests, dtype=np.uint64))
        self.users += rows.num_rows

    def report(self) -> dict[str, Any]:
        """Counts by who and why; distinct lists per user; recommended per sellable item."""
        return {
            "users": self.users,
            "methods": dict(sorted(self._counts["method"].items())),
            "fallback_reasons": dict(sorted(self._counts["fallback_reason"].items())),
            "reason_methods": dict(sorted(self._counts["reason_method"].items())),
            "rules": dict(sorted(self._rules.items())),
            "distinct_lists_share": round(self._distinct() / max(self.users, 1), 4),
            "coverage": round(len(self._items) / max(self.n_candidates, 1), 4),
            "candidates": self.n_candidates,
        }

    def _distinct(self) -> int:
        lists = np.concatenate([*self._lists, np.zeros(0, np.uint64)])
        lists.sort()  # in place: `unique` would hold several copies
        return int(np.count_nonzero(lists[1:] != lists[:-1])) + bool(len(lists))
