"""Counts of several kinds on one scale, with weights that were learned: the mixture of the prior.

For a user u and an item i, with the counts of `pipeline.model.transitions`:

    same       log(1 + x / 0.05)   x: the summed cosines of i with all items of u
    recent     log(1 + x / 0.05)   x: the same, an item counts 0.9 for each item since
    followed   log(1 + x / 0.1)    x: what follows u's newest items, in the default shape
    own        log(1 + how often u had i)
    own recent the sum over u's events with i of 0.9 ** (events since)

and item weights b(i), which say how popular i is, in all that is known, in the last 30 days and in
the last 7. Each feature is 0 where nothing was counted, so that the score of nearly all items is
b(i) alone:

    score(u, i) = b(i) + sum of w(f) f(u, i)      over same, recent, followed

An item of u's past (seen, or bought where it may come again) has other weights, over all five
features, and another b; both scores are log odds of "bought in the next week". How the weights are
learned: `pipeline.training.mixture_choice`. Only items and their order are read of a history, so
that a list stays as it is while nothing new is known of its user and the model is the same.

Pure but for `CountMixture.save` and `load_mixture`. Shapes: U users, I items, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy import sparse

from pipeline.intact import file_sha256
from pipeline.model.transitions import (
    Floats,
    Integers,
    Transitions,
    TransitionShape,
    own_strengths,
    weighed_histories,
)

MIXTURE_FILE = "mixture.safetensors"

Histories = Sequence[Sequence[int] | Integers]

SAME_SHAPE = TransitionShape(age_decay=1.0, together=True)
RECENT = replace(SAME_SHAPE, age_decay=0.9)
OWN_DECAY = 0.9
COUNT_FEATURES = ("same", "recent", "followed")
PAIR_FEATURES = (*COUNT_FEATURES, "own", "own recent")
# What a sum of cosines, and of strengths, is measured in.
_COSINE, _STRENGTH = 0.05, 0.1


@dataclass(frozen=True)
class Weights:
    """Of one kind of pairs: a weight a feature, and what an item has by itself."""

    weight_F: Floats
    item_I: Floats


@dataclass(frozen=True)
class CountMixture:
    """Two kinds of counts between the same items, and the weights.

    Args:
        same: in `SAME_SHAPE`.
        followed: in the default shape.
        new: of items that are not in the user's past, over `COUNT_FEATURES`.
        again: of items that are, over `PAIR_FEATURES`; None where nothing was learned of them, and
            they weigh as new ones do.
    """

    same: Transitions
    followed: Transitions
    new: Weights
    again: Weights | None = None

    def scores(self, histories: Histories) -> sparse.csr_matrix:
        """`scores_UI` beside `new.item_I`: sparse, and of each user independent of the others."""
        features = count_features(self.same, self.followed, histories)
        found = _weighed(features, self.new.weight_F)
        if self.again is None or not any(len(history) for history in histories):
            return found
        n_items = found.shape[1]
        features += own_features(histories, n_items)
        had_UI = features[len(COUNT_FEATURES)]
        row_P = np.repeat(np.arange(had_UI.shape[0]), np.diff(had_UI.indptr))
        item_P = had_UI.indices
        score_P = self.again.item_I[item_P] - self.new.item_I[item_P]
        for weight, feature_UI in zip(self.again.weight_F, features, strict=True):
            if weight:
                score_P = score_P + weight * np.asarray(feature_UI[row_P, item_P]).ravel()
        here = sparse.csr_matrix((np.ones(len(row_P)), (row_P, item_P)), shape=found.shape)
        again_UI = sparse.csr_matrix((score_P, (row_P, item_P)), shape=found.shape)
        return (found - found.multiply(here) + again_UI).tocsr()

    def save(self, directory: Path) -> dict[str, Any]:
        """Write `MIXTURE_FILE`, all but `same`; returns what `load_mixture` needs beside it."""
        counts = self.followed.counts_II
        arrays = {
            "data": counts.data.astype(np.float32),
            "indices": counts.indices.astype(np.int64),
            "indptr": counts.indptr.astype(np.int64),
            "new_items": self.new.item_I,
        }
        written: dict[str, Any] = {"new": _by_name(COUNT_FEATURES, self.new)}
        if self.again is not None:
            arrays["items_again"] = self.again.item_I
            written["again"] = _by_name(PAIR_FEATURES, self.again)
        save_file(arrays, directory / MIXTURE_FILE)
        return written | {"sha256": file_sha256(directory / MIXTURE_FILE)}


def load_mixture(
    directory: Path, written: dict[str, Any], same: Transitions, n_items: int
) -> CountMixture:
    """The mixture that `CountMixture.save` wrote.

    Raises:
        ValueError, KeyError, OSError: a file is missing, damaged, or of another model.
    """
    if file_sha256(directory / MIXTURE_FILE) != written["sha256"]:
        raise ValueError(f"{MIXTURE_FILE} is damaged")
    arrays = load_file(directory / MIXTURE_FILE)
    counts = sparse.csr_matrix(
        (arrays["data"].astype(np.float64), arrays["indices"], arrays["indptr"]),
        shape=(n_items, n_items),
    )
    if len(arrays["new_items"]) != n_items:
        raise ValueError(f"{MIXTURE_FILE} is of another number of items")
    new_F = np.array([written["new"][name] for name in COUNT_FEATURES])
    again = None
    if "again" in written:
        again_F = np.array([written["again"][name] for name in PAIR_FEATURES])
        again = Weights(again_F, arrays["items_again"])
    new = Weights(new_F, arrays["new_items"])
    return CountMixture(same, Transitions(counts), new, again)


def count_features(
    same: Transitions, followed: Transitions, histories: Histories
) -> list[sparse.csr_matrix]:
    """`COUNT_FEATURES`, each `feature_UI`."""
    n_items = same.counts_II.shape[0]
    cosines = [
        weighed_histories(histories, n_items, shape) @ same.strengths_II
        for shape in (SAME_SHAPE, RECENT)
    ]
    found = [_in_logarithms(cosine_UI, _COSINE) for cosine_UI in cosines]
    return [*found, _in_logarithms(followed.scores(histories), _STRENGTH)]


def _in_logarithms(sum_UI: sparse.csr_matrix, unit: float) -> sparse.csr_matrix:
    """log(1 + sum / unit), in place: a copy costs as much as the sum."""
    sum_UI.data /= unit
    np.log1p(sum_UI.data, out=sum_UI.data)
    return sum_UI


def own_features(histories: Histories, n_items: int) -> list[sparse.csr_matrix]:
    """The features of `PAIR_FEATURES` that are of the user's own past alone."""
    rows = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    newest = [np.asarray(history, dtype=np.int64)[::-1] for history in histories]
    item_E = np.concatenate(newest) if newest else np.zeros(0, np.int64)
    ages = [np.arange(len(row), dtype=np.float64) for row in newest]
    weight_E: NDArray[np.float64] = OWN_DECAY ** np.concatenate(ages or [np.zeros(0)])
    shape = (len(histories), n_items)
    recent_UI = sparse.csr_matrix((weight_E, (rows, item_E)), shape=shape)
    recent_UI.sum_duplicates()
    return [own_strengths(histories, n_items), recent_UI]


def _by_name(names: Sequence[str], weights: Weights) -> dict[str, float]:
    return dict(zip(names, weights.weight_F.tolist(), strict=True))


def _weighed(features: Sequence[sparse.csr_matrix], weight_F: Floats) -> sparse.csr_matrix:
    """The weighed sum of `COUNT_FEATURES`.

    The two of cosines come from sums over the same places, in one order: adding numbers is enough,
    and a sum of sparse tables would cost more than all the rest. Only where a past is so long that
    its oldest items weigh 0 (some 7,000) are there fewer places.
    """
    same_UI, recent_UI, followed_UI = features
    if same_UI.nnz != recent_UI.nnz:
        weighed = zip(weight_F, features, strict=True)
        return sum((float(w) * f for w, f in weighed), sparse.csr_matrix(same_UI.shape)).tocsr()
    data = weight_F[0] * same_UI.data + weight_F[1] * recent_UI.data
    cosines_UI = sparse.csr_matrix((data, same_UI.indices, same_UI.indptr), shape=same_UI.shape)
    if not weight_F[2]:
        return cosines_UI
    return (cosines_UI + followed_UI * float(weight_F[2])).tocsr()
