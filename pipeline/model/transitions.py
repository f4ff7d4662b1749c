"""Item-to-item transitions: counts of which items follow which, and a prior made of them.

A pair of different items counts 1 / sqrt(d) where the second stands d events after the first,
d up to a window (or another decay). A pair's strength is log(1 + count): the tenth time adds less
than the second. A user's score of an item is the sum of the strengths from all the user's events;
the newest counts 1, the one before it `age_decay`, and so on (the counts of PCTM, RecSys 2026;
figures in docs/experiments/quality.md).

Where the lines of an order have no order, pairs are not counted by distance: a shape with
`together` counts the users who have both items, and a pair's strength is the cosine,
count / sqrt(users of one * users of the other). With an `age_decay` of 1 that is item-kNN (Sarwar
et al., WWW 2001).

`Prior` adds such scores, times a weight chosen on validation, to a model's log-probabilities; and
where items may come again log(1 + own count), times another weight. It is saved beside the model in
files that plain transformers does not read. Weights of 0 add nothing.

Pure but for `Prior.save` and `load_prior`. Only numpy and scipy.

Shapes: U users, I items (numbers from 0), P pairs of items that were counted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy import sparse

from pipeline.errors import InputError
from pipeline.intact import file_sha256

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

PRIOR_FILE = "prior.json"
TRANSITIONS_FILE = "transitions.safetensors"
# A history is scored by its newest events: 0.6^20 is less than 1 in 10,000.
NEWEST_EVENTS = 20


@dataclass(frozen=True)
class TransitionShape:
    """How pairs are counted and a history is weighed.

    `distance_decay` 0 is 1 / sqrt(d); anything else is `distance_decay ** (d - 1)`. `together` has
    no distances: `window` and `distance_decay` are not looked at.
    """

    window: int = 10
    distance_decay: float = 0.0
    age_decay: float = 0.6
    together: bool = False

    def distance_weights(self) -> Floats:
        """The weight of a pair at distances 1 to `window`.

        Raises:
            ValueError: the shape counts pairs at any distance.
        """
        if self.together:
            raise ValueError("a shape that counts together has no distances")
        distance = np.arange(1, self.window + 1, dtype=np.float64)
        if self.distance_decay == 0:
            return distance**-0.5
        weights: Floats = self.distance_decay ** (distance - 1)
        return weights


def transition_counts(
    histories: Sequence[Sequence[int] | Integers], n_items: int, shape: TransitionShape
) -> sparse.csr_matrix:
    """`counts_II[a, b]`: how often b came within the window after a, by distance.

    With `together`: how many users have both, and on the diagonal how many have the item.

    Args:
        histories: item numbers per user, oldest first, held-out events left out.
    """
    if shape.together:
        return _users_of_both(histories, n_items)
    before, after, weights = [], [], []
    rows = [np.asarray(history, dtype=np.int64) for history in histories]
    for distance, weight in enumerate(shape.distance_weights(), start=1):
        long_enough = [row for row in rows if len(row) > distance]
        before += [row[:-distance] for row in long_enough]
        after += [row[distance:] for row in long_enough]
        n_pairs = sum(len(row) - distance for row in long_enough)
        weights.append(np.full(n_pairs, weight))
    first = np.concatenate(before) if before else np.zeros(0, np.int64)
    second = np.concatenate(after) if after else np.zeros(0, np.int64)
    value = np.concatenate(weights) if weights else np.zeros(0)
    other = first != second
    counts = sparse.csr_matrix(
        (value[other], (first[other], second[other])), shape=(n_items, n_items)
    )
    counts.sum_duplicates()
    return counts


def _users_of_both(
    histories: Sequence[Sequence[int] | Integers], n_items: int
) -> sparse.csr_matrix:
    items = [np.unique(np.asarray(history, dtype=np.int64)) for history in histories]
    columns = np.concatenate(items) if items else np.zeros(0, np.int64)
    users = np.repeat(np.arange(len(items)), [len(row) for row in items])
    has_UI = sparse.csr_matrix(
        (np.ones(len(columns)), (users, columns)), shape=(len(items), n_items)
    )
    return (has_UI.T @ has_UI).tocsr()


@dataclass(frozen=True)
class Transitions:
    """Counts with the shape they were made in."""

    counts_II: sparse.csr_matrix
    shape: TransitionShape = field(default_factory=TransitionShape)

    def scores(self, histories: Sequence[Sequence[int] | Integers]) -> sparse.csr_matrix:
        """`scores_UI`: the sparse scores of each history; no row's scores depend on another's."""
        weighed_UI = weighed_histories(histories, self.counts_II.shape[0], self.shape)
        return (weighed_UI @ self.strengths_II).tocsr()

    @cached_property
    def strengths_II(self) -> sparse.csr_matrix:
        """The strength of each pair of items: log(1 + count); with `together`, the cosine.

        With `together` an item is strongest for itself: where it may come again, it often does.
        """
        counts_II = self.counts_II
        if self.shape.together:
            by_length_I = 1.0 / np.sqrt(np.maximum(counts_II.diagonal(), 1.0))
            strength_P = counts_II.data * np.repeat(by_length_I, np.diff(counts_II.indptr))
            strength_P *= by_length_I[counts_II.indices]
        else:
            strength_P = np.log1p(counts_II.data)
        # The index arrays of the counts, not a copy of them.
        strengths = (strength_P, counts_II.indices, counts_II.indptr)
        return sparse.csr_matrix(strengths, shape=counts_II.shape)


def fit_transitions(
    histories: Sequence[Sequence[int] | Integers],
    n_items: int,
    shape: TransitionShape | None = None,
) -> Transitions:
    """Count transitions, in the default shape or another."""
    shape = shape or TransitionShape()
    return Transitions(transition_counts(histories, n_items, shape), shape)


def weighed_histories(
    histories: Sequence[Sequence[int] | Integers], n_items: int, shape: TransitionShape
) -> sparse.csr_matrix:
    """`weights_UI`: each user's items, the newest 1, older ones decaying; repetitions add up.

    With `together` every event counts, and an item once, as its newest event.
    """
    newest = [np.asarray(history, dtype=np.int64)[::-1] for history in histories]
    if shape.together:
        newest = [row[np.sort(np.unique(row, return_index=True)[1])] for row in newest]
    else:
        newest = [row[:NEWEST_EVENTS] for row in newest]
    columns = np.concatenate(newest) if newest else np.zeros(0, np.int64)
    ages = [np.arange(len(row), dtype=np.float64) for row in newest]
    weights = shape.age_decay ** np.concatenate(ages or [np.zeros(0)])
    rows = np.repeat(np.arange(len(newest)), [len(row) for row in newest])
    weighed_UI = sparse.csr_matrix((weights, (rows, columns)), shape=(len(newest), n_items))
    weighed_UI.eliminate_zeros()  # with a decay of 0 only the newest event counts
    return weighed_UI


def own_strengths(histories: Sequence[Sequence[int] | Integers], n_items: int) -> sparse.csr_matrix:
    """`strength_UI`: log(1 + how often the item is in the user's own history)."""
    rows = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    items = [np.asarray(history, dtype=np.int64) for history in histories]
    columns = np.concatenate(items) if items else np.zeros(0, np.int64)
    counts_UI = sparse.csr_matrix(
        (np.ones(len(columns)), (rows, columns)), shape=(len(histories), n_items)
    )
    counts_UI.sum_duplicates()
    return counts_UI.log1p()


@dataclass(frozen=True)
class Prior:
    """Transitions between a vocabulary's items, and their weight beside its model.

    `own_weight` is that of what the user had before (`own_strengths`), 0 where no list may repeat
    an item.
    """

    transitions: Transitions
    weight: float
    own_weight: float = 0.0

    @property
    def adds_nothing(self) -> bool:
        """Whether every score is 0."""
        return self.weight == 0 and self.own_weight == 0

    def scores(self, histories: Sequence[Sequence[int] | Integers]) -> sparse.csr_matrix:
        """`scores_UI`, which are added to each user's log-probabilities; sparse, never negative.

        Args:
            histories: numbers of the vocabulary's items, oldest first; other items left out.
        """
        n_items = self.transitions.counts_II.shape[0]
        found = sparse.csr_matrix((len(histories), n_items), dtype=np.float64)
        if self.weight:
            found = self.transitions.scores(histories) * self.weight
        if self.own_weight:
            found = found + own_strengths(histories, n_items) * self.own_weight
        return found.tocsr()

    def save(self, directory: Path) -> None:
        """Write `prior.json` and `transitions.safetensors`; the caller commits the directory."""
        counts = self.transitions.counts_II
        arrays = {
            "data": counts.data.astype(np.float32),
            "indices": counts.indices.astype(np.int64),
            "indptr": counts.indptr.astype(np.int64),
        }
        save_file(arrays, directory / TRANSITIONS_FILE)
        written = {
            "weight": self.weight,
            "own_weight": self.own_weight,
            "shape": asdict(self.transitions.shape),
            "n_items": counts.shape[0],
            "sha256": file_sha256(directory / TRANSITIONS_FILE),
        }
        text = json.dumps(written, indent=1) + "\n"
        (directory / PRIOR_FILE).write_text(text, encoding="utf-8")


def load_prior(directory: Path, n_items: int) -> Prior | None:
    """The prior beside a model of so many items; none where the model was saved without one.

    Raises:
        InputError: a file is missing, damaged, or of another model.
    """
    if not (directory / PRIOR_FILE).is_file():
        return None
    try:
        written = json.loads((directory / PRIOR_FILE).read_text(encoding="utf-8"))
        shape, weight = TransitionShape(**written["shape"]), float(written["weight"])
        own_weight = float(written.get("own_weight", 0.0))  # models of before have none
        if file_sha256(directory / TRANSITIONS_FILE) != written["sha256"]:
            raise ValueError(f"{TRANSITIONS_FILE} is damaged")
        if written["n_items"] != n_items:
            raise ValueError(f"it counts {written['n_items']:,} items, the vocabulary {n_items:,}")
        arrays = load_file(directory / TRANSITIONS_FILE)
    except Exception as error:  # safetensors raises its own kind for a bad file
        raise InputError(
            f"the prior in {directory} cannot be read ({PRIOR_FILE}, {TRANSITIONS_FILE}): {error}. "
            "Run fine_tune for this date again"
        ) from None
    counts = sparse.csr_matrix(
        (arrays["data"].astype(np.float64), arrays["indices"], arrays["indptr"]),
        shape=(n_items, n_items),
    )
    return Prior(Transitions(counts, shape), weight, own_weight)
