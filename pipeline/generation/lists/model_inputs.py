"""The model's inputs for a shard's users: a prompt each, and what the prior adds to their items."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import scipy.sparse

from pipeline.arrow_columns import column, python_lists
from pipeline.generation.lists.candidates import KnownItems
from pipeline.model.checkpoint import Checkpoint
from pipeline.model.prompt import Prompt, history_prompt
from pipeline.model.vocabulary import Vocabulary


def history_prompts(
    users: pa.Table, vocabulary: Vocabulary, max_events: int, max_tokens: int
) -> list[Prompt | None]:
    """Each user's prompt; None where one cannot be made of the row."""
    prompts: list[Prompt | None] = []
    columns = [python_lists(column(users, name)) for name in ("item_ids", "event_types", "queries")]
    for items, types, queries, language in zip(
        *columns, users.column("language").to_pylist(), strict=True
    ):
        try:
            prompts.append(
                history_prompt(
                    vocabulary, items, types, queries, language, max_events, max_tokens=max_tokens
                )
            )
        # One user's row must not stop the night, whatever is wrong with it; it is counted.
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            prompts.append(None)
    return prompts


def prior_bias(checkpoint: Checkpoint, known: KnownItems) -> np.ndarray | None:
    """What the champion's prior adds to each item for everybody; none where it adds nothing."""
    prior, vocabulary = checkpoint.prior, checkpoint.vocabulary
    if prior is None or prior.adds_nothing or prior.bias_I is None:
        return None
    return prior.bias_I[known.token_ids_N - vocabulary.first_item_token]


def prior_weights(
    users: pa.Table, checkpoint: Checkpoint, known: KnownItems
) -> scipy.sparse.csr_array | None:
    """The champion's prior on each user's items; none where it has none, or one that adds nothing.

    The histories are those of evaluation, so that what was measured is what is sent.
    """
    prior, vocabulary = checkpoint.prior, checkpoint.vocabulary
    if prior is None or prior.adds_nothing:
        return None
    index = vocabulary.item_index
    histories = [
        [index[item] for item in items if item in index]
        for items in python_lists(column(users, "item_ids"))
    ]
    scores_UI = prior.scores(histories)
    return scipy.sparse.csr_array(scores_UI[:, known.token_ids_N - vocabulary.first_item_token])
