"""Scores of every item as the next one, for a batch of prompts: one forward pass per prompt.

Guarantees: a prompt's scores do not depend on what it is batched with beyond float rounding
(right padding is invisible to causal attention; positions start at 0 in every row).

Shapes: B prompts, T tokens, D width, I items (in the order of `vocabulary.item_ids`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import GPT2LMHeadModel

from pipeline.model.prompt import Prompt
from pipeline.model.vocabulary import Vocabulary


def next_item_logits(
    model: GPT2LMHeadModel, vocabulary: Vocabulary, prompts: Sequence[Prompt]
) -> torch.Tensor:
    """Logits over all items at each prompt's last position: `logits_BI`, float32.

    The model must be in evaluation mode. Memory is B times I; the caller chooses B.
    """
    with torch.inference_mode():
        first = vocabulary.first_item_token
        items_ID = model.transformer.wte.weight[first : vocabulary.size]
        logits_BI: torch.Tensor = last_states(model, vocabulary, prompts) @ items_ID.T
    return logits_BI


def last_states(
    model: GPT2LMHeadModel, vocabulary: Vocabulary, prompts: Sequence[Prompt]
) -> torch.Tensor:
    """`hidden_BD`: the states after each whole prompt, which items' vectors are multiplied with."""
    device = model.transformer.wte.weight.device
    tokens_BT, types_BT = padded(prompts, vocabulary.control["pad"])
    last_B = torch.tensor([len(prompt) - 1 for prompt in prompts])
    with torch.inference_mode():
        hidden_BTD = model.transformer(
            input_ids=tokens_BT.to(device), token_type_ids=types_BT.to(device), use_cache=False
        ).last_hidden_state
        hidden_BD: torch.Tensor = hidden_BTD[
            torch.arange(len(prompts), device=device), last_B.to(device)
        ]
    return hidden_BD


def padded(prompts: Sequence[Prompt], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token and type ids, padded on the right: `tokens_BT`, `types_BT`."""
    width = max(len(prompt) for prompt in prompts)
    tokens = [prompt.token_ids + [pad] * (width - len(prompt)) for prompt in prompts]
    types = [prompt.type_ids + [pad] * (width - len(prompt)) for prompt in prompts]
    return torch.tensor(tokens), torch.tensor(types)
