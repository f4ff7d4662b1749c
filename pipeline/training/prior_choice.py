"""How much transitions count beside tonight's model, and in which shape: chosen on validation.

For each validation user the model's logits are made once. A shape and a weight move only the few
items that followed any of the user's, so ranks under all of them come from one sorted row and a
sum over those few. The best NDCG@k wins; among equals the smaller weight. Weight 0 is a candidate:
a prior that does not help is not used.

Where items may come again, the weight of the user's own counts is chosen after these two, the same
way. The counts are of what the model was trained on, held-out events left out. Pure.

Shapes: B users, I items of the vocabulary, W weights, E entries of a sparse matrix.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from transformers import GPT2LMHeadModel

from pipeline.model.count_mixture import CountMixture
from pipeline.model.next_item import next_item_logits
from pipeline.model.prior import Prior, mixed_prior
from pipeline.model.transitions import Transitions, TransitionShape, transition_counts
from pipeline.model.user_history import UserHistory
from pipeline.model.vocabulary import Vocabulary
from pipeline.ranking.bootstrap import difference_interval
from pipeline.ranking.held_out_ranks import BATCH_USERS, Items, history_prompts, known_numbers
from pipeline.ranking.metrics import hits_of, ndcg, ndcgs, target_ranks

log = logging.getLogger("nightcart")

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Of log(1 + own count), where items may come again.
OWN_WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 16.0)
SHAPES = tuple(
    TransitionShape(window, distance_decay, age_decay)
    for window in (10, 20)
    for distance_decay in (0.0, 0.7)
    for age_decay in (0.4, 0.6, 0.8)
) + tuple(
    TransitionShape(age_decay=age_decay, together=True) for age_decay in (0.8, 0.9, 0.95, 1.0)
)
# At most so many logits are sorted: in a large shop fewer users decide.
MAX_LOGITS = 400_000_000
# With fewer validation users no mixture takes the prior's place.
MIN_USERS = 30


def choose_prior(  # noqa: PLR0917  what evaluation is told too
    model: GPT2LMHeadModel,
    vocabulary: Vocabulary,
    pasts: Sequence[Sequence[str]],
    users: Sequence[UserHistory],
    items: Items,
    max_events: int,
    k: int,
    *,
    mask_owned: bool,
) -> Prior:
    """The prior that ranks the validation half best beside the model.

    Args:
        pasts: item ids per user, held-out events left out: what is counted.
        users: the validation half, from `measurable`; with nobody in it the weight is 0.
        mask_owned: whether what a user owned before the held-out event may not come again.
    """
    index, n_items = vocabulary.item_index, len(vocabulary.item_ids)
    histories = [[index[item] for item in past if item in index] for past in pasts]
    candidates = _candidates(histories, n_items)
    users = _deciding(users, vocabulary)
    if not users:
        return Prior(candidates[0], 0.0)

    def asked() -> Iterator[_Asked]:
        return _batches(model, vocabulary, users, items, max_events, mask_owned=mask_owned)

    ranks: list[list[Integers]] = [[] for _ in candidates]
    for batch in asked():
        for found, transitions in zip(ranks, candidates, strict=True):
            found.append(batch.ranks(transitions.scores(batch.known), WEIGHTS))
    figures = np.array(
        [[ndcg(ranks_W, k) for ranks_W in np.concatenate(found, axis=1)] for found in ranks]
    )
    shape, weight = _best(figures)
    log.info(
        "prior: weight %g of %s, validation NDCG %.4f (%.4f without)",
        WEIGHTS[weight],
        SHAPES[shape],
        figures[shape, weight],
        figures[shape, 0],
    )
    prior = Prior(candidates[shape], WEIGHTS[weight])
    return prior if mask_owned else _with_own_counts(prior, asked(), k)


def choose_mixture(  # noqa: PLR0917  as `choose_prior`
    prior: Prior,
    mixture: CountMixture,
    model: GPT2LMHeadModel,
    vocabulary: Vocabulary,
    users: Sequence[UserHistory],
    items: Items,
    max_events: int,
    k: int,
    seed: int,
    *,
    mask_owned: bool,
) -> Prior:
    """The mixture with its best weight beside the model, or the prior where that ranks better.

    The mixture must have at least the prior's NDCG, measured on users who did not choose its weight
    (each half by the weight that is best on the other), and a weight that is not 0: the model alone
    is a candidate of the prior too. With fewer than `MIN_USERS` the prior stays.
    """
    users = _deciding(users, vocabulary)
    if len(users) < MIN_USERS:
        log.info("no mixture: %d validation users", len(users))
        return prior
    tried = [mixed_prior(mixture, weight) for weight in WEIGHTS]
    ranks: list[list[Integers]] = [[] for _ in (prior, *tried)]
    for batch in _batches(model, vocabulary, users, items, max_events, mask_owned=mask_owned):
        scores_BI = mixture.scores(batch.known).toarray() + mixture.new.item_I
        of_prior_BI = prior.scores(batch.known).toarray()
        ranks[0].append(target_ranks(batch.logits_BI + of_prior_BI, batch.targets_B))
        for found, one in zip(ranks[1:], tried, strict=True):
            mixed_BI = batch.logits_BI + one.weight * scores_BI
            found.append(target_ranks(mixed_BI, batch.targets_B))
    hits = [hits_of(np.concatenate(found), k) for found in ranks]
    ndcg_B_of = [ndcgs(hit_BK, np.ones(len(hit_BK), np.int64)) for hit_BK in hits]
    tried_WB = np.stack(ndcg_B_of[1:]).astype(np.float64)
    best = tried[int(np.argmax(tried_WB.mean(axis=1)))]
    difference = difference_interval(measured_apart(tried_WB), ndcg_B_of[0], seed)
    log.info(
        "mixture: weight %g, validation NDCG %.4f with the prior (mixture less prior: %s)",
        best.weight,
        ndcg_B_of[0].mean(),
        difference,
    )
    return prior if difference.mean < 0 or not best.weight else best


def measured_apart(tried_WB: Floats) -> Floats:
    """Each user's value under the weight that is best on the other half of the users."""
    half_B = np.arange(tried_WB.shape[1]) % 2
    best_of = [int(np.argmax(tried_WB[:, half_B != half].mean(axis=1))) for half in (0, 1)]
    found_B: Floats = tried_WB[np.array(best_of)[half_B], np.arange(tried_WB.shape[1])]
    return found_B


