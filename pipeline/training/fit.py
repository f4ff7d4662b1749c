"""The training loop: epochs over length-bucketed batches, the best epoch's weights kept.

Guarantees: on one machine's CPU with one number of threads, the same rows, model and seed give the
same weights bit for bit, killed and gone on or not; the process's own random state is left as it was. Validation ranking
decides when to stop and which epoch is kept; the test half is never looked at.

Loss: at the asked positions only. Their hidden states are gathered first and projected on item
tokens, or on text tokens and `end`, so that the logits of a whole batch are never made. Text counts
`text_weight` of an item. While training, items' rows are their own plus what their descriptions
say (`pipeline.training.item_descriptions`); what is validated and kept has the sum.

Shapes: B rows, T tokens, N asked positions, D width, V candidates of a target kind.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn.functional import cross_entropy, embedding
from transformers import GPT2LMHeadModel, get_cosine_schedule_with_warmup

from pipeline.model.next_item import padded
from pipeline.model.prompt import Prompt
from pipeline.model.vocabulary import Vocabulary
from pipeline.settings import Training
from pipeline.training.bookmark import Standing
from pipeline.training.epoch import Conditions, train_epoch
from pipeline.training.item_descriptions import DescribedTable
from pipeline.training.item_softmax import item_cross_entropy
from pipeline.training.stepper import Stepper, grouped
from pipeline.training.training_rows import TrainingRow

log = logging.getLogger("nightcart")

BETAS = (0.9, 0.98)  # the second as for other small transformers: rows are met rarely


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
    """Rows of one kind, padded on the right, and where they are asked for what.

    `later_N` is the row's next target after the one asked for, -1 after its last; `past_N` tells
    what a shopper went on to from what words describe.
    """

    tokens_BT: torch.Tensor
    types_BT: torch.Tensor
    row_N: torch.Tensor
    position_N: torch.Tensor
    target_N: torch.Tensor
    later_N: torch.Tensor
    past_N: torch.Tensor
    is_text: bool

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(
            self.tokens_BT.to(device),
            self.types_BT.to(device),
            self.row_N.to(device),
            self.position_N.to(device),
            self.target_N.to(device),
            self.later_N.to(device),
            self.past_N.to(device),
            self.is_text,
        )


def fit(
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
    conditions: Conditions | None = None,
) -> Fitted:
    """Train in place; the model ends in evaluation mode with its best epoch's weights.

    Args:
        rows: all kinds together; each epoch takes all item rows and as many text tokens as there
            are item tokens, another part of them every epoch.
        validation_ndcg: ranks the validation half with the model as it stands. Without one
            (nobody in that half) every epoch is run and the last is kept.
        may_keep_start: whether a start that every epoch makes worse may come out again: yes for
            a champion, no for a model that has yet to learn to write.
        features_IF: what descriptions say of the vocabulary's items; none are used without.
        unmet_I: new items of the vocabulary that nobody can have met (`item_softmax`); none without.
        conditions: with whom, and where it is noted how far it came; alone and nowhere without.

    Raises:
        BrokenModelError: the loss or a gradient is not a finite number.
    """
    if features_IF is None:
        features_IF = sparse.csr_matrix((len(vocabulary.item_ids), 0))
    described = DescribedTable(model, vocabulary, features_IF)
    conditions = conditions or Conditions()
    team, bookmarks = conditions.team, conditions.bookmarks
    plan = [
        grouped(batches, settings.accumulate)
        for batches in _plan(rows, settings, np.random.default_rng([seed, 1]))
    ]
    n_steps = sum(map(len, plan))
    learned = [*model.parameters(), described.vectors_FD]
    optimizer = torch.optim.AdamW(
        parameter_groups(learned, settings.weight_decay),
        lr=settings.learning_rate,
        betas=BETAS,
        fused=True,
    )
    warmup = max(1, round(settings.warmup_share * n_steps))
    schedule = get_cosine_schedule_with_warmup(optimizer, warmup, n_steps)
    stepper = Stepper(
        learned,
        optimizer,
        schedule,
        seed=seed,
        phase="training",
        team=team,
        curves=conditions.curves,
    )

    def measured() -> float:
        return team.first_s(lambda: validation_ndcg(model.eval()) if validation_ndcg else 0.0)

    def loss_of(some: Sequence[TrainingRow]) -> torch.Tensor:
        batch = make_batch(some, vocabulary.control["pad"]).to(described.vectors_FD.device)
        weight = settings.text_weight if batch.is_text else 1.0
        return weight * target_loss(
            model,
            vocabulary,
            batch,
            described,
            sampled_items=settings.sampled_items,
            later_weight=settings.later_weight,
            unmet_I=unmet_I,
        )

    standing = Standing(best=-1.0, best_state=copy.deepcopy(model.state_dict()))
    if not bookmarks.restore(standing, stepper):
        start_ndcg = measured()
        log.info("before training: validation NDCG %.4f", start_ndcg)
        standing.best = start_ndcg if may_keep_start else -1.0
    started, first_epoch = time.monotonic(), standing.epoch
    with torch.random.fork_rng(devices=[]):
        for groups in plan[standing.epoch - 1 :]:
            if standing.done:
                break
            epoch_started, asked_before = time.monotonic(), standing.n_targets
            model.train()
            loss = train_epoch(stepper, standing, groups, loss_of, bookmarks)
            rate = (standing.n_targets - asked_before) / max(time.monotonic() - epoch_started, 1e-9)
            epoch = standing.epoch
            with described.folded():
                ndcg = measured()
                if ndcg > standing.best or validation_ndcg is None:
                    standing.best, standing.best_epoch = ndcg, epoch
                    standing.best_state = copy.deepcopy(model.state_dict())
            seconds = round(time.monotonic() - epoch_started, 2)
            standing.lines.append(asdict(EpochLog(epoch, loss, ndcg, seconds)))
            conditions.point("validation/ndcg", ndcg, stepper.n_steps)
            spent = (time.monotonic() - started) / (epoch + 1 - first_epoch)
            log.info(
                "epoch %d/%d: loss %.4f, validation NDCG %.4f, %s targets/s, at most %.0f s left",
                epoch,
                settings.max_epochs,
                loss,
                ndcg,
                f"{rate:,.0f}",
                spent * (settings.max_epochs - epoch),
            )
            standing.next_epoch()
            if epoch - standing.best_epoch >= settings.patience:
                log.info("no gain for %d epochs: stopping", settings.patience)
                standing.done = True
        standing.done = True
        bookmarks.keep(standing, stepper, now=True)
    model.load_state_dict(standing.best_state)
    model.eval()
    lines = [EpochLog(**line) for line in standing.lines]
    return Fitted(lines, standing.best_epoch, max(standing.best, 0.0))


def target_loss(
    model: GPT2LMHeadModel,
    vocabulary: Vocabulary,
    batch: Batch,
    described: DescribedTable | None = None,
    *,
    sampled_items: int = 0,
    later_weight: float = 0.0,
    unmet_I: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean cross-entropy at the asked positions, over the tokens that could be right there.

    Args:
        sampled_items: how many items the batch's targets are told from; 0: all.
        later_weight: how much the item after the next one counts beside it.
        unmet_I: items that what a shopper went on to is not told from.
    """
    table_VD = model.transformer.wte.weight if described is None else described.table_VD()
    hidden_BTD = model.transformer(
        inputs_embeds=embedding(batch.tokens_BT, table_VD),
        token_type_ids=batch.types_BT,
        use_cache=False,
    ).last_hidden_state
    hidden_ND = hidden_BTD[batch.row_N, batch.position_N]
    if batch.is_text:
        logits_NV = hidden_ND @ table_VD[: vocabulary.control["end"] + 1].T
        return cross_entropy(logits_NV, batch.target_N)
    first = vocabulary.first_item_token
    # A row's last place has no later item: its target stands in with a weight of 0.
    has_later_N = batch.later_N >= 0
    later_N = torch.where(has_later_N, batch.later_N, batch.target_N)
    target_NK = torch.stack([batch.target_N, later_N], dim=1) - first
    weight_NK = torch.stack(
        [torch.ones_like(hidden_ND[:, 0]), has_later_N * later_weight], dim=1
    ).to(hidden_ND.dtype)
    weight_NK = weight_NK / weight_NK.sum(dim=1, keepdim=True)
    apart = None if unmet_I is None else (unmet_I.to(batch.past_N.device), batch.past_N)
    return item_cross_entropy(
        hidden_ND, table_VD[first:], target_NK, weight_NK, sampled_items, apart=apart
    )


def make_batch(rows: Sequence[TrainingRow], pad: int) -> Batch:
    """Rows of one kind as tensors."""
    tokens_BT, types_BT = padded([Prompt(row.token_ids, row.type_ids) for row in rows], pad)
    return Batch(
        tokens_BT,
        types_BT,
        torch.tensor([n for n, row in enumerate(rows) for _ in row.positions]),
        torch.tensor([position for row in rows for position in row.positions]),
        torch.tensor([target for row in rows for target in row.targets]),
        torch.tensor([target for row in rows for target in [*row.targets[1:], -1]]),
        torch.tensor([row.is_past for row in rows for _ in row.positions]),
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


def parameter_groups(
    parameters: Iterable[nn.Parameter], weight_decay: float
) -> list[dict[str, object]]:
    """Matrices decay; biases and layer norms do not (as GPT-2's own training did)."""
    learned = [p for p in parameters if p.requires_grad]
    return [
        {"params": [p for p in learned if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.dim() < 2], "weight_decay": 0.0},
    ]
