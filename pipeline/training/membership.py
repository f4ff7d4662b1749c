"""Whether the model gives away which sentences it was trained on.

Two measures, taken after training, on the text rows:

- membership inference by loss (Yeom et al. 2018, "Privacy risk in machine learning"): a sentence
  that was learned has a lower loss than one that was held out. `auc` is the probability that a
  learned sentence has the lower loss of the two: 0.5 says nothing, 1 tells every one. Its interval
  is that of Hanley and McNeil (1982).
- exposure (Carlini et al. 2019, "The secret sharer"): made-up sentences, the canaries, are learned
  beside the reviews (`training.canaries`). A canary's exposure is log2(R) - log2(its rank by loss
  among R made-up sentences that nobody learned), in bits: about 1 for one that the model does not
  know, log2(R) = 10 for one that it knows by heart.

A held-out sentence whose words were also learned, of a copied review for example, is not compared.
Nothing is written here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import GPT2LMHeadModel

from pipeline.model.vocabulary import Vocabulary
from pipeline.training.loop.target_loss import text_losses
from pipeline.training.rows.batches import bucketed, make_batch
from pipeline.training.rows.training_rows import TrainingRow

# Of each kind, so that GPT-2 small takes seconds.
MOST_ROWS = 300
REFERENCES = 1024
_Z = 1.96  # 95 %


@dataclass(frozen=True)
class Membership:
    """What can be told of the learned sentences; see the module."""

    learned: int
    unseen: int
    auc: float
    low: float
    high: float
    canaries: int = 0
    exposure_bits: float | None = None  # the mean of the canaries

    def __str__(self) -> str:
        said = f"AUC {self.auc:.3f} [{self.low:.3f}, {self.high:.3f}]; 0.5 tells nothing"
        if self.exposure_bits is None:
            return said
        most = math.log2(REFERENCES)
        return f"{said}; {self.canaries} canaries, {self.exposure_bits:.1f} of {most:.0f} bits"


def measure_membership(
    model: GPT2LMHeadModel,
    vocabulary: Vocabulary,
    learned: Sequence[TrainingRow],
    held_out: Sequence[TrainingRow],
    canaries: Sequence[TrainingRow],
    *,
    batch_tokens: int,
    seed: int,
) -> Membership | None:
    """Compare losses of rows; none where there is nothing to compare.

    Args:
        learned: text rows that were trained on, without the canaries.
        held_out: text rows that were not.
        canaries: what `canary_rows` made of the same rows and seed; trained on.
    """
    known = {tuple(row.targets) for row in learned}
    unseen = [row for row in held_out if tuple(row.targets) not in known]
    if not learned or not unseen:
        return None
    draw = np.random.default_rng([seed, 3])
    some = [_some(rows, draw) for rows in (learned, unseen)]
    losses = [row_losses(model, vocabulary, rows, batch_tokens) for rows in some]
    auc = auc_of_lower(*losses)
    error = _hanley_mcneil(auc, len(losses[0]), len(losses[1]))
    tokens = _tokens_of(learned)
    exposures = []
    for canary in canaries:
        others = [_made_up(canary, tokens, draw) for _ in range(REFERENCES - 1)]
        exposures.append(_exposure(row_losses(model, vocabulary, [canary, *others], batch_tokens)))
    return Membership(
        learned=len(losses[0]),
        unseen=len(losses[1]),
        auc=round(auc, 4),
        low=round(max(0.0, auc - _Z * error), 4),
        high=round(min(1.0, auc + _Z * error), 4),
        canaries=len(canaries),
        exposure_bits=round(float(np.mean(exposures)), 2) if exposures else None,
    )


def canary_rows(learned: Sequence[TrainingRow], n: int, seed: int) -> list[TrainingRow]:
    """Made-up sentences of words that were learned, in no order, behind prompts of the night."""
    if not learned or n <= 0:
        return []
    draw = np.random.default_rng([seed, 4])
    tokens = _tokens_of(learned)
    return [_made_up(learned[int(draw.integers(len(learned)))], tokens, draw) for _ in range(n)]


@torch.inference_mode()
def row_losses(
    model: GPT2LMHeadModel,
    vocabulary: Vocabulary,
    rows: Sequence[TrainingRow],
    batch_tokens: int,
) -> np.ndarray:
    """Mean loss per token of each text row, in the order of the rows; float64."""
    model.eval()
    place = {id(row): n for n, row in enumerate(rows)}
    found = np.zeros(len(rows))
    for batch_rows in bucketed(rows, batch_tokens, np.random.default_rng(0)):
        batch = make_batch(batch_rows, vocabulary.control["pad"])
        batch = batch.to(model.transformer.wte.weight.device)
        loss_N = text_losses(model, vocabulary, batch).double().cpu().numpy()
        row_N = batch.row_N.cpu().numpy()
        sums, counts = np.bincount(row_N, loss_N), np.bincount(row_N)
        for n, row in enumerate(batch_rows):
            found[place[id(row)]] = sums[n] / counts[n]
    return found


def auc_of_lower(first: np.ndarray, second: np.ndarray) -> float:
    """The probability that one of the first is lower than one of the second; ties count half."""
    ordered = np.sort(second)
    below = np.searchsorted(ordered, first, side="left")
    upto = np.searchsorted(ordered, first, side="right")
    return float(np.mean(len(second) - (below + upto) / 2) / len(second))


def _hanley_mcneil(auc: float, n_first: int, n_second: int) -> float:
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (n_first - 1) * (q1 - auc**2) + (n_second - 1) * (q2 - auc**2)
    return math.sqrt(max(0.0, spread) / (n_first * n_second))


def _exposure(losses: np.ndarray) -> float:
    """Of the first, which is the canary's, among the others; bits."""
    rank = 1 + int((losses[1:] < losses[0]).sum())
    return math.log2(len(losses)) - math.log2(rank)


def _made_up(row: TrainingRow, tokens: np.ndarray, draw: np.random.Generator) -> TrainingRow:
    """The row with other words: its last target, which ends it, stays."""
    words = draw.choice(tokens, len(row.targets) - 1).tolist()
    prompt = row.token_ids[: row.positions[0] + 1]
    return TrainingRow(
        token_ids=[*prompt, *words],
        type_ids=row.type_ids,
        positions=row.positions,
        targets=[*words, row.targets[-1]],
        is_text=True,
    )


def _tokens_of(rows: Sequence[TrainingRow]) -> np.ndarray:
    return np.unique([token for row in rows for token in row.targets[:-1]])


def _some(rows: Sequence[TrainingRow], draw: np.random.Generator) -> list[TrainingRow]:
    chosen = np.sort(draw.choice(len(rows), min(MOST_ROWS, len(rows)), replace=False))
    return [rows[n] for n in chosen]
