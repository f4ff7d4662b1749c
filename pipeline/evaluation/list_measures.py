"""Measures of lists beside accuracy: novelty, diversity, popularity, evenness, calibration.

All are between 0 and 1. Measures with a value a user:

- novelty: mean self-information of its items, -log2 of their smoothed share of events, as a share
  of the most there could be (Vargas & Castells 2011): 0 for items that everybody has, 1 for items
  that nobody has.
- diversity: mean over pairs of 1 - Jaccard of the features of the two items (their categories at
  every level and their brand); two items without any feature are no pair.
- average popularity: mean events of its items as a share of the bestseller's (Yin et al. 2012).
- tail share: share of its items that are not in the head, the fewest items with 80 % of events.

Measures with one value for all lists:

- Gini of how often each item is recommended: 0 is equally often, 1 is one item only.
- expected calibration error of the scores (Naeini et al. 2015), read as probabilities that an item
  is the held-out one: mean distance of confidence and hit rate over ten equal bins.

Shapes: B users, K list length, I items, F features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline.ranking.metrics import Booleans, Floats, Integers

HEAD_SHARE = 0.8
N_BINS = 10


def novelties(top_BK: Integers, events_I: Floats) -> Floats:
    """Normalised self-information of each list."""
    total = events_I.sum() + len(events_I)
    information_I = -np.log2((events_I + 1) / total)
    return _mean_of_list(top_BK, information_I / max(np.log2(total), 1e-12))


def average_popularities(top_BK: Integers, events_I: Floats) -> Floats:
    """Mean events of a list's items beside the bestseller's."""
    return _mean_of_list(top_BK, events_I / max(events_I.max(initial=0.0), 1.0))


def tail_shares(top_BK: Integers, events_I: Floats) -> Floats:
    """Share of each list that lies outside the head."""
    return _mean_of_list(top_BK, tail(events_I).astype(np.float64))


def tail(events_I: Floats) -> Booleans:
    """Which items are not among the fewest that together have `HEAD_SHARE` of all events."""
    order = np.argsort(-events_I, kind="stable")
    before = np.cumsum(events_I[order]) - events_I[order]
    is_tail = np.ones(len(events_I), dtype=np.bool_)
    is_tail[order[before < HEAD_SHARE * events_I.sum()]] = False
    return is_tail


def diversities(top_BK: Integers, features_IF: sparse.csr_matrix) -> Floats:
    """Mean distance of a list's items to each other; 0 where no two items have features.

    Args:
        features_IF: 1 where an item has a feature (`item_features`).
    """
    size_I = np.asarray(features_IF.sum(axis=1)).ravel()
    values = np.zeros(len(top_BK))
    for user, items_K in enumerate(top_BK):
        known = items_K[size_I[items_K] > 0]
        if len(known) < 2:
            continue
        rows = features_IF[known]
        common = (rows @ rows.T).toarray()
        either = size_I[known][:, None] + size_I[known][None, :] - common
        pairs = np.triu_indices(len(known), 1)
        values[user] = 1 - np.mean(common[pairs] / either[pairs])
    return values


def item_features(categories: Sequence[str], brands: Sequence[str]) -> sparse.csr_matrix:
    """An item's category at every level ("Kitchen", "Kitchen > Kettles") and its brand."""
    number: dict[tuple[str, str], int] = {}
    rows, columns = [], []
    for item, (category, brand) in enumerate(zip(categories, brands, strict=True)):
        levels = [level.strip() for level in category.split(">") if level.strip()]
        features = [("category", " > ".join(levels[: n + 1])) for n in range(len(levels))]
        features += [("brand", brand.strip())] if brand.strip() else []
        for feature in features:
            rows.append(item)
            columns.append(number.setdefault(feature, len(number)))
    shape = (len(categories), max(len(number), 1))
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)


def gini(top_BK: Integers, sellable_I: Booleans) -> float:
    """How unevenly the lists' places are shared out over the sellable items."""
    counts = np.sort(np.bincount(top_BK.ravel(), minlength=len(sellable_I))[sellable_I])
    n, total = len(counts), counts.sum()
    if n < 2 or total == 0:
        return 0.0
    # Over n - 1, so that one item with every place is 1 and not 1 - 1 / n.
    return float(((2 * np.arange(1, n + 1) - n - 1) * counts).sum() / (total * (n - 1)))


def calibration_bins(probability_BK: Floats, hit_BK: Booleans) -> list[tuple[int, float, float]]:
    """(pairs, mean probability, hit rate) of every bin that is not empty, by rising probability."""
    probabilities, hits = probability_BK.ravel(), hit_BK.ravel()
    place = np.minimum((probabilities * N_BINS).astype(np.int64), N_BINS - 1)
    return [
        (int(inside.sum()), float(probabilities[inside].mean()), float(hits[inside].mean()))
        for inside in (place == n for n in range(N_BINS))
        if inside.any()
    ]


def calibration_error(probability_BK: Floats, hit_BK: Booleans) -> float:
    """Expected calibration error over the pairs of user and recommended item."""
    bins = calibration_bins(probability_BK, hit_BK)
    pairs = sum(n for n, _, _ in bins)
    return sum(n * abs(expected - found) for n, expected, found in bins) / pairs if pairs else 0.0


def _mean_of_list(top_BK: Integers, value_I: NDArray[np.floating]) -> Floats:
    if not top_BK.size:
        return np.zeros(len(top_BK))
    means: Floats = value_I[top_BK].mean(axis=1)
    return means
