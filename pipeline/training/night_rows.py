"""What a night trains on: the vocabulary, the rows by kind, the items nobody knows yet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.errors import BrokenModelError
from pipeline.model.vocabulary import Vocabulary, build_vocabulary
from pipeline.settings import Reasons
from pipeline.training.base_model import BaseModel
from pipeline.training.night_inputs import NightInputs
from pipeline.training.rows.reason_rows import reason_rows
from pipeline.training.rows.training_rows import (
    TrainingRow,
    asked_rows,
    history_rows,
    need_rows,
    query_rows,
    title_rows,
)


def night_vocabulary(
    inputs: NightInputs, text_vocab_size: int, base: BaseModel | None
) -> Vocabulary:
    """Everything that is sold or was, the languages that are spoken, and the shop's own words."""
    return build_vocabulary(
        [item.item_id for item in inputs.catalogue],
        [
            *(user.language for user in inputs.users if user.language),
            *(review.language for review in inputs.reviews),
        ],
        [
            *(item.description for item in inputs.catalogue),
            *(review.text for review in inputs.reviews),
            *(query for user in inputs.users for query in user.known_queries),
        ],
        text_vocab_size=text_vocab_size,
        base_tokenizer=base.tokenizer if base else None,
        event_types={kind for user in inputs.users for kind in user.known_event_types},
    )


def night_rows(
    vocabulary: Vocabulary,
    inputs: NightInputs,
    *,
    max_events: int,
    n_positions: int,
    reasons: Reasons,
) -> Mapping[str, list[TrainingRow]]:
    """The rows by kind; those that would not fit the model's positions are left out."""
    limits = (max_events, n_positions)
    rows = {
        "history": history_rows(vocabulary, inputs.users, *limits),
        "query": query_rows(vocabulary, inputs.users, *limits),
        "asked": asked_rows(vocabulary, inputs.users, n_positions),
        "need": need_rows(vocabulary, inputs.catalogue, n_positions),
        "title": title_rows(vocabulary, [(item.item_id, item.title) for item in inputs.catalogue]),
        "reason": reason_rows(
            vocabulary,
            inputs.reviews,
            inputs.item_words,
            max_prompt_words=reasons.max_prompt_words,
            max_new_tokens=reasons.max_new_tokens,
        )
        if reasons.enabled
        else [],
    }
    return {
        kind: [row for row in of_kind if len(row) <= n_positions] for kind, of_kind in rows.items()
    }


def refuse_nothing_to_learn(
    vocabulary: Vocabulary, rows: Mapping[str, list[TrainingRow]], inputs: NightInputs
) -> None:
    """Stop at a catalogue without items, or one in which no history's item is found.

    Raises:
        BrokenModelError: nothing can be learned.
    """
    if rows["history"]:
        return
    met = items_met(inputs)
    raise BrokenModelError(
        f"there is no history to learn from: the catalogue has {len(vocabulary.item_ids):,} items, "
        f"and {len(met & set(vocabulary.item_ids)):,} of the {len(met):,} items of the histories "
        f"are among them (histories have {_example(met)}, the catalogue "
        f"{_example(vocabulary.item_ids)}); see that events and the item files name items alike"
    )


def _example(item_ids: Iterable[str]) -> str:
    first = min(item_ids, default=None)
    return "none" if first is None else repr(first)


def items_met(inputs: NightInputs) -> set[str]:
    """Items of somebody's history, held-out events left out."""
    return {item for user in inputs.users for item in user.known_items}


def met_items(vocabulary: Vocabulary, inputs: NightInputs) -> NDArray[np.bool_]:
    """Whether each item of the vocabulary is in somebody's history: `met_I`."""
    met = items_met(inputs)
    return np.array([item in met for item in vocabulary.item_ids], dtype=np.bool_)


def unmet_items(
    vocabulary: Vocabulary, inputs: NightInputs, night: dt.date, active_days: int
) -> torch.Tensor:
    """Items that are new to the shop and to everybody: `unmet_I`, by the vocabulary's numbers.

    One that was on sale for longer and that nobody wanted is not among them.
    """
    since = night - dt.timedelta(days=active_days)
    met = items_met(inputs)
    new = {
        item.item_id
        for item in inputs.catalogue
        if item.first_seen is not None and item.first_seen > since and item.item_id not in met
    }
    return torch.tensor([item_id in new for item_id in vocabulary.item_ids])
