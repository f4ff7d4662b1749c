"""The model a night's training starts from: small and new, a base model, or the last champion.

Rows of the embedding table are carried over by token name, so an item keeps its row whatever its
new id; what is left of the champion's network is copied as it is. Without a champion or a base
model, items start from what they were met with and words from the items they name
(`pipeline.training.items.item_vectors`). A new item starts as the mean of its title's tokens (plus
a little noise, so that two items with one title can part), which is what lets it be recommended on
its first night.

Deterministic by seed; the process's random state is left as it was.

Shapes: V vocabulary, D width, I items, W text tokens.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from pipeline.model.checkpoint import Checkpoint, small_config
from pipeline.model.prompt import MAX_TITLE_TOKENS
from pipeline.model.vocabulary import Vocabulary, item_name
from pipeline.settings import Model
from pipeline.training.base_model import BaseModel
from pipeline.training.items.item_vectors import co_occurrence_vectors, word_vectors

log = logging.getLogger("nightcart")

# Noise on a new item's row, as a share of the table's own spread.
NOISE = 0.1
# Spread of item rows that start from what the items were met with, times the root of the width: so
# the first logits are as far apart at any width (docs/experiments/quality.md).
ITEM_SPREAD = 0.8


def starting_model(
    vocabulary: Vocabulary,
    titles: Mapping[str, str],
    settings: Model,
    seed: int,
    *,
    pasts: Sequence[Sequence[str]] = (),
    base: BaseModel | None = None,
    champion: Checkpoint | None = None,
) -> GPT2LMHeadModel:
    """A model for the vocabulary, ready to train.

    Args:
        titles: words of each item, by item id.
        pasts: item ids per user, held-out events left out.
        champion: whose weights are carried over if its network has the settings' shape.
    """
    config = _config(vocabulary, settings, base)
    donor: tuple[GPT2LMHeadModel, list[str]] | None = None
    if champion is not None and same_network(champion.model.config, config):
        donor = (champion.model, champion.vocabulary.tokens())
    elif champion is not None:
        log.info("the champion %s has another shape: not starting from it", champion.model_version)
    if donor is None and base is not None:
        donor = (base.model, _base_tokens(base))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config)
        words = [
            vocabulary.encode_text(titles.get(item_id, ""))[:MAX_TITLE_TOKENS]
            for item_id in vocabulary.item_ids
        ]
        if donor is None:
            known = _start_from_pasts(model, vocabulary, pasts, words)
        else:
            known = _carry_over(model, vocabulary, *donor)
        _start_items_from_titles(model, vocabulary, words, known)
    return model


def _config(vocabulary: Vocabulary, settings: Model, base: BaseModel | None) -> GPT2Config:
    if base is None:
        return small_config(
            vocabulary,
            n_layer=settings.n_layer,
            n_head=settings.n_head,
            n_embd=settings.n_embd,
            n_positions=settings.n_positions,
            dropout=settings.dropout,
        )
    end = vocabulary.control["end"]
    given = base.model.config.to_dict() | {
        "vocab_size": vocabulary.size,
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": None,
        "resid_pdrop": settings.dropout,
        "embd_pdrop": settings.dropout,
        "attn_pdrop": settings.dropout,
    }
    return GPT2Config(**given)


def same_network(old: GPT2Config, new: GPT2Config) -> bool:
    """Whether weights of the one fit into the other, but for the vocabulary."""
    names = ("n_layer", "n_head", "n_embd", "n_positions", "n_inner", "activation_function")
    return all(getattr(old, name) == getattr(new, name) for name in names)


def _base_tokens(base: BaseModel) -> list[str]:
    size = base.model.config.vocab_size
    return [base.tokenizer.id_to_token(n) or f"unused {n}" for n in range(size)]


def _carry_over(
    model: GPT2LMHeadModel, vocabulary: Vocabulary, donor: GPT2LMHeadModel, names: list[str]
) -> set[str]:
    """Copy every tensor, and the embedding rows of tokens that both know; returns their names."""
    row_of = {name: n for n, name in enumerate(names)}
    tokens = vocabulary.tokens()
    known = [(n, row_of[name]) for n, name in enumerate(tokens) if name in row_of]
    old_VD = donor.transformer.wte.weight.detach()
    new_VD = model.transformer.wte.weight.detach().clone()
    # What is new has the spread of the table it joins: GPT-2's own start (0.02) would be lost
    # in it.
    new_VD *= old_VD.std() / model.config.initializer_range
    new_VD[[n for n, _ in known]] = old_VD[[n for _, n in known]]
    state = {
        name: tensor
        for name, tensor in donor.state_dict().items()
        if name not in ("transformer.wte.weight", "lm_head.weight")
    }
    state["transformer.wte.weight"] = state["lm_head.weight"] = new_VD
    model.load_state_dict(state)
    return {tokens[n] for n, _ in known}


def _start_from_pasts(
    model: GPT2LMHeadModel,
    vocabulary: Vocabulary,
    pasts: Sequence[Sequence[str]],
    words: Sequence[Sequence[int]],
) -> set[str]:
    """Set the rows of items that were met with others, and of the words of their titles."""
    index = vocabulary.item_index
    numbers = [[index[item] for item in past if item in index] for past in pasts]
    width = model.config.n_embd
    items_ID = co_occurrence_vectors(numbers, len(vocabulary.item_ids), width)
    words_WD = word_vectors(words, items_ID, vocabulary.n_text)
    met = np.flatnonzero(np.abs(items_ID).sum(axis=1))
    rows = vocabulary.first_item_token + met
    spread = ITEM_SPREAD / math.sqrt(width)
    with torch.no_grad():
        # Added to the random start: its small noise is what tells equal rows apart.
        weight_VD = model.transformer.wte.weight
        weight_VD[rows] += torch.tensor(items_ID[met] * spread, dtype=torch.float32)
        weight_VD[: vocabulary.n_text] += torch.tensor(words_WD * spread, dtype=torch.float32)
    return {item_name(vocabulary.item_ids[n]) for n in met}


def _start_items_from_titles(
    model: GPT2LMHeadModel,
    vocabulary: Vocabulary,
    words: Sequence[Sequence[int]],
    known: set[str],
) -> None:
    with torch.no_grad():
        weight_VD = model.transformer.wte.weight
        spread = weight_VD[: vocabulary.n_text].std()
        noise_ID = torch.randn(len(words), weight_VD.shape[1]) * spread * NOISE
        for index, (item_id, text) in enumerate(zip(vocabulary.item_ids, words, strict=True)):
            if text and item_name(item_id) not in known:
                row = vocabulary.first_item_token + index
                weight_VD[row] = weight_VD[list(text)].mean(dim=0) + noise_ID[index]
