"""The validation half of held-out users, and NDCG@k on it: what chooses epochs and the prior."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from transformers import GPT2LMHeadModel

from pipeline.model.user_history import UserHistory, held_out
from pipeline.model.vocabulary import Vocabulary
from pipeline.ranking.held_out_ranks import Items, held_out_ranks, measurable, model_scorer
from pipeline.ranking.metrics import ndcg
from pipeline.settings import Evaluation
from pipeline.training.night_inputs import NightInputs


def validation_half(inputs: NightInputs, max_users: int) -> tuple[Items, list[UserHistory]]:
    """The catalogue's items, and the users who are measured."""
    items = Items(
        tuple(item.item_id for item in inputs.catalogue),
        np.array([item.sellable for item in inputs.catalogue], dtype=np.bool_),
    )
    return items, measurable(held_out(inputs.users, "validation"), items)[:max_users]


def validation_ndcg(
    vocabulary: Vocabulary,
    inputs: NightInputs,
    evaluation: Evaluation,
    max_events: int,
    *,
    mask_owned: bool,
) -> Callable[[GPT2LMHeadModel], float] | None:
    """NDCG@k of a model; none where the validation half is empty.

    Args:
        mask_owned: as for `held_out_ranks`.
    """
    items, users = validation_half(inputs, evaluation.max_users)

    def measure(model: GPT2LMHeadModel) -> float:
        scorer = model_scorer(model, vocabulary, items, max_events)
        return ndcg(held_out_ranks(scorer, users, items, mask_owned=mask_owned), evaluation.k)

    return measure if users else None
