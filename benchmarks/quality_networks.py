"""Networks to compare with in `benchmarks.quality`: the same rows, loss and schedule, less else.

`plain gpt2`: random rows, no descriptions, the next item only: the shape of SASRec (Kang & McAuley
2018) with a softmax over items in place of its sampled pairs (Klenitskiy & Vasilev 2023).
`gru`: a recurrent network over the same rows with tied embeddings (GRU4Rec, Hidasi et al. 2016).
Both keep the epoch that is best on validation.

Shapes: B rows, T tokens, N asked positions, V vocabulary, D width, I items.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn
from transformers import get_cosine_schedule_with_warmup

from pipeline.model.next_item import padded
from pipeline.model.user_history import UserHistory
from pipeline.model.vocabulary import Vocabulary
from pipeline.ranking.held_out_ranks import (
    Items,
    Scorer,
    held_out_ranks,
    history_prompts,
    model_scorer,
)
from pipeline.ranking.metrics import Floats, ndcg
from pipeline.settings import Settings
from pipeline.training.items.item_softmax import item_cross_entropy
from pipeline.training.loop.stepper import MAX_GRADIENT_NORM
from pipeline.training.ranking_phase import BETAS, fit_ranking
from pipeline.training.rows.batches import bucketed, make_batch
from pipeline.training.rows.training_rows import TrainingRow
from pipeline.training.starting_model import starting_model


class Recurrent(nn.Module):
    """Embeddings, a GRU, and the embeddings again."""

    def __init__(self, size: int, width: int, dropout: float) -> None:
        super().__init__()
        self.table = nn.Embedding(size, width)
        nn.init.normal_(self.table.weight, std=0.02)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        """The state after each token: `hidden_BTD`."""
        hidden_BTD, _ = self.gru(self.dropout(self.table(tokens_BT)))
        normal_BTD: torch.Tensor = self.norm(self.dropout(hidden_BTD))
        return normal_BTD


def plain_gpt2(  # noqa: PLR0917  what the benchmark has at hand
    vocabulary: Vocabulary,
    rows: Sequence[TrainingRow],
    users: Sequence[UserHistory],
    items: Items,
    max_events: int,
    settings: Settings,
) -> Scorer:
    """The nights' loop without what was added to it."""
    model = starting_model(vocabulary, {}, settings.model, settings.seed)

    def scorer() -> Scorer:
        return model_scorer(model, vocabulary, items, max_events)

    fit_ranking(
        model,
        vocabulary,
        rows,
        lambda _: _validation_ndcg(scorer(), users, items, settings),
        settings=dataclasses.replace(settings.training, later_weight=0.0),
        seed=settings.seed,
    )
    return scorer()


def gru(  # noqa: PLR0917  as above
    vocabulary: Vocabulary,
    rows: Sequence[TrainingRow],
    users: Sequence[UserHistory],
    items: Items,
    max_events: int,
    settings: Settings,
) -> Scorer:
    """Train a recurrent network; its best epoch scores."""
    torch.manual_seed(settings.seed)
    model = Recurrent(vocabulary.size, settings.model.n_embd, settings.model.dropout)
    order = np.random.default_rng([settings.seed, 1])
    plan = [
        bucketed(rows, settings.training.batch_tokens, order)
        for _ in range(settings.training.max_epochs)
    ]
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.training.learning_rate,
        betas=BETAS,
        weight_decay=settings.training.weight_decay,
    )
    n_steps = sum(map(len, plan))
    warmup = max(1, round(settings.training.warmup_share * n_steps))
    schedule = get_cosine_schedule_with_warmup(optimizer, warmup, n_steps)
    scorer = _recurrent_scorer(model, vocabulary, items, max_events)
    best, best_state = -1.0, copy.deepcopy(model.state_dict())
    first = vocabulary.first_item_token
    for epoch, batches in enumerate(plan, start=1):
        model.train()
        for place in order.permutation(len(batches)):
            batch = make_batch(batches[place], vocabulary.control["pad"])
            hidden_ND = model(batch.tokens_BT)[batch.row_N, batch.position_N]
            target_N1 = batch.target_N[:, None] - first
            loss = item_cross_entropy(
                hidden_ND,
                model.table.weight[first:],
                target_N1,
                torch.ones(target_N1.shape),
                settings.training.sampled_items,
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
            optimizer.step()
            schedule.step()
        found = _validation_ndcg(scorer, users, items, settings)
        print(f"gru epoch {epoch}: validation NDCG {found:.4f}", flush=True)
        if found > best:
            best, best_state = found, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    return scorer


NETWORKS: dict[str, Callable[..., Scorer]] = {"plain gpt2": plain_gpt2, "gru": gru}


def _validation_ndcg(
    scorer: Scorer, users: Sequence[UserHistory], items: Items, settings: Settings
) -> float:
    k = settings.evaluation.k
    return ndcg(held_out_ranks(scorer, users, items, mask_owned=True), k) if users else 0.0


def _recurrent_scorer(
    model: Recurrent, vocabulary: Vocabulary, items: Items, max_events: int
) -> Scorer:
    columns = np.array([vocabulary.item_index[item] for item in items.item_ids])

    @torch.inference_mode()
    def score(users: Sequence[UserHistory]) -> Floats:
        model.eval()
        prompts = history_prompts(users, vocabulary, max_events, max_events + 1)
        tokens_BT, _ = padded(prompts, vocabulary.control["pad"])
        last_B = torch.tensor([len(prompt) - 1 for prompt in prompts])
        hidden_BD = model(tokens_BT)[torch.arange(len(prompts)), last_B]
        logits_BI = hidden_BD @ model.table.weight[vocabulary.first_item_token :].T
        scores: Floats = logits_BI.numpy()[:, columns]
        return scores

    return score
