"""Ranks of held-out items under any scorer, over one set of users and sellable items.

Guarantees: every scorer is asked about the same users, histories and items. The candidates are the
items that are sellable as of the night and that the scorer may rank; where asked, what a user owned
before the held-out event is masked. A user whose held-out item is no longer sellable is left out:
no list could have held it.

Shapes: B users, I items (all known ones, sellable or not).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import GPT2LMHeadModel

from pipeline.model.next_item import next_item_logits
from pipeline.model.prior import Prior
from pipeline.model.prompt import Prompt, history_prompt
from pipeline.model.user_history import UserHistory
from pipeline.model.vocabulary import Vocabulary
from pipeline.ranking.metrics import Floats, Integers, target_ranks, top_items

# Scores of a batch of users over all items, in the order of `Items.item_ids`.
Scorer = Callable[[Sequence[UserHistory]], Floats]

BATCH_USERS = 256


@dataclass(frozen=True)
class Items:
    """The items that ranking numbers from 0, and which of them may be recommended."""

    item_ids: tuple[str, ...]
    sellable_I: NDArray[np.bool_]

    @property
    def index(self) -> dict[str, int]:
        """Number of an item."""
        return {item_id: n for n, item_id in enumerate(self.item_ids)}


@dataclass(frozen=True)
class Ranks:
    """Each user's rank of the held-out item, from 1, and the first k items.

    `probability_BK` is the scorer's own probability of these items among all the user may get.
    """

    rank_B: Integers
    top_BK: Integers
    probability_BK: Floats


def measurable(users: Sequence[UserHistory], items: Items) -> list[UserHistory]:
    """Users whose held-out item can still be recommended."""
    index = items.index
    return [
        user
        for user in users
        if user.holdout_index is not None
        and user.held_out_item in index
        and items.sellable_I[index[user.held_out_item]]
    ]


def rank_users(
    scorer: Scorer,
    users: Sequence[UserHistory],
    items: Items,
    k: int,
    *,
    mask_owned: bool,
    log_scores: bool = False,
) -> Ranks:
    """Rank every user's held-out item and list the first k, or as many as there are items.

    `users` come from `measurable`.

    Args:
        mask_owned: whether what a user owned before the held-out event may not come again
            (`generation.exclude_owned`: what is measured is what is sent).
        log_scores: whether scores are logits (a model's), not shares (a baseline's).
    """
    k = min(k, len(items.item_ids))
    ranks, tops = [np.zeros(0, np.int64)], [np.zeros((0, k), np.int64)]
    probabilities = [np.zeros((0, k))]
    for scores_BI, targets_B in _scored(scorer, users, items, mask_owned):
        ranks.append(target_ranks(scores_BI, targets_B))
        top_BK = top_items(scores_BI, k)
        tops.append(top_BK)
        shares_BI = _shares(scores_BI, log_scores)
        probabilities.append(np.take_along_axis(shares_BI, top_BK, axis=1))
    return Ranks(np.concatenate(ranks), np.concatenate(tops), np.concatenate(probabilities))


def held_out_ranks(
    scorer: Scorer, users: Sequence[UserHistory], items: Items, *, mask_owned: bool
) -> Integers:
    """The ranks of `rank_users` without the lists, which cost several times as much.

    Users of nearly one length are scored together: a model spends no time on padding.
    """
    order_B = np.argsort(np.array([user.n_known for user in users], dtype=np.int64), kind="stable")
    sorted_users = [users[place] for place in order_B]
    ranks_B = np.zeros(len(users), np.int64)
    done = 0
    for scores_BI, targets_B in _scored(scorer, sorted_users, items, mask_owned):
        ranks_B[order_B[done : done + len(targets_B)]] = target_ranks(scores_BI, targets_B)
        done += len(targets_B)
    return ranks_B


def _scored(
    scorer: Scorer, users: Sequence[UserHistory], items: Items, mask_owned: bool
) -> Iterator[tuple[Floats, Integers]]:
    """Scores and held-out item numbers, a batch of users at a time; minus infinity is masked."""
    index = items.index
    for start in range(0, len(users), BATCH_USERS):
        batch = users[start : start + BATCH_USERS]
        scores_BI = np.array(scorer(batch), dtype=np.float64)
        scores_BI[:, ~items.sellable_I] = -np.inf
        for row, user in enumerate(batch if mask_owned else ()):
            owned = [index[item] for item in user.owned_before_holdout() if item in index]
            scores_BI[row, owned] = -np.inf
        yield scores_BI, np.array([index[user.held_out_item] for user in batch], dtype=np.int64)


def _shares(scores_BI: Floats, log_scores: bool) -> NDArray[np.float64]:
    """Scores of the items that are not masked, as shares of one; all 0 where none is left."""
    if log_scores:
        best_B1 = scores_BI.max(axis=1, keepdims=True)
        mass_BI = np.exp(scores_BI - np.where(np.isfinite(best_B1), best_B1, 0.0))
    else:
        mass_BI = np.where(np.isfinite(scores_BI), scores_BI, 0.0)
    total_B1 = mass_BI.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = mass_BI / np.where(total_B1 > 0, total_B1, 1.0)
    return shares


def model_scorer(
    model: GPT2LMHeadModel,
    vocabulary: Vocabulary,
    items: Items,
    max_events: int,
    prior: Prior | None = None,
) -> Scorer:
    """Scores by the model in evaluation mode. Items it does not know come last.

    Args:
        prior: added to the model's scores; none, or one of weight 0, leaves them as they are.
    """
    columns = np.array(
        [vocabulary.item_index.get(item_id, -1) for item_id in items.item_ids], dtype=np.int64
    )

    def score(users: Sequence[UserHistory]) -> Floats:
        prompts = history_prompts(users, vocabulary, max_events, model.config.n_positions)
        logits_BI: Floats = next_item_logits(model, vocabulary, prompts).cpu().numpy()
        if prior is not None and not prior.adds_nothing:
            logits_BI = logits_BI + prior.scores(known_numbers(users, vocabulary)).toarray()
            if prior.bias_I is not None:
                logits_BI = logits_BI + prior.bias_I
        # Below any logit, above the masked: a model that does not know an item ranks it last.
        unknown = logits_BI.min(initial=0.0) - 1.0
        scores: Floats = np.where(columns >= 0, logits_BI[:, columns], unknown)
        return scores

    return score


def history_prompts(
    users: Sequence[UserHistory], vocabulary: Vocabulary, max_events: int, n_positions: int
) -> list[Prompt]:
    """Each user's prompt: everything before the held-out event that fits."""
    return [
        history_prompt(
            vocabulary,
            user.known_items,
            user.known_event_types,
            user.known_queries,
            user.language,
            max_events,
            max_tokens=n_positions,
        )
        for user in users
    ]


def known_numbers(users: Sequence[UserHistory], vocabulary: Vocabulary) -> list[list[int]]:
    """Each user's items before the held-out event, as numbers of the vocabulary's items."""
    index = vocabulary.item_index
    return [[index[item] for item in user.known_items if item in index] for user in users]


def history_scorer(scores: Callable[[Sequence[Sequence[int]]], Floats], items: Items) -> Scorer:
    """Scores by a baseline that reads item numbers."""
    index = items.index

    def score(users: Sequence[UserHistory]) -> Floats:
        return scores(
            [[index[item] for item in user.known_items if item in index] for user in users]
        )

    return score
