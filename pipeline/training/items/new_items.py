"""What nobody has met yet, among the others: from what is known of its like.

A new item is in no history, so nothing ever followed on it or was bought beside it, and no event
pulled its vector towards what shoppers go on to. Left so, a list has no place for it. Two things
give it one, both after training and without a look at anything held out:

- `with_stand_ins`: in the prior it has the mean counts of the items whose descriptions are nearest,
  and their mean weight in a mixture.
- `lift`: its vector moves along the mean hidden state of shoppers, up to where its mean score is
  that of a given quantile of the items that were met. Its place among new items stays its words'.

Figures and what else was tried: docs/experiments/new-items.md. Shapes: I items of the vocabulary,
F features, U users, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from transformers import GPT2LMHeadModel

from pipeline.model.next_item import last_states
from pipeline.model.prior import Prior
from pipeline.model.transitions import Transitions
from pipeline.model.user_history import UserHistory
from pipeline.model.vocabulary import Vocabulary
from pipeline.ranking.held_out_ranks import BATCH_USERS, history_prompts

Booleans = NDArray[np.bool_]

N_LIKE = 10
# So many shoppers say where the middle of all shoppers is.
MAX_USERS = 2_000


def with_stand_ins(
    prior: Prior, features_IF: sparse.csr_matrix, met_I: Booleans, new_I: Booleans
) -> Prior:
    """The prior, in which each new item has the mean counts of the nearest met ones.

    Args:
        features_IF: of descriptions; rows of length 1, or empty. An item that shares no feature
            with a met one keeps nothing.
        met_I: items of somebody's history.
    """
    met, new = np.flatnonzero(met_I), np.flatnonzero(new_I)
    rows, columns, shares = [], [], []
    met_features_MF = features_IF[met]
    for item in new:
        likeness = np.asarray((met_features_MF @ features_IF[item].T).todense()).ravel()
        nearest = np.argsort(-likeness, kind="stable")[:N_LIKE]
        nearest = nearest[likeness[nearest] > 0]
        rows += met[nearest].tolist()
        columns += [item] * len(nearest)
        shares += [1 / max(1, len(nearest))] * len(nearest)
    like_II = sparse.csr_matrix((shares, (rows, columns)), shape=prior.transitions.counts_II.shape)
    if prior.mixture is None:
        return replace(prior, transitions=_with_like(prior.transitions, like_II))
    mixture = prior.mixture
    has_like_I = np.asarray(like_II.sum(axis=0)).ravel() > 0
    mixture = replace(
        mixture,
        same=_with_like(mixture.same, like_II),
        followed=_with_like(mixture.followed, like_II),
        new=replace(
            mixture.new,
            item_I=np.where(has_like_I, like_II.T @ mixture.new.item_I, mixture.new.item_I),
        ),
    )
    return replace(prior, transitions=mixture.same, mixture=mixture)


def _with_like(transitions: Transitions, like_II: sparse.csr_matrix) -> Transitions:
    """Each new item with its like's mean counts.

    Args:
        like_II: a new item's column has shares of the met items that are like it.
    """
    counts_II = transitions.counts_II
    # The diagonal is how many shoppers have an item, where a shape counts that.
    own_II = sparse.diags(like_II.T @ counts_II.diagonal())
    counts_II = (counts_II + counts_II @ like_II + own_II).tocsr()
    counts_II.eliminate_zeros()
    return replace(transitions, counts_II=counts_II)


def lift(  # noqa: PLR0917  what scoring is told too
    model: GPT2LMHeadModel,
    vocabulary: Vocabulary,
    users: Sequence[UserHistory],
    met_I: Booleans,
    new_I: Booleans,
    quantile: float,
    max_events: int,
) -> None:
    """Move the new items' rows in place; an item whose score is higher already stays.

    Args:
        users: their known items are looked at, held-out ones are not.
        quantile: of the met items' mean scores.
    """
    if not (users and met_I.any() and new_I.any()):
        return
    state_D = _mean_state(model, vocabulary, users[:MAX_USERS], max_events)
    with torch.no_grad():
        first = vocabulary.first_item_token
        rows_ID = model.transformer.wte.weight[first : vocabulary.size]
        score_I = rows_ID @ state_D
        level = torch.quantile(score_I[torch.from_numpy(met_I)], quantile)
        missing_I = (level - score_I).clamp(min=0.0) * torch.from_numpy(new_I)
        rows_ID += torch.outer(missing_I / (state_D @ state_D), state_D)


def _mean_state(
    model: GPT2LMHeadModel, vocabulary: Vocabulary, users: Sequence[UserHistory], max_events: int
) -> torch.Tensor:
    """The mean of what items are multiplied with: `state_D`."""
    users = sorted(users, key=lambda user: user.n_known)
    total_D = torch.zeros(model.config.n_embd)
    for start in range(0, len(users), BATCH_USERS):
        batch = users[start : start + BATCH_USERS]
        prompts = history_prompts(batch, vocabulary, max_events, model.config.n_positions)
        total_D += last_states(model, vocabulary, prompts).sum(dim=0)
    return total_D / len(users)
