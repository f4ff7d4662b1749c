"""The loss: cross-entropy at the asked positions only.

The hidden states of asked positions are gathered first and projected on item tokens, or on text
tokens and `end`, so that the logits of a whole batch are never made.

Shapes: B rows, T tokens, N asked positions, K targets of a position, D width, V tokens, U tokens
of a batch, C candidates of a target kind.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, embedding
from transformers import GPT2LMHeadModel

from pipeline.model.vocabulary import Vocabulary
from pipeline.training.items.item_descriptions import DescribedTable
from pipeline.training.items.item_softmax import candidates_cross_entropy, draw_candidates
from pipeline.training.items.touched_rows import TouchedRows
from pipeline.training.rows.batches import Batch


def target_loss(
    model: GPT2LMHeadModel,
    vocabulary: Vocabulary,
    batch: Batch,
    described: DescribedTable | None = None,
    *,
    touched: TouchedRows | None = None,
    sampled_items: int = 0,
    later_weight: float = 0.0,
    unmet_I: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean cross-entropy at the asked positions, over the tokens that could be right there.

    Args:
        touched: takes the rows that the batch needs of a large table, in place of `described`.
        sampled_items: how many items the batch's targets are told from; 0: all.
        later_weight: how much the item after the next one counts beside it.
        unmet_I: items that what a user went on to is not told from.
    """
    first, end = vocabulary.first_item_token, vocabulary.control["end"]
    device = batch.tokens_BT.device
    # A row's last place has no later item: its target stands in with a weight of 0.
    has_later_N = batch.later_N >= 0
    later_N = torch.where(has_later_N, batch.later_N, batch.target_N)
    drawn = None
    if not batch.is_text:
        drawn = draw_candidates(
            torch.stack([batch.target_N, later_N], dim=1) - first,
            len(vocabulary.item_ids),
            sampled_items,
            None if unmet_I is None else unmet_I.to(device),
        )
    tokens_BT, types_BT = batch.tokens_BT, batch.types_BT
    if touched is None:
        table_VD = model.transformer.wte.weight if described is None else described.table_VD()
        words_CD, items_ID = table_VD[: end + 1], table_VD[first:]
        chosen_C = None if drawn is None else drawn.chosen_C
        items_CD = items_ID if chosen_C is None else items_ID[chosen_C]
    else:
        if drawn is None:
            asked_C = torch.arange(end + 1, device=device)
        elif drawn.chosen_C is None:
            asked_C = first + torch.arange(len(vocabulary.item_ids), device=device)
        else:
            asked_C = first + drawn.chosen_C
        read = [tokens_BT.flatten(), types_BT.flatten(), asked_C]
        tokens_U = torch.unique(torch.cat(read))
        table_VD = touched.take(tokens_U)
        tokens_BT = torch.searchsorted(tokens_U, tokens_BT)
        types_BT = torch.searchsorted(tokens_U, types_BT)
        words_CD = items_CD = table_VD[torch.searchsorted(tokens_U, asked_C)]
    hidden_BTD = _hidden_BTD(model, tokens_BT, types_BT, table_VD)
    hidden_ND = hidden_BTD[batch.row_N, batch.position_N]
    if drawn is None:
        return cross_entropy(hidden_ND @ words_CD.T, batch.target_N)
    weight_NK = torch.stack(
        [torch.ones_like(hidden_ND[:, 0]), has_later_N * later_weight], dim=1
    ).to(hidden_ND.dtype)
    weight_NK = weight_NK / weight_NK.sum(dim=1, keepdim=True)
    return candidates_cross_entropy(
        hidden_ND, items_CD, drawn, weight_NK, None if unmet_I is None else batch.past_N
    )


def text_losses(model: GPT2LMHeadModel, vocabulary: Vocabulary, batch: Batch) -> torch.Tensor:
    """Cross-entropy at each asked position of text rows, (N,)."""
    table_VD = model.transformer.wte.weight
    hidden_BTD = _hidden_BTD(model, batch.tokens_BT, batch.types_BT, table_VD)
    hidden_ND = hidden_BTD[batch.row_N, batch.position_N]
    logits_NV = hidden_ND @ table_VD[: vocabulary.control["end"] + 1].T
    return cross_entropy(logits_NV, batch.target_N, reduction="none")


def _hidden_BTD(
    model: GPT2LMHeadModel,
    tokens_BT: torch.Tensor,
    types_BT: torch.Tensor,
    table_VD: torch.Tensor,
) -> torch.Tensor:
    # Types are rows of the same table: told by number, GPT-2 would read its own, as it stands.
    embedded_BTD = embedding(tokens_BT, table_VD) + embedding(types_BT, table_VD)
    hidden: torch.Tensor = model.transformer(
        inputs_embeds=embedded_BTD, use_cache=False
    ).last_hidden_state
    return hidden
