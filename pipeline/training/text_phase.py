"""Learning to write, before the epochs that ranking selects: text until it gets no better.

Validation ranking peaks after a few epochs, because items start from what they were met with;
words start from nothing and need many more. So text goes first and stops by its own measure: the
loss per token of a held-out share of the text rows, which are never trained on, in this phase or
the next. The weights of the best epoch are kept. Every epoch takes an `ITEM_SHARE` of the item
rows along: without them the network forgets how to rank (figures in docs/experiments/training.md).
Of a large catalogue an epoch has the titles of a part (`pipeline.training.rows.catalogue_rows`).

Guarantees: the same rows, model and seed give the same weights on one machine's CPU with one
number of threads; the process's own random state is left as it was.
"""

from __future__ import annotations

import math
import operator
import zlib
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import numpy as np
import torch
from scipy import sparse
from transformers import GPT2LMHeadModel

from pipeline.model.vocabulary import Vocabulary
from pipeline.settings import Training
from pipeline.training.items.item_descriptions import DescribedTable
from pipeline.training.items.touched_rows import touched_rows
from pipeline.training.loop.learning_rate import warm_up_then_cosine
from pipeline.training.loop.phases import Phase, RunContext, Trained, train_phase
from pipeline.training.loop.stepper import Stepper
from pipeline.training.loop.target_loss import target_loss
from pipeline.training.loop.weight_decay import parameter_groups
from pipeline.training.rows.batches import Step, bucketed, make_batch, steps_of
from pipeline.training.rows.catalogue_rows import Kinds, epochs_of_rows
from pipeline.training.rows.training_rows import TrainingRow

NAME = "text"
SCORE_NAME = "held_out_loss"
# The share of the item rows that goes along with an epoch of text.
ITEM_SHARE = 1 / 3
# One text row in this many is held out.
HELD_OUT = 20
# Epochs without a gain after which the phase ends.
PATIENCE = 3
BETAS = (0.9, 0.999)


def split_text(
    rows: Sequence[TrainingRow], most_items: int = 0
) -> tuple[list[TrainingRow], list[TrainingRow]]:
    """Text rows as (to train on, held out), by a checksum of the row: the same rows every night.

    Args:
        most_items: as of `epochs_of_rows`; at most its share of rows about items is held out, of
            more those of the least checksums, so that measuring does not grow with the catalogue.
            0: no bound.
    """
    texts = [row for row in rows if row.is_text]
    digests = [zlib.crc32(np.asarray(row.token_ids, dtype="<i4").tobytes()) for row in texts]
    chosen = {place for place, digest in enumerate(digests) if digest % HELD_OUT == 0}
    if most_items:
        about = [place for place in chosen if texts[place].about is not None]
        about.sort(key=lambda place: (digests[place], place))
        chosen.difference_update(about[max(1, most_items // HELD_OUT) :])
    kept = [row for place, row in enumerate(texts) if place not in chosen]
    held = [row for place, row in enumerate(texts) if place in chosen]
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
    kind_I: Kinds | None = None,
    context: RunContext | None = None,
) -> Trained | None:
    """Train in place; the model ends in evaluation mode with its best epoch's weights.

    Without a row to train on or a row to measure by, nothing is done and nothing is returned.

    Args:
        unmet_I: as for `fit_ranking`; so is `kind_I`.

    Raises:
        BrokenModelError: the loss or a gradient is not a finite number.
    """
    if not trained_on or not held_out or not settings.text_epochs:
        return None
    context = context or RunContext()
    order = np.random.default_rng([seed, 2])
    n_epochs, most = settings.text_epochs, settings.catalogue_items
    texts = epochs_of_rows(trained_on, kind_I, most, n_epochs, order)
    plan = [
        steps_of(_mixed(some_texts, some_items, settings, order), settings.accumulate)
        for some_texts, some_items in zip(
            texts,
            _item_parts(item_rows, kind_I, most, n_epochs, order),
            strict=True,
        )
    ]
    features_IF = sparse.csr_matrix((len(vocabulary.item_ids), 0))
    described = DescribedTable(model, vocabulary, features_IF)
    touched = touched_rows(
        described,
        features_IF,
        len(vocabulary.item_ids),
        settings.sampled_items,
        betas=BETAS,
        weight_decay=settings.weight_decay,
    )
    tables = touched.tables if touched else []
    measured = bucketed(held_out, settings.batch_tokens, order)

    def loss_of(some: Sequence[TrainingRow]) -> torch.Tensor:
        batch = make_batch(some, vocabulary.control["pad"]).to(model.transformer.wte.weight.device)
        return target_loss(
            model,
            vocabulary,
            batch,
            touched=touched,
            sampled_items=settings.sampled_items if touched else 0,
            unmet_I=unmet_I,
        )

    phase = Phase(
        plan=plan,
        loss=loss_of,
        measure=lambda: text_loss(model, vocabulary, measured),
        score_name=SCORE_NAME,
        is_better=operator.lt,
        patience=PATIENCE,
        counts=_is_text,
        as_served=touched.folded if touched else nullcontext,
    )
    optimizer = torch.optim.AdamW(
        parameter_groups(model.parameters(), settings.weight_decay, apart=tables),
        lr=settings.learning_rate,
        betas=BETAS,
    )
    stepper = Stepper(
        [*model.parameters(), described.vectors_FD] if touched else list(model.parameters()),
        optimizer,
        warm_up_then_cosine(optimizer, settings.warmup_share, phase.n_steps),
        seed=seed,
        phase=NAME,
        tables=tables,
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
    rows: Sequence[TrainingRow],
    kind_I: Kinds | None,
    most_items: int,
    n_epochs: int,
    order: np.random.Generator,
) -> Iterator[list[TrainingRow]]:
    """A part of the rows for each epoch; every row comes up once before any comes up twice.

    Of a large catalogue, as many of its rows as were a part of those of `most_items`.
    """
    size = math.ceil(most_items * ITEM_SHARE)
    if len({row.about for row in rows if row.about is not None}) > most_items > 0:
        words = [row for row in rows if row.about is not None]
        pasts = _parts([row for row in rows if row.about is None], n_epochs, order)
        some = epochs_of_rows(words, kind_I, size, n_epochs, order)
        for past, described in zip(pasts, some, strict=True):
            yield past + described
    else:
        yield from _parts(rows, n_epochs, order)


def _parts(
    rows: Sequence[TrainingRow], n_epochs: int, order: np.random.Generator
) -> Iterator[list[TrainingRow]]:
    size = math.ceil(len(rows) * ITEM_SHARE)
    queue: list[int] = []
    for _ in range(n_epochs):
        if len(queue) < size:
            queue += order.permutation(len(rows)).tolist()
        part, queue = queue[:size], queue[size:]
        yield [rows[n] for n in part]
