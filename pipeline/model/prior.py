"""What is added to a model's log-probabilities: counts, weighed by what validation says.

`Prior` adds the scores of transitions (`pipeline.model.transitions`), times a weight; and where
items may come again log(1 + own count), times another weight. Or, in their place, those of a
mixture of counts (`pipeline.model.count_mixture`), which also moves items that nothing of the user
speaks for. It is saved beside the model in files that plain transformers does not read. Weights of
0 add nothing.

Pure but for `Prior.save` and `load_prior`. Only numpy and scipy. Shapes: U users, I items.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy import sparse

from pipeline.errors import InputError
from pipeline.intact import file_sha256
from pipeline.model.count_mixture import MIXTURE_FILE, CountMixture, load_mixture
from pipeline.model.transitions import (
    Floats,
    Integers,
    Transitions,
    TransitionShape,
    own_strengths,
)

PRIOR_FILE = "prior.json"
TRANSITIONS_FILE = "transitions.safetensors"


@dataclass(frozen=True)
class Prior:
    """Transitions between a vocabulary's items, and their weight beside its model.

    `own_weight` is that of what the user had before (`own_strengths`), 0 where no list may repeat
    an item. Where there is a mixture, `transitions` are its `same`, and it has the weight alone.
    """

    transitions: Transitions
    weight: float
    own_weight: float = 0.0
    mixture: CountMixture | None = None

    @property
    def adds_nothing(self) -> bool:
        """Whether every score is 0."""
        return self.weight == 0 and self.own_weight == 0

    @property
    def bias_I(self) -> Floats | None:
        """What is added to everybody's log-probabilities of each item; none without a mixture."""
        return None if self.mixture is None else self.mixture.new.item_I * self.weight

    def scores(self, histories: Sequence[Sequence[int] | Integers]) -> sparse.csr_matrix:
        """`scores_UI`, which are added to each user's log-probabilities beside `bias_I`; sparse.

        Args:
            histories: numbers of the vocabulary's items, oldest first; other items left out.
        """
        if self.mixture is not None:
            mixed = self.mixture.scores(histories)
            mixed.data *= self.weight  # in place: it is as large as what it took to make it
            return mixed
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
            **({"mixture": self.mixture.save(directory)} if self.mixture else {}),
        }
        text = json.dumps(written, indent=1) + "\n"
        (directory / PRIOR_FILE).write_text(text, encoding="utf-8")


def mixed_prior(mixture: CountMixture, weight: float) -> Prior:
    """The prior that is this mixture, times a weight."""
    return Prior(mixture.same, weight, mixture=mixture)


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
        counts = sparse.csr_matrix(
            (arrays["data"].astype(np.float64), arrays["indices"], arrays["indptr"]),
            shape=(n_items, n_items),
        )
        transitions = Transitions(counts, shape)
        of_mixture = written.get("mixture")
        mixture = of_mixture and load_mixture(directory, of_mixture, transitions, n_items)
    except Exception as error:  # safetensors raises its own kind for a bad file
        files = f"{PRIOR_FILE}, {TRANSITIONS_FILE}, {MIXTURE_FILE} where there is one"
        raise InputError(
            f"the prior in {directory} cannot be read ({files}): {error}. "
            "Run fine_tune for this date again"
        ) from None
    return Prior(transitions, weight, own_weight, mixture)
