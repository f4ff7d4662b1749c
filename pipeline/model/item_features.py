"""What the words of an item say of it: a sparse row of features for each item.

A description (title, brand, category) has as features its words, pairs of characters where a
script has no spaces, the brand, and every level of the category. A feature counts by its rarity
(log of items / items with it); a description's row has length 1.

Shapes: I items, F features.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import sparse

from pipeline.model.catalogue import CatalogueItem
from pipeline.model.phrase import UNSPACED

# A word of one item tells nothing about another.
MIN_ITEMS = 2
# Kept of the most frequent; more would cost time and are met too rarely to be learned.
MAX_FEATURES = 50_000

_WORD = re.compile(r"\w+")
_UNSPACED_RUN = re.compile(f"[{UNSPACED}]+")
_LEVELS = re.compile(r"\s*[>|]\s*")


def description_features(item: CatalogueItem) -> Counter[str]:
    """The features of a description and how often each stands in it."""
    text = item.title.casefold()
    spaced = _UNSPACED_RUN.sub(" ", text)
    found = Counter(_WORD.findall(spaced))
    for run in _UNSPACED_RUN.findall(text):
        found.update(run[n : n + 2] for n in range(max(1, len(run) - 1)))
    if item.brand:
        found[f"brand {item.brand.casefold()}"] += 2
    for level in _LEVELS.split(item.category.casefold()):
        if level:
            found[f"category {level}"] += 2
    return found


def feature_matrix(items: Iterable[CatalogueItem], item_ids: Sequence[str]) -> sparse.csr_matrix:
    """`features_IF` of some items, in the order of their ids; rows of length 1 or empty."""
    by_id = {item.item_id: description_features(item) for item in items}
    described = [by_id.get(item_id, Counter()) for item_id in item_ids]
    held_by = Counter(feature for features in described for feature in features)
    shared = sorted(
        (feature for feature, n in held_by.items() if n >= MIN_ITEMS),
        key=lambda feature: (-held_by[feature], feature),
    )[:MAX_FEATURES]
    column = {feature: n for n, feature in enumerate(sorted(shared))}
    rows, columns, values = [], [], []
    for row, features in enumerate(described):
        for feature, n in features.items():
            if feature in column:
                rows.append(row)
                columns.append(column[feature])
                values.append(min(n, 2) * math.log(len(described) / held_by[feature]))
    matrix = sparse.csr_matrix(
        (np.array(values, dtype=np.float64), (rows, columns)),
        shape=(len(described), len(column)),
    )
    lengths_I = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return (sparse.diags(1 / np.maximum(lengths_I, 1e-12)) @ matrix).tocsr()
