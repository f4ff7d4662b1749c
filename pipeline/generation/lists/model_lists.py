"""The model's lists, and why a user gets none: no champion, an error, too few known items, no time.

Shapes: U users, K list length.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import pyarrow as pa

from pipeline.engine.exclusions import Exclusions
from pipeline.engine.ranker import (
    MODEL_FAILED,
    NO_ALLOWED_ITEM,
    PROMPT_FAILED,
    SCORES_NOT_FINITE,
    Ranker,
)
from pipeline.generation.champion import Champion
from pipeline.generation.lists.candidates import Candidates, KnownItems
from pipeline.generation.lists.list_batch import ListBatch
from pipeline.generation.lists.model_inputs import history_prompts, prior_bias, prior_weights

# The model can fill less of the list than the shop could: it does not know the newest items.
TOO_FEW_KNOWN = "too_few_known_items"
# These count against `generation.max_error_share`: the model should have served these users.
ERRORS = (PROMPT_FAILED, MODEL_FAILED, SCORES_NOT_FINITE, NO_ALLOWED_ITEM)


class ModelLists:
    """The champion, and the candidates that it can rank.

    Args:
        k: the length of a list; with fewer items a list is not the model's, unless the user may
            get no more.
        max_events: the newest events of a history that a prompt has.
        batch_users: users a batch.
        is_late: asked before each batch; from then on nobody gets a list (`DEADLINE`).
    """

    def __init__(
        self,
        champion: Champion,
        candidates: Candidates,
        *,
        k: int,
        max_events: int,
        batch_users: int,
        is_late: Callable[[], bool],
    ) -> None:
        self.champion = champion
        self.candidates = candidates
        self.k = k
        self.max_events = max_events
        self.batch_users = batch_users
        self.is_late = is_late

    @cached_property
    def known(self) -> KnownItems | None:
        """The candidates that the champion can rank."""
        checkpoint = self.champion.checkpoint
        return self.candidates.known_to(checkpoint.vocabulary) if checkpoint else None

    @cached_property
    def ranker(self) -> Ranker | None:
        """The engine, if there is a champion that knows anything of what is sold."""
        checkpoint = self.champion.checkpoint
        if checkpoint is None or self.known is None or not len(self.known.places_N):
            return None
        pad = checkpoint.vocabulary.control["pad"]
        return Ranker(
            checkpoint.model,
            self.known.token_ids_N,
            pad,
            precision=self.champion.precision,
            bias_N=prior_bias(checkpoint, self.known),
        )

    def rank(
        self, users: pa.Table, excluded: Exclusions, size: int, done: Callable[[int], None]
    ) -> ListBatch:
        """The best `size` candidates of each user; the batch has the reasons of the others.

        Args:
            done: told how many users each batch finished.
        """
        n = users.num_rows
        lists = ListBatch.empty(n, size)
        checkpoint, ranker, known = self.champion.checkpoint, self.ranker, self.known
        if checkpoint is None or ranker is None or known is None:
            done(n)
            # Item ids may have changed overnight: everything is new to a model in order.
            reason = self.champion.fallback_reason or TOO_FEW_KNOWN
            lists.reasons = dict.fromkeys(range(n), reason)
            return lists
        prompts = history_prompts(
            users, checkpoint.vocabulary, self.max_events, checkpoint.model.config.n_positions
        )
        ranking = ranker.rank(
            prompts,
            excluded.renumbered(known.number_C),
            size,
            self.batch_users,
            done,
            prior_UN=prior_weights(users, checkpoint, known),
            is_late=self.is_late,
        )
        lists.reasons = dict(ranking.errors)
        allowed_U = len(self.candidates) - excluded.counts_U
        listed_U = (ranking.items_UK >= 0).sum(axis=1)
        for user in np.flatnonzero(listed_U < np.minimum(allowed_U, self.k)):
            # Not an error: the model knows some of what the user may get, and the shop has more.
            lists.reasons.setdefault(int(user), TOO_FEW_KNOWN)
        # Number -1 (no item) finds the -1 that stands last.
        lists.items_UK = np.append(known.places_N, -1)[ranking.items_UK]
        lists.scores_UK = ranking.scores_UK
        return lists
