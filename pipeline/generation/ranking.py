"""The engine: one prompt pass a user, then the best K of the items that the user may get.

A list's scores are log-probabilities: the logits of the user's allowed items (sellable, known to
the model, not excluded for this user) through one log-softmax, so that over all allowed items
they sum to one. The vocabulary is never projected beyond those items. Guarantees: at most K
distinct allowed items, best first, equal scores in item order; a user's list does not depend on
whom they are batched with beyond float rounding (explicit mask and positions, right padding).
A prompt that cannot be served is an error of that user alone.

Gives up: items of several tokens (a trie and beams take the place of `items_ND` then).

Shapes: U users, B users of a batch, T tokens, D width, N items known to the model, K list length.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GPT2LMHeadModel

from pipeline.generation.batches import Batch, length_batches, padded_batch
from pipeline.generation.candidates import Exclusions, Integers
from pipeline.generation.progress import unheard
from pipeline.model.prompt import Prompt

log = logging.getLogger("nightcart")

# 64 MB of float32 logits at a time, whatever the size of the catalogue.
MAX_LOGITS = 16 * 1024 * 1024

PROMPT_FAILED = "prompt_failed"
MODEL_FAILED = "model_failed"
SCORES_NOT_FINITE = "scores_not_finite"
NO_ALLOWED_ITEM = "no_allowed_item"

_NOTHING = Prompt([], [])


@dataclass(frozen=True)
class Ranking:
    """Lists for U users: item numbers (-1 past the end of a shorter list) and their scores.

    `errors` has the reason of every user who got no list.
    """

    items_UK: Integers
    scores_UK: NDArray[np.float64]
    errors: dict[int, str]


def empty_ranking(n_users: int, k: int, errors: dict[int, str]) -> Ranking:
    """No item for anybody yet."""
    items_UK = np.full((n_users, k), -1, dtype=np.int64)
    return Ranking(items_UK, np.zeros((n_users, k), dtype=np.float64), errors)


class Ranker:
    """A model and the items it may rank.

    Args:
        model: in evaluation mode.
        token_ids_N: the items' tokens, in the order that breaks ties.
        pad: any valid token id; what stands in padding is never read.
    """

    def __init__(self, model: GPT2LMHeadModel, token_ids_N: Integers, pad: int) -> None:
        self.model = model
        self.device = model.lm_head.weight.device
        self.pad = pad
        tokens_N = torch.from_numpy(token_ids_N).to(self.device)
        self.items_ND = model.lm_head.weight.detach()[tokens_N].contiguous()

    def rank(
        self,
        prompts: Sequence[Prompt | None],
        excluded: Exclusions,
        k: int,
        max_rows: int,
        done: Callable[[int], None] = unheard,
    ) -> Ranking:
        """The best K items of every user.

        Args:
            prompts: one a user; None where it could not be built.
            excluded: in item numbers 0 … N-1.
            max_rows: users a batch.
            done: told how many users each batch finished.
        """
        n = len(prompts)
        errors = {user: PROMPT_FAILED for user, p in enumerate(prompts) if not self._serves(p)}
        allowed_U = len(self.items_ND) - excluded.counts_U
        for user in np.flatnonzero(allowed_U <= 0):
            errors.setdefault(int(user), NO_ALLOWED_ITEM)
        lengths_U = np.array([len(prompt) if prompt else 0 for prompt in prompts], dtype=np.int64)
        users = np.array([user for user in range(n) if user not in errors], dtype=np.int64)
        ranking = empty_ranking(n, k, errors)
        served = [prompt or _NOTHING for prompt in prompts]
        done(n - len(users))
        for users_B in length_batches(lengths_U, users, max_rows):
            self._rank_batch(served, users_B, excluded, ranking)
            done(len(users_B))
        return ranking

    def _serves(self, prompt: Prompt | None) -> bool:
        """Whether the model can read the prompt at all."""
        if prompt is None or not 0 < len(prompt) <= self.model.config.n_positions:
            return False
        ids = prompt.token_ids + prompt.type_ids
        same_length = len(prompt.token_ids) == len(prompt.type_ids)
        return same_length and min(ids) >= 0 and max(ids) < self.model.config.vocab_size

    def _rank_batch(
        self, prompts: Sequence[Prompt], users_B: Integers, excluded: Exclusions, ranking: Ranking
    ) -> None:
        """Rank one batch; if the model fails on it, find who is at fault by halving."""
        try:
            hidden_BD = self.last_hidden(padded_batch(prompts, users_B, self.pad))
            self._choose(hidden_BD, users_B, excluded, ranking)
        except (RuntimeError, IndexError) as error:
            if len(users_B) == 1:
                log.warning("the model failed on one user's prompt: %s", error)
                ranking.errors[int(users_B[0])] = MODEL_FAILED
                return
            middle = len(users_B) // 2
            for half in (users_B[:middle], users_B[middle:]):
                self._rank_batch(prompts, half, excluded, ranking)

    @torch.inference_mode()
    def last_hidden(self, batch: Batch) -> torch.Tensor:
        """The model's state at the last token of each prompt: `hidden_BD`."""
        hidden_BTD: torch.Tensor = self.model.transformer(
            input_ids=batch.token_ids_BT.to(self.device),
            token_type_ids=batch.type_ids_BT.to(self.device),
            attention_mask=batch.mask_BT.to(self.device),
            position_ids=batch.position_ids_BT.to(self.device),
            use_cache=False,
        ).last_hidden_state
        return hidden_BTD[
            torch.arange(len(batch), device=self.device), batch.last_B.to(self.device)
        ]

    @torch.inference_mode()
    def _choose(
        self, hidden_BD: torch.Tensor, users_B: Integers, excluded: Exclusions, ranking: Ranking
    ) -> None:
        """Project, exclude, normalise and pick, a bounded number of logits at a time."""
        items_UK, scores_UK = ranking.items_UK, ranking.scores_UK
        step = max(1, MAX_LOGITS // max(1, len(self.items_ND)))
        for start in range(0, len(users_B), step):
            part_B = users_B[start : start + step]
            logits_BN = hidden_BD[start : start + step] @ self.items_ND.T
            rows, items = excluded.of(part_B)
            logits_BN[torch.from_numpy(rows), torch.from_numpy(items)] = -torch.inf
            # NaN spreads into the sum, +inf stays: one check of B numbers instead of B x N.
            total_B1 = logits_BN.logsumexp(dim=1, keepdim=True)
            best_BK, items_BK = best_in_order(logits_BN, items_UK.shape[1])
            fine_B = torch.isfinite(total_B1[:, 0]).cpu().numpy()
            width = items_BK.shape[1]
            there_BK = torch.isfinite(best_BK).cpu().numpy() & fine_B[:, None]
            items_UK[part_B, :width] = np.where(there_BK, items_BK.cpu().numpy(), -1)
            scores_BK = (best_BK - total_B1).cpu().numpy().astype(np.float64)
            scores_UK[part_B, :width] = np.where(there_BK, scores_BK, 0.0)
            ranking.errors.update({int(user): SCORES_NOT_FINITE for user in part_B[~fine_B]})


def best_in_order(scores_BN: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The K best of each row, best first, equal scores in column order.

    `torch.topk` leaves open which of equal scores it takes. Taking one more than asked for shows
    the rows where that matters, and only those are sorted in full.
    """
    n = scores_BN.shape[1]
    if k >= n:
        ordered = torch.sort(scores_BN, dim=1, descending=True, stable=True)
        return ordered.values, ordered.indices
    values, columns = scores_BN.topk(k + 1, dim=1)
    cut_B = (values[:, k - 1] == values[:, k]) & torch.isfinite(values[:, k])
    columns_BK = columns[:, :k].sort(dim=1).values
    values_BK = scores_BN.gather(1, columns_BK)
    order_BK = values_BK.argsort(dim=1, descending=True, stable=True)
    values_BK, columns_BK = values_BK.gather(1, order_BK), columns_BK.gather(1, order_BK)
    if bool(cut_B.any()):
        ordered = torch.sort(scores_BN[cut_B], dim=1, descending=True, stable=True)
        values_BK[cut_B], columns_BK[cut_B] = ordered.values[:, :k], ordered.indices[:, :k]
    return values_BK, columns_BK
