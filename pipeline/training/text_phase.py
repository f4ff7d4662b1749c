"""Learning to write, before the epochs that ranking selects: text until it gets no better.

Validation ranking peaks after a few epochs, because items start from what they were met with;
words start from nothing and need many more. So text goes first and stops by its own measure: the
loss per token of a held-out share of the text rows, which are never trained on, in this phase or
the next. The weights of the best epoch are kept. Every epoch takes an `ITEM_SHARE` of the item
rows along: without them the network forgets how to rank (figures in docs/experiments/training.md).

Guarantees: the same rows, model and seed give the same weights on one machine's CPU with one
number of threads; the process's own random state is left as it was.
"""

from __future__ import annotations

import math
import operator
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import GPT2LMHeadModel

from pipeline.model.vocabulary import Vocabulary
from pipeline.settings import Training
from pipeline.training.loop.learning_rate import warm_up_then_cosine
from pipeline.training.loop.phases import Phase, RunContext, Trained, train_phase
from pipeline.training.loop.stepper import Stepper
from pipeline.training.loop.target_loss import target_loss
from pipeline.training.loop.weight_decay import parameter_groups
from pipeline.training.rows.batches import Step, bucketed, make_batch, steps_of
from pipeline.training.rows.training_rows import TrainingRow

NAME = "text"
SCORE_NAME = "held_out_loss"
# The share of the item rows that goes along with an epoch of text.
ITEM_SHARE = 1 / 3
# One text row in this many is held out.
HELD_OUT = 20
# Epochs without a gain after which the phase ends.
PATIENCE = 3


def split_text(rows: Sequence[TrainingRow]) -> tuple[list[TrainingRow], list[TrainingRow]]:
    """Text rows as (to train on, held out), by a checksum of the row: the same rows every night."""
    kept: list[TrainingRow] = []
    held: list[TrainingRow] = []
    for row in rows:
        if row.is_text:
            digest = zlib.crc32(np.asarray(row.token_ids, dtype="<i4").tobytes())
            (held if digest % HELD_OUT == 0 else kept).append(row)
    return kept, held


def fit_text(
    model: GPT2LMHeadModel,
    vocabulary: Vocabulary,
    trained_on: Sequence[TrainingRow],
    held_out: Sequence[TrainingRow],
    item_rows: Sequence[TrainingRow],
    *,
    settings: Training,
    seed: int,
    unmet_I: torch.Tensor | None = None,
    context: RunContext | None = None,
) -> Trained | None:
    """Train in place; the model ends in evaluation mode with its best epoch's weights.

    Without a row to train on or a row to measure by, nothing is done and nothing is returned.

    Args:
        unmet_I: as for `fit_ranking`.

    Raises:
        BrokenModelError: the loss or a gradient is not a finite number.
    """
    if not trained_on or not held_out or not settings.text_epochs:
        return None
    context = context or RunContext()
    order = np.random.default_rng([seed, 2])
    plan = [
        steps_of(_mixed(trained_on, some, settings, order), settings.accumulate)
        for some in _item_parts(item_rows, settings.text_epochs, order)
    ]
    measured = bucketed(held_out, settings.batch_tokens, order)

    def loss_of(some: Sequence[TrainingRow]) -> torch.Tensor:
        batch = make_batch(some, vocabulary.control["pad"]).to(model.transformer.wte.weight.device)
        return target_loss(model, vocabulary, batch, unmet_I=unmet_I)

    phase = Phase(
        plan=plan,
        loss=loss_of,
        measure=lambda: text_loss(model, vocabulary, measured),
        score_name=SCORE_NAME,
        is_better=operator.lt,
        patience=PATIENCE,
        counts=_is_text,
    )
    optimizer = torch.optim.AdamW(
        parameter_groups(model.parameters(), settings.weight_decay), lr=settings.learning_rate
    )
    stepper = Stepper(
        list(model.parameters()),
        optimizer,
        warm_up_then_cosine(optimizer, settings.warmup_share, phase.n_steps),
        seed=seed,
        phase=NAME,
        group=context.group,
        tensorboard=context.tensorboard,
    )
    return train_phase(model, phase, stepper, context)


@torch.inference_mode()
def text_loss(
    model: GPT2LMHeadModel, vocabulary: Vocabulary, batches: Sequence[Sequence[TrainingRow]]
) -> float:
    """Mean loss per token over batches of text rows."""
    model.eval()
    total, n = 0.0, 0
    for rows in batches:
        batch = make_batch(rows, vocabulary.control["pad"])
        batch = batch.to(model.transformer.wte.weight.device)
        total += target_loss(model, vocabulary, batch).item() * len(batch.target_N)
        n += len(batch.target_N)
    return total / max(n, 1)


def _mixed(
    trained_on: Sequence[TrainingRow],
    items: Sequence[TrainingRow],
    settings: Training,
    order: np.random.Generator,
) -> list[list[TrainingRow]]:
    """An epoch's batches of text and of items, in their order."""
    batches = bucketed(trained_on, settings.batch_tokens, order)
    batches += bucketed(items, settings.batch_tokens, order)
    return [batches[place] for place in order.permutation(len(batches))]


def _is_text(step: Step) -> bool:
    """Whether a step's loss is one of text alone."""
    return all(rows[0].is_text for rows in step)


def _item_parts(
    rows: Sequence[TrainingRow], n_epochs: int, order: np.random.Generator
) -> Iterator[list[TrainingRow]]:
    """A part of the rows for each epoch; every row comes up once before any comes up twice."""
    size = math.ceil(len(rows) * ITEM_SHARE)
    queue: list[int] = []
    for _ in range(n_epochs):
        if len(queue) < size:
            queue += order.permutation(len(rows)).tolist()
        part, queue = queue[:size], queue[size:]
        yield [rows[n] for n in part]
