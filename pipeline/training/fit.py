"""The training loop: epochs over length-bucketed batches, the best epoch's weights kept.

Guarantees: on one machine's CPU with one number of threads, the same rows, model and seed give the
same weights bit for bit; the process's own random state is left as it was. Validation ranking
decides when to stop and which epoch is kept; the test half is never looked at.

Loss: at the asked positions only. Their hidden states are gathered first and projected on item
tokens, or on text tokens and `end`, so that the logits of a whole batch are never made. Text counts
`text_weight` of an item.

Shapes: B rows, T tokens, N asked positions, D width, V candidates of a target kind.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import GPT2LMHeadModel, get_cosine_schedule_with_warmup

from pipeline.errors import BrokenModelError
from pipeline.model.next_item import padded
from pipeline.model.prompt import Prompt
from pipeline.model.vocabulary import Vocabulary
from pipeline.settings import Training
from pipeline.training.training_rows import TrainingRow

log = logging.getLogger("nightcart")

MAX_GRADIENT_NORM = 1.0
_SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True)
class EpochLog:
    """One line of `training_log.json`."""

    epoch: int
    train_loss: float
    validation_ndcg: float
    seconds: float


@dataclass(frozen=True)
class Fitted:
    """How training went. Epoch 0 is what it started from."""

    epochs: list[EpochLog]
    best_epoch: int
    best_ndcg: float


@dataclass(frozen=True)
class Batch:
    """Rows of one kind, padded on the right, and where they are asked for what."""

    tokens_BT: torch.Tensor
    types_BT: torch.Tensor
    row_N: torch.Tensor
    position_N: torch.Tensor
    target_N: torch.Tensor
    is_text: bool


@dataclass(frozen=True)
class _Steps:
    """What one optimiser step needs."""

    model: GPT2LMHeadModel
    vocabulary: Vocabulary
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    settings: Training


def fit(
    model: GPT2LMHeadModel,
    vocabulary: Vocabulary,
    rows: Sequence[TrainingRow],
    validation_ndcg: Callable[[GPT2LMHeadModel], float] | None,
    *,
    settings: Training,
    seed: int,
    may_keep_start: bool = False,
) -> Fitted:
    """Train in place; the model ends in evaluation mode with its best epoch's weights.

    Args:
        rows: all kinds together; each epoch takes all item rows and as many text tokens as there
            are item tokens, another part of them every epoch.
        validation_ndcg: ranks the validation half with the model as it stands. Without one
            (nobody in that half) every epoch is run and the last is kept.
        may_keep_start: whether a start that every epoch makes worse may come out again: yes for
            a champion, no for a model that has yet to learn to write.

    Raises:
        BrokenModelError: the loss is not a finite number.
    """
    plan = _plan(rows, settings, np.random.default_rng([seed, 1]))
    n_steps = sum(len(batches) for batches in plan)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, settings.weight_decay), lr=settings.learning_rate
    )
    warmup = max(1, round(settings.warmup_share * n_steps))
    schedule = get_cosine_schedule_with_warmup(optimizer, warmup, n_steps)
    steps = _Steps(model, vocabulary, optimizer, schedule, settings)
    start_ndcg = validation_ndcg(model.eval()) if validation_ndcg else 0.0
    log.info("before training: validation NDCG %.4f", start_ndcg)
    best_ndcg, best_epoch = (start_ndcg if may_keep_start else -1.0), 0
    best_state = copy.deepcopy(model.state_dict())
    lines: list[EpochLog] = []
    started = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for epoch, batches in enumerate(plan, start=1):
            epoch_started = time.monotonic()
            loss, n_targets = _train_epoch(steps, batches, epoch)
            rate = n_targets / max(time.monotonic() - epoch_started, 1e-9)
            ndcg = validation_ndcg(model.eval()) if validation_ndcg else 0.0
            lines.append(EpochLog(epoch, loss, ndcg, round(time.monotonic() - epoch_started, 2)))
            left = (time.monotonic() - started) / epoch * (settings.max_epochs - epoch)
            log.info(
                "epoch %d/%d: loss %.4f, validation NDCG %.4f, %s targets/s, at most %.0f s left",
                epoch,
                settings.max_epochs,
                loss,
                ndcg,
                f"{rate:,.0f}",
                left,
            )
            if ndcg > best_ndcg or validation_ndcg is None:
                best_ndcg, best_epoch = ndcg, epoch
                best_state = copy.deepcopy(model.state_dict())
            elif epoch - best_epoch >= settings.patience:
                log.info("no gain for %d epochs: stopping", settings.patience)
                break
    model.load_state_dict(best_state)
    model.eval()
    return Fitted(lines, best_epoch, max(best_ndcg, 0.0))


def _train_epoch(
    steps: _Steps, batches: Sequence[Sequence[TrainingRow]], epoch: int
) -> tuple[float, int]:
    """One pass; returns the mean weighted loss and how many targets were asked for."""
    model, settings = steps.model, steps.settings
    model.train()
    total, n_targets = 0.0, 0
    started = said = time.monotonic()
    for step, rows in enumerate(batches, start=1):
        batch = make_batch(rows, steps.vocabulary.control["pad"])
        weight = settings.text_weight if batch.is_text else 1.0
        loss = target_loss(model, steps.vocabulary, batch) * weight
        value = loss.item()
        if not math.isfinite(value):
            raise BrokenModelError(
                f"the training loss became {value} in epoch {epoch}, batch {step} of "
                f"{len(batches)}; lower training.learning_rate (now {settings.learning_rate}), or "
                "set training.warm_start to false if the champion's weights are at fault"
            )
        steps.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        clip_gradients(model, f"epoch {epoch}, batch {step} of {len(batches)}")
        steps.optimizer.step()
        steps.schedule.step()
        total += value * len(batch.target_N)
        n_targets += len(batch.target_N)
        now = time.monotonic()
        if now - said > _SECONDS_BETWEEN_LINES:
            said = now
            left = (now - started) / step * (len(batches) - step)
            log.info("epoch %d: batch %d/%d, %.0f s left of it", epoch, step, len(batches), left)
    return total / max(n_targets, 1), n_targets


def clip_gradients(model: GPT2LMHeadModel, where: str) -> None:
    """Scale all gradients down to `MAX_GRADIENT_NORM` together.

    Raises:
        BrokenModelError: they have no finite norm: a step would leave weights that are no numbers.
    """
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM))
    if not math.isfinite(norm):
        raise BrokenModelError(
            f"the gradients exploded in {where}: their norm became {norm}; lower "
            "training.learning_rate, or set training.warm_start to false if the champion's weights "
            "are at fault"
        )


def target_loss(model: GPT2LMHeadModel, vocabulary: Vocabulary, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy at the asked positions, over the tokens that could be right there."""
    hidden_BTD = model.transformer(
        input_ids=batch.tokens_BT, token_type_ids=batch.types_BT, use_cache=False
    ).last_hidden_state
    hidden_ND = hidden_BTD[batch.row_N, batch.position_N]
    low, high = (
        (0, vocabulary.control["end"] + 1)
        if batch.is_text
        else (vocabulary.first_item_token, vocabulary.size)
    )
    logits_NV = hidden_ND @ model.transformer.wte.weight[low:high].T
    return cross_entropy(logits_NV, batch.target_N - low)


