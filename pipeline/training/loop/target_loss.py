"""The loss: cross-entropy at the asked positions only.

The hidden states of asked positions are gathered first and projected on item tokens, or on text
tokens and `end`, so that the logits of a whole batch are never made.

Shapes: B rows, T tokens, N asked positions, K targets of a position, D width, V candidates of a
target kind.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, embedding
from transformers import GPT2LMHeadModel

from pipeline.model.vocabulary import Vocabulary
from pipeline.training.items.item_descriptions import DescribedTable
from pipeline.training.items.item_softmax import item_cross_entropy
from pipeline.training.rows.batches import Batch


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
        unmet_I: items that what a user went on to is not told from.
    """
    table_VD = model.transformer.wte.weight if described is None else described.table_VD()
    hidden_ND = _hidden_ND(model, batch, table_VD)
    if batch.is_text:
        return cross_entropy(_text_logits_NV(hidden_ND, table_VD, vocabulary), batch.target_N)
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


def text_losses(model: GPT2LMHeadModel, vocabulary: Vocabulary, batch: Batch) -> torch.Tensor:
    """Cross-entropy at each asked position of text rows, (N,)."""
    table_VD = model.transformer.wte.weight
    logits_NV = _text_logits_NV(_hidden_ND(model, batch, table_VD), table_VD, vocabulary)
    return cross_entropy(logits_NV, batch.target_N, reduction="none")


def _hidden_ND(model: GPT2LMHeadModel, batch: Batch, table_VD: torch.Tensor) -> torch.Tensor:
    hidden_BTD: torch.Tensor = model.transformer(
        inputs_embeds=embedding(batch.tokens_BT, table_VD),
        token_type_ids=batch.types_BT,
        use_cache=False,
    ).last_hidden_state
    return hidden_BTD[batch.row_N, batch.position_N]


def _text_logits_NV(
    hidden_ND: torch.Tensor, table_VD: torch.Tensor, vocabulary: Vocabulary
) -> torch.Tensor:
    return hidden_ND @ table_VD[: vocabulary.control["end"] + 1].T
