"""Learning to write, before the epochs that ranking selects: text until it gets no better.

Validation ranking peaks after a few epochs, because items start from what they were met with;
words start from nothing and need many more. So text goes first and stops by its own measure: the
loss per token of a held-out share of the text rows, which are never trained on, in this phase or
the next. The weights of the best epoch are kept. Every epoch takes an `ITEM_SHARE` of the item
rows along: without them the network forgets how to rank (figures in docs/experiments.md).

Guarantees: the same rows, model and seed give the same weights on one machine's CPU with one
number of threads; the process's own random state is left as it was.
"""

from __future__ import annotations

import copy
import logging
import math
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from transformers import GPT2LMHeadModel, get_cosine_schedule_with_warmup

from pipeline.model.vocabulary import Vocabulary
from pipeline.settings import Training
from pipeline.training.bookmark import Standing
from pipeline.training.epoch import Conditions, Group, train_epoch
from pipeline.training.fit import bucketed, make_batch, parameter_groups, target_loss
from pipeline.training.stepper import Stepper, grouped
from pipeline.training.training_rows import TrainingRow

log = logging.getLogger("nightcart")

# The share of the item rows that goes along with an epoch of text.
ITEM_SHARE = 1 / 3
# One text row in this many is held out.
HELD_OUT = 20
# Epochs without a gain after which the phase ends.
PATIENCE = 3


@dataclass(frozen=True)
class TextLog:
    """One epoch: mean loss per token, of what was trained on and of what was held out."""

    epoch: int
    train_loss: float
    held_out_loss: float
    seconds: float


@dataclass(frozen=True)
class TextFitted:
    """How the phase went. Epoch 0 is what it started from."""

    epochs: list[TextLog]
    best_epoch: int
    held_out_loss: float | None


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
    conditions: Conditions | None = None,
) -> TextFitted:
    """Train in place; the model ends in evaluation mode with its best epoch's weights.

    Without a row to train on or a row to measure by, nothing is done.

    Args:
        unmet_I: as for `fit`.

    Raises:
        BrokenModelError: the loss or a gradient is not a finite number.
    """
    if not trained_on or not held_out or not settings.text_epochs:
        return TextFitted([], 0, None)
    conditions = conditions or Conditions()
    team, bookmarks = conditions.team, conditions.bookmarks
    order = np.random.default_rng([seed, 2])
    plan = [
        grouped(_mixed(trained_on, some, settings, order), settings.accumulate)
        for some in _item_parts(item_rows, settings.text_epochs, order)
    ]
    measured = bucketed(held_out, settings.batch_tokens, order)
    n_steps = sum(map(len, plan))
    optimizer = torch.optim.AdamW(
        parameter_groups(model.parameters(), settings.weight_decay), lr=settings.learning_rate
    )
    schedule = get_cosine_schedule_with_warmup(
        optimizer, max(1, round(settings.warmup_share * n_steps)), n_steps
    )
    stepper = Stepper(
        list(model.parameters()),
        optimizer,
        schedule,
        seed=seed,
        phase="text",
        team=team,
        curves=conditions.curves,
    )

    def held_out_loss() -> float:
        return team.first_s(lambda: text_loss(model, vocabulary, measured))

    def loss_of(some: Sequence[TrainingRow]) -> torch.Tensor:
        batch = make_batch(some, vocabulary.control["pad"]).to(model.transformer.wte.weight.device)
        return target_loss(model, vocabulary, batch, unmet_I=unmet_I)

    standing = Standing(best=math.inf, best_state=copy.deepcopy(model.state_dict()))
    if not bookmarks.restore(standing, stepper):
        standing.best = held_out_loss()
        log.info(
            "before training: %.3f per token of %d held-out texts", standing.best, len(held_out)
        )
    with torch.random.fork_rng(devices=[]):
        for groups in plan[standing.epoch - 1 :]:
            if standing.done:
                break
            started, epoch = time.monotonic(), standing.epoch
            model.train()
            train_loss = train_epoch(stepper, standing, groups, loss_of, bookmarks, counts=_is_text)
            loss = held_out_loss()
            seconds = round(time.monotonic() - started, 2)
            standing.lines.append(asdict(TextLog(epoch, train_loss, loss, seconds)))
            conditions.point("text/held_out_loss", loss, stepper.n_steps)
            log.info(
                "text epoch %d/%d: loss %.3f, held-out %.3f, %.1f s",
                *(epoch, settings.text_epochs, train_loss, loss, seconds),
            )
            standing.next_epoch()
            if loss < standing.best:
                standing.best, standing.best_epoch = loss, epoch
                standing.best_state = copy.deepcopy(model.state_dict())
            elif epoch - standing.best_epoch >= PATIENCE:
                standing.done = True
        standing.done = True
        bookmarks.keep(standing, stepper, now=True)
    model.load_state_dict(standing.best_state)
    model.eval()
    lines = [TextLog(**line) for line in standing.lines]
    return TextFitted(lines, standing.best_epoch, standing.best)


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


def _is_text(group: Group) -> bool:
    """Whether a step's loss is one of text alone."""
    return all(rows[0].is_text for rows in group)


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