def make_batch(rows: Sequence[TrainingRow], pad: int) -> Batch:
    """Rows of one kind as tensors."""
    tokens_BT, types_BT = padded([Prompt(row.token_ids, row.type_ids) for row in rows], pad)
    return Batch(
        tokens_BT,
        types_BT,
        torch.tensor([n for n, row in enumerate(rows) for _ in row.positions]),
        torch.tensor([position for row in rows for position in row.positions]),
        torch.tensor([target for row in rows for target in row.targets]),
        rows[0].is_text,
    )


def bucketed(
    rows: Sequence[TrainingRow], batch_tokens: int, order: np.random.Generator
) -> list[list[TrainingRow]]:
    """Every row once, in batches of nearly one length, rows of one length mixed by `order`.

    A batch holds at most `batch_tokens` with its padding; a longer row is alone.
    """
    noise = order.random(len(rows))
    by_length = sorted(range(len(rows)), key=lambda n: (len(rows[n]), noise[n]))
    batches: list[list[TrainingRow]] = []
    for n in by_length:
        row = rows[n]
        if batches and len(row) * (len(batches[-1]) + 1) <= batch_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def _plan(
    rows: Sequence[TrainingRow], settings: Training, order: np.random.Generator
) -> list[list[list[TrainingRow]]]:
    """The batches of every epoch, in their order."""
    item_rows = [row for row in rows if not row.is_text]
    text_rows = [row for row in rows if row.is_text]
    return [
        _epoch_batches(item_rows, text_rows, settings.batch_tokens, order)
        for _ in range(settings.max_epochs)
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


def parameter_groups(model: GPT2LMHeadModel, weight_decay: float) -> list[dict[str, object]]:
    """Matrices decay; biases and layer norms do not (as GPT-2's own training did)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
