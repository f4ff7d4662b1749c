"""Learning to rank: all rows, until the validation ranking gets no better.

Each epoch takes all rows of histories and those of at most `catalogue_items` of the catalogue
(`pipeline.training.rows.catalogue_rows`), and as many text tokens as there are item tokens. Text
counts `text_weight` of an item. While training, items' rows are their own plus what their
descriptions say (`pipeline.training.items.item_descriptions`); what is validated and kept has the
sum. The validation half decides which epoch is kept; the test half is never looked at.

Shapes: I items, F features of descriptions, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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

NAME = "training"
SCORE_NAME = "validation_ndcg"
BETAS = (0.9, 0.98)  # the second as for other small transformers: rows are met rarely


def fit_ranking(
    model: GPT2LMHeadModel,
    vocabulary: Vocabulary,
    rows: Sequence[TrainingRow],
    validation_ndcg: Callable[[GPT2LMHeadModel], float] | None,
    *,
    settings: Training,
    seed: int,
    may_keep_start: bool = False,
    features_IF: sparse.csr_matrix | None = None,
    unmet_I: torch.Tensor | None = None,
    kind_I: Kinds | None = None,
    context: RunContext | None = None,
) -> Trained:
    """Train in place; the model ends in evaluation mode with its best epoch's weights.

    Args:
        rows: all kinds together.
        validation_ndcg: ranks the validation half with the model as it stands. Without one
            (nobody in that half) every epoch is run and the last is kept.
        may_keep_start: whether a start that every epoch makes worse may come out again: yes for
            a champion, no for a model that has yet to learn to write.
        features_IF: what descriptions say of the vocabulary's items; none are used without.
        unmet_I: new items of the vocabulary that nobody can have met (`item_softmax`); none
            without.
        kind_I: of the vocabulary's items, for which come first where an epoch takes a part; all
            are alike without.
        context: with which processes, and where progress is stored; alone and nowhere without.

    Raises:
        BrokenModelError: the loss or a gradient is not a finite number.
    """
    if features_IF is None:
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
    context = context or RunContext()

    def measure() -> float:
        return validation_ndcg(model.eval()) if validation_ndcg else 0.0

    def loss_of(some: Sequence[TrainingRow]) -> torch.Tensor:
        batch = make_batch(some, vocabulary.control["pad"]).to(described.vectors_FD.device)
        weight = settings.text_weight if batch.is_text else 1.0
        return weight * target_loss(
            model,
            vocabulary,
            batch,
            described,
            touched=touched,
            sampled_items=settings.sampled_items,
            later_weight=settings.later_weight,
            unmet_I=unmet_I,
        )

    phase = Phase(
        plan=_plan(rows, kind_I, settings, np.random.default_rng([seed, 1])),
        loss=loss_of,
        measure=measure,
        score_name=SCORE_NAME,
        is_better=lambda new, best: new > best or validation_ndcg is None,
        patience=settings.patience,
        worst=None if may_keep_start else -1.0,
        as_served=touched.folded if touched else described.folded,
    )
    learned = [*model.parameters(), described.vectors_FD]
    tables = touched.tables if touched else []
    optimizer = torch.optim.AdamW(
        parameter_groups(learned, settings.weight_decay, apart=tables),
        lr=settings.learning_rate,
        betas=BETAS,
        fused=True,
    )
    stepper = Stepper(
        learned,
        optimizer,
        warm_up_then_cosine(optimizer, settings.warmup_share, phase.n_steps),
        seed=seed,
        phase=NAME,
        tables=tables,
        group=context.group,
        tensorboard=context.tensorboard,
    )
    return train_phase(model, phase, stepper, context)


def _plan(
    rows: Sequence[TrainingRow],
    kind_I: Kinds | None,
    settings: Training,
    order: np.random.Generator,
) -> list[list[Step]]:
    """The steps of every epoch, in their order."""
    return [
        steps_of(
            _epoch_batches(
                [row for row in some if not row.is_text],
                [row for row in some if row.is_text],
                settings.batch_tokens,
                order,
            ),
            settings.accumulate,
        )
        for some in epochs_of_rows(
            rows, kind_I, settings.catalogue_items, settings.max_epochs, order
        )
    ]


def _epoch_batches(
    item_rows: Sequence[TrainingRow],
    text_rows: Sequence[TrainingRow],
    batch_tokens: int,
    order: np.random.Generator,
) -> list[list[TrainingRow]]:
    """All item rows, and text rows up to as many tokens as those have."""
    budget = sum(len(row) for row in item_rows)
    chosen = []
    for n in order.permutation(len(text_rows)):
        if budget <= 0:
            break
        chosen.append(text_rows[n])
        budget -= len(text_rows[n])
    batches = bucketed(item_rows, batch_tokens, order) + bucketed(chosen, batch_tokens, order)
    return [batches[n] for n in order.permutation(len(batches))]