def _deciding(users: Sequence[UserHistory], vocabulary: Vocabulary) -> list[UserHistory]:
    """Whose held-out item the model knows, few enough, in batches of nearly one length."""
    known = [user for user in users if user.held_out_item in vocabulary.item_index]
    known = known[: max(1, MAX_LOGITS // max(1, len(vocabulary.item_ids)))]
    return sorted(known, key=lambda user: user.n_known)


def _batches(
    model: GPT2LMHeadModel,
    vocabulary: Vocabulary,
    users: Sequence[UserHistory],
    items: Items,
    max_events: int,
    *,
    mask_owned: bool,
) -> Iterator[_Asked]:
    """The logits of a few users at a time; minus infinity is what they may not get."""
    index = vocabulary.item_index
    sellable = {item for item, sold in zip(items.item_ids, items.sellable_I, strict=True) if sold}
    may_get_I = np.array([item in sellable for item in vocabulary.item_ids], dtype=np.bool_)
    for start in range(0, len(users), BATCH_USERS):
        batch = users[start : start + BATCH_USERS]
        prompts = history_prompts(batch, vocabulary, max_events, model.config.n_positions)
        logits = next_item_logits(model, vocabulary, prompts).cpu().numpy()
        logits_BI = logits.astype(np.float64)
        logits_BI[:, ~may_get_I] = -np.inf
        for row, user in enumerate(batch if mask_owned else ()):
            owned = [index[item] for item in user.owned_before_holdout() if item in index]
            logits_BI[row, owned] = -np.inf
        targets_B = np.array([index[user.held_out_item] for user in batch], dtype=np.int64)
        known = known_numbers(batch, vocabulary)
        yield _Asked(logits_BI, np.sort(logits_BI, axis=1), targets_B, known)


@dataclass(frozen=True)
class _Asked:
    """A batch of users: their logits, these in rising order, what they chose, what they had."""

    logits_BI: Floats
    ordered_BI: Floats
    targets_B: Integers
    known: list[list[int]]

    def ranks(self, scores_BI: sparse.csr_matrix, weights: Sequence[float]) -> Integers:
        return ranks_by_weight(self.logits_BI, self.ordered_BI, scores_BI, self.targets_B, weights)


def _with_own_counts(prior: Prior, batches: Iterator[_Asked], k: int) -> Prior:
    """The prior with the best weight of own counts; of equals the smallest."""
    tried = [replace(prior, own_weight=weight) for weight in OWN_WEIGHTS]
    ranks: list[list[Integers]] = [[] for _ in tried]
    for batch in batches:
        for found, one in zip(ranks, tried, strict=True):
            found.append(batch.ranks(one.scores(batch.known), (1.0,))[0])
    figures = [ndcg(np.concatenate(found), k) for found in ranks]
    best = tried[int(np.argmax(figures))]
    log.info(
        "own counts: weight %g, NDCG %.4f (%.4f without)", best.own_weight, max(figures), figures[0]
    )
    return best


def _candidates(histories: Sequence[Sequence[int]], n_items: int) -> list[Transitions]:
    """Every shape's counts; shapes that only weigh a history otherwise share them."""
    counted: dict[TransitionShape, sparse.csr_matrix] = {}
    for shape in SHAPES:
        ageless = replace(shape, age_decay=0.0)
        if ageless not in counted:
            counted[ageless] = transition_counts(histories, n_items, shape)
    return [Transitions(counted[replace(shape, age_decay=0.0)], shape) for shape in SHAPES]


def ranks_by_weight(
    logits_BI: Floats,
    ordered_BI: Floats,
    scores_BI: sparse.csr_matrix,
    targets_B: Integers,
    weights: Sequence[float],
) -> Integers:
    """The rank of each target under `logits + weight * scores`, for every weight: `ranks_WB`.

    Args:
        logits_BI: minus infinity where an item may not be recommended.
        ordered_BI: the same, each row in rising order.
    """
    n_users, n_items = logits_BI.shape
    rows_B = np.arange(n_users)
    scores_BI = scores_BI.tocsr()
    row_E = np.repeat(rows_B, np.diff(scores_BI.indptr))
    logit_E, score_E = logits_BI[row_E, scores_BI.indices], scores_BI.data
    target_score_B = np.asarray(scores_BI[rows_B, targets_B]).ravel()
    ranks = []
    for weight in weights:
        least_B = logits_BI[rows_B, targets_B] + weight * target_score_B
        above_B = np.array(
            [
                n_items - np.searchsorted(row_I, least, side="right")
                for row_I, least in zip(ordered_BI, least_B, strict=True)
            ]
        )
        risen_E = (logit_E + weight * score_E > least_B[row_E]) & (logit_E <= least_B[row_E])
        ranks.append(1 + above_B + np.bincount(row_E[risen_E], minlength=n_users))
    return np.stack(ranks).astype(np.int64)


def _best(figures: Floats) -> tuple[int, int]:
    """Shape and weight of the highest figure; of equals the smaller weight, then first shape."""
    weight = int(np.argmax(figures.max(axis=0)))
    return int(np.argmax(figures[:, weight])), weight
