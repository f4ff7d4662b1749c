"""The best K items of each user that the user may get: one prompt pass, then a beam search.

An item is one token or several (`item_trie`); `beam_search` says what a score is. Guarantees: at
most K distinct allowed items, as many as there are, best first, equal scores in item order; a
user's list does not depend on the other users of the batch beyond float rounding. A prompt that
cannot be served is an error of that user alone.

Shapes: U users, B users of a batch, D width, N items known to the model, L tokens an item,
K list length.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from transformers import GPT2LMHeadModel

from pipeline.engine.batches import MAX_TOKENS, length_batches, padded_batch
from pipeline.engine.beam_search import BeamSearch, BestItems, Normalise, UserRules
from pipeline.engine.decoder import Decoder
from pipeline.engine.exclusions import Exclusions, Integers
from pipeline.engine.item_trie import ItemTrie
from pipeline.engine.precision import Precision
from pipeline.model.prompt import Prompt
from pipeline.progress import no_progress

log = logging.getLogger("nightcart")

# 64 MB of float32 logits at a time, whatever the size of the catalogue.
MAX_LOGITS = 16 * 1024 * 1024

PROMPT_FAILED = "prompt_failed"
MODEL_FAILED = "model_failed"
SCORES_NOT_FINITE = "scores_not_finite"
NO_ALLOWED_ITEM = "no_allowed_item"
# No time was left for the user; this is nobody's error.
DEADLINE = "deadline"

# The most that the keys of one batch's prompts may take; items of one token need no keys.
MAX_KEY_BYTES = 256 * 1024 * 1024

_NOTHING = Prompt([], [])


@dataclass(frozen=True)
class Ranking:
    """Lists for U users: item numbers (-1 past the end of a shorter list) and their scores.

    `errors` has the reason of every user who got no list.
    """

    items_UK: Integers
    scores_UK: NDArray[np.float64]
    errors: dict[int, str]

    @property
    def k(self) -> int:
        """The longest a list can be."""
        return int(self.items_UK.shape[1])


@dataclass(frozen=True)
class _RankJob:
    """One call of `rank`: what is asked, and the ranking that the batches fill."""

    search: BeamSearch
    prompts: Sequence[Prompt]
    excluded: Exclusions
    prior_UN: scipy.sparse.csr_array | None
    ranking: Ranking


def empty_ranking(n_users: int, k: int, errors: dict[int, str]) -> Ranking:
    """No item for anybody yet."""
    items_UK = np.full((n_users, k), -1, dtype=np.int64)
    return Ranking(items_UK, np.zeros((n_users, k), dtype=np.float64), errors)


def _never() -> bool:
    return False


class Ranker:
    """A model and the items it may rank.

    Args:
        model: in evaluation mode.
        token_ids_NL: the items' tokens, in the order that breaks ties; one-dimensional for items
            of one token.
        pad: any valid token id; padding is never read.
        beams: prefixes followed a user where items have several tokens; None follows every
            prefix, so that whole items are scored and the list is exact. At least K are followed.
        normalise: see `pipeline.engine.beam_search`.
        precision: see `pipeline.engine.precision`.
        bias_N: log-weights added to the items' logits of every user; only for items of one token.

    Raises:
        ValueError: the bias has another shape, numbers that are not finite, or items of several
            tokens.
    """

    def __init__(
        self,
        model: GPT2LMHeadModel,
        token_ids_NL: Integers,
        pad: int,
        *,
        beams: int | None = None,
        normalise: Normalise = Normalise.ALLOWED,
        precision: Precision = Precision.FLOAT32,
        bias_N: NDArray[np.float64] | None = None,
    ) -> None:
        self.vocab_size = int(model.config.vocab_size)
        self.decoder = Decoder(model, precision)
        self.pad = pad
        self.beams = beams
        self.normalise = normalise
        self.trie = ItemTrie(token_ids_NL, self.decoder.device)
        self.bias_N = None if bias_N is None else self._bias(bias_N)

    def rank(
        self,
        prompts: Sequence[Prompt | None],
        excluded: Exclusions,
        k: int,
        max_rows: int,
        done: Callable[[int], None] = no_progress,
        *,
        prior_UN: scipy.sparse.csr_array | None = None,
        is_late: Callable[[], bool] = _never,
    ) -> Ranking:
        """The best K items of every user.

        Args:
            prompts: one a user; None where it could not be built.
            excluded: in item numbers 0 … N-1.
            max_rows: users a batch.
            done: told how many users each batch finished.
            prior_UN: log-weights added to the items' logits before the softmax; an entry that is
                not stored counts as 0. Without repeated entries.
            is_late: asked before each batch; once it says so the rest get no list (`DEADLINE`).

        Raises:
            ValueError: the prior has another shape, or a weight that is not a finite number.
        """
        n = len(prompts)
        self._check(prior_UN, n)
        errors = {user: PROMPT_FAILED for user, p in enumerate(prompts) if not self._serves(p)}
        allowed_U = self.trie.n_items - excluded.counts_U
        for user in np.flatnonzero(allowed_U <= 0):
            errors.setdefault(int(user), NO_ALLOWED_ITEM)
        lengths_U = np.array([len(prompt) if prompt else 0 for prompt in prompts], dtype=np.int64)
        users = np.array([user for user in range(n) if user not in errors], dtype=np.int64)
        ranking = empty_ranking(n, k, errors)
        served = [prompt or _NOTHING for prompt in prompts]
        done(n - len(users))
        if not len(users):
            return ranking
        beams = None if self.beams is None else max(self.beams, k)
        search = BeamSearch(self.decoder, self.trie, beams, self.normalise, self.bias_N)
        job = _RankJob(search, served, excluded, prior_UN, ranking)
        for users_B in length_batches(lengths_U, users, max_rows, self._max_tokens):
            if is_late():
                errors.update(dict.fromkeys(users_B.tolist(), DEADLINE))
            else:
                self._rank_batch(job, users_B)
            done(len(users_B))
        return ranking

    @property
    def _max_tokens(self) -> int:
        if self.trie.n_levels == 1:
            return MAX_TOKENS
        return min(MAX_TOKENS, max(1, MAX_KEY_BYTES // self.decoder.token_bytes))

    def _bias(self, bias_N: NDArray[np.float64]) -> torch.Tensor:
        if self.trie.n_levels > 1 or bias_N.shape != (self.trie.n_items,):
            raise ValueError(
                f"the bias has shape {bias_N.shape}; expected {self.trie.n_items} items of one "
                f"token, not of {self.trie.n_levels}"
            )
        if not np.isfinite(bias_N).all():
            raise ValueError("the bias has log-weights that are not finite numbers")
        return torch.from_numpy(bias_N.astype(np.float32)).to(self.decoder.device)

    def _check(self, prior_UN: scipy.sparse.csr_array | None, n_users: int) -> None:
        if prior_UN is None:
            return
        if prior_UN.shape != (n_users, self.trie.n_items):
            raise ValueError(
                f"the prior has shape {prior_UN.shape}; expected {n_users} users and "
                f"{self.trie.n_items} items"
            )
        if not np.isfinite(prior_UN.data).all():
            raise ValueError("the prior has log-weights that are not finite numbers")

    def _serves(self, prompt: Prompt | None) -> bool:
        """Whether the model can read the prompt, and the item's tokens after it, at all."""
        room = self.decoder.n_positions - (self.trie.n_levels - 1)
        if prompt is None or not 0 < len(prompt) <= room:
            return False
        ids = prompt.token_ids + prompt.type_ids
        same_length = len(prompt.token_ids) == len(prompt.type_ids)
        return same_length and min(ids) >= 0 and max(ids) < self.vocab_size

    def _rank_batch(self, job: _RankJob, users_B: Integers) -> None:
        """Rank one batch; if the model fails on it, find the users at fault by halving."""
        try:
            batch = padded_batch(job.prompts, users_B, self.pad)
            hidden_BD, keys = self.decoder.prefill(batch, keep=self.trie.n_levels > 1)
            # A bounded number of logits at a time, whatever the size of the catalogue.
            step = max(1, MAX_LOGITS // job.search.cells)
            for start in range(0, len(users_B), step):
                part = slice(start, start + step)
                rules = self._rules(job, users_B[part])
                some = keys.rows(part) if keys else None
                best = job.search.best(hidden_BD[part], some, rules, job.ranking.k)
                _store_lists(best, users_B[part], job.ranking)
        except (RuntimeError, IndexError) as error:
            if len(users_B) == 1:
                log.warning("the model failed on one user's prompt: %s", error)
                job.ranking.errors[int(users_B[0])] = MODEL_FAILED
                return
            middle = len(users_B) // 2
            for half in (users_B[:middle], users_B[middle:]):
                self._rank_batch(job, half)

    def _rules(self, job: _RankJob, users_B: Integers) -> list[UserRules]:
        """The blocked and favoured nodes of each level, for some users."""
        rows, items = job.excluded.pairs_of(users_B)
        prior_BN = None if job.prior_UN is None else job.prior_UN[users_B]
        return [
            UserRules(
                self.trie.blocked(rows, items, level),
                None if prior_BN is None else self.trie.favoured(prior_BN, level),
            )
            for level in range(self.trie.n_levels)
        ]


def _store_lists(best: BestItems, users_B: Integers, ranking: Ranking) -> None:
    """Store some users' lists; a user whose scores are not numbers gets an error instead."""
    finite_B = best.finite_B.cpu().numpy()
    items_BK = best.items_BK.cpu().numpy()
    there_BK = (items_BK >= 0) & finite_B[:, None]
    width = items_BK.shape[1]
    ranking.items_UK[users_B, :width] = np.where(there_BK, items_BK, -1)
    scores_BK = best.scores_BK.cpu().numpy().astype(np.float64)
    ranking.scores_UK[users_B, :width] = np.where(there_BK, scores_BK, 0.0)
    ranking.errors.update({int(user): SCORES_NOT_FINITE for user in users_B[~finite_B]})
