"""Ranks under every weight are those of the dense sum, and a prior is chosen only if it helps."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from transformers import GPT2LMHeadModel

from pipeline.model.checkpoint import small_config
from pipeline.model.count_mixture import SAME_SHAPE, CountMixture, Weights
from pipeline.model.prior import Prior, load_prior
from pipeline.model.transitions import fit_transitions
from pipeline.model.user_history import UserHistory
from pipeline.model.vocabulary import build_vocabulary
from pipeline.ranking.held_out_ranks import Items, model_scorer, rank_users
from pipeline.ranking.metrics import target_ranks
from pipeline.training.prior_choice import (
    WEIGHTS,
    choose_mixture,
    choose_prior,
    measured_apart,
    ranks_by_weight,
)

N = 12
IDS = [f"i{n:02d}" for n in range(N)]
V = build_vocabulary(IDS, ["en"], ["kettle"] * 3, text_vocab_size=280)
ITEMS = Items(tuple(IDS), np.ones(N, dtype=np.bool_))
START = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)


def user(items: list[int]) -> UserHistory:
    """Everything but the last item is known."""
    names = tuple(IDS[n] for n in items)
    times = tuple(START + dt.timedelta(hours=n) for n in range(len(items)))
    kinds = ("view",) * len(items)
    return UserHistory("u", names, kinds, times, (), (), (), "en", len(items) - 1, "validation")


def model() -> GPT2LMHeadModel:
    torch.manual_seed(3)
    config = small_config(V, n_layer=1, n_head=2, n_embd=8, n_positions=16, dropout=0.0)
    return GPT2LMHeadModel(config).eval()


def test_ranks_are_those_of_the_dense_sum() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(size=(30, N))
    logits[:, 4] = -np.inf
    targets = random.integers(5, N, 30)
    scores = sparse.random(30, N, 0.4, "csr", random_state=2)
    found = ranks_by_weight(logits, np.sort(logits, axis=1), scores, targets, WEIGHTS)
    for ranks, weight in zip(found, WEIGHTS, strict=True):
        expected = target_ranks(logits + weight * scores.toarray(), targets)
        assert np.array_equal(ranks, expected), weight


def test_transitions_that_tell_the_next_item_are_used() -> None:
    walks = [[n % N, (n + 1) % N, (n + 2) % N, (n + 3) % N] for n in range(N)]
    users = [user(walk) for walk in walks]
    pasts = [user.item_ids for user in users]
    prior = choose_prior(model(), V, pasts, users, ITEMS, 50, 10, mask_owned=True)
    assert prior.weight > 0
    with_it = model_scorer(model(), V, ITEMS, 50, prior)
    assert rank_users(with_it, users, ITEMS, 10, mask_owned=True).rank_B.tolist() == [1] * N


def test_owned_items_are_in_the_way_only_where_they_may_come_again() -> None:
    """The counts speak for the eight owned items first: the held-out one is at best the ninth."""
    owned, wanted = list(range(8)), 10
    asked = user([*owned, wanted])
    asked = UserHistory(**{**asked.__dict__, "event_types": ("purchase",) * 9})
    there, back = [IDS[n] for n in owned], [IDS[n] for n in reversed(owned)]
    pasts = [there, back] * 50 + [[IDS[n], IDS[wanted]] for n in owned]
    weights = {
        mask: choose_prior(
            model(), V, pasts, [asked], ITEMS, 50, len(owned), mask_owned=mask
        ).weight
        for mask in (True, False)
    }
    assert weights[True] > 0
    assert weights[False] == 0


def test_where_orders_are_sets_what_is_bought_together_is_used() -> None:
    # Three things of a shelf, then two of another, then the shelf's last: what came last misleads.
    random = np.random.default_rng(5)
    shelves = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    histories = [random.permutation(shelves[n % 3]).tolist() for n in range(60)]
    walks = [
        [*history[:3], *random.permutation(shelves[(n + 1) % 3])[:2], history[3]]
        for n, history in enumerate(histories)
    ]
    users = [user([int(item) for item in walk]) for walk in walks]
    pasts = [[IDS[item] for item in row] for row in histories]
    prior = choose_prior(model(), V, pasts, users, ITEMS, 50, 10, mask_owned=True)
    assert prior.weight > 0
    assert prior.transitions.shape.together


def test_transitions_that_mislead_get_no_weight() -> None:
    # What was counted stands five apart; what is held out comes next.
    users = [user([n % N, (n + 1) % N]) for n in range(N)]
    pasts = [[IDS[(n + 5) % N], IDS[n % N]] for n in range(N)]
    prior = choose_prior(model(), V, pasts, users, ITEMS, 50, 10, mask_owned=True)
    assert prior.weight == 0
    assert choose_prior(model(), V, pasts, [], ITEMS, 50, 10, mask_owned=True).weight == 0


@pytest.mark.parametrize("prior", [None, Prior(fit_transitions([[0, 1, 2]], N), 0.0)])
def test_without_weight_scores_are_the_models_own(prior: Prior | None) -> None:
    users = [user([0, 1, 2]), user([5, 6])]
    plain = model_scorer(model(), V, ITEMS, 50)(users)
    assert np.array_equal(model_scorer(model(), V, ITEMS, 50, prior)(users), plain)


def test_a_weighed_prior_is_added_item_by_item() -> None:
    prior = Prior(fit_transitions([[0, 1, 2], [1, 3]], N), 2.0)
    users = [user([0, 1, 2])]
    plain = model_scorer(model(), V, ITEMS, 50)(users)
    added = model_scorer(model(), V, ITEMS, 50, prior)(users) - plain
    expected = prior.scores([[0, 1]]).toarray()
    np.testing.assert_allclose(added, expected, atol=1e-6)
    assert expected[0, 2] > expected[0, 3] > 0


def test_what_is_held_out_is_not_counted() -> None:
    """The counts see what the caller passes as past: the known items, never the held-out one."""
    users = [user([0, 1, 2])]
    pasts = [u.known_items for u in users]
    prior = choose_prior(model(), V, pasts, users, ITEMS, 50, 10, mask_owned=True)
    counts = prior.transitions.counts_II
    assert counts[0, 1] > 0
    assert counts[:, 2].nnz == counts[2].nnz == 0


def regulars(n_users: int = 24) -> list[UserHistory]:
    """Each comes back to one item of their own, between items that tell nothing."""
    random = np.random.default_rng(6)
    users = []
    for n in range(n_users):
        own = n % N
        others = random.choice(np.delete(np.arange(N), own), 4, replace=False).tolist()
        users.append(user([own, others[0], own, others[1], own, *others[2:], own]))
    return users


def test_own_counts_are_used_where_shoppers_come_back_and_items_may() -> None:
    users = regulars()
    pasts = [u.known_items for u in users]
    found = choose_prior(model(), V, pasts, users, ITEMS, 50, 3, mask_owned=False)
    assert found.own_weight > 0
    ranks = [
        rank_users(model_scorer(model(), V, ITEMS, 50, prior), users, ITEMS, 3, mask_owned=False)
        for prior in (dataclasses.replace(found, own_weight=0.0), found)
    ]
    assert ranks[1].rank_B.mean() < ranks[0].rank_B.mean()
    masked = choose_prior(model(), V, pasts, users, ITEMS, 50, 3, mask_owned=True)
    assert masked.own_weight == 0


def test_where_nobody_ever_came_back_own_counts_get_no_weight() -> None:
    users = [user([n % N, (n + 1) % N, (n + 2) % N, (n + 3) % N]) for n in range(N)]
    pasts = [u.known_items for u in users]
    prior = choose_prior(model(), V, pasts, users, ITEMS, 50, 10, mask_owned=False)
    assert prior.own_weight == 0


def mixture_of(pasts: list[tuple[str, ...]], weight: float) -> CountMixture:
    """What follows, times a weight, and nothing else."""
    numbers = [[IDS.index(name) for name in past] for past in pasts]
    weights = Weights(np.array([0.0, 0.0, weight]), np.zeros(N))
    return CountMixture(
        fit_transitions(numbers, N, SAME_SHAPE), fit_transitions(numbers, N), weights
    )


@pytest.mark.parametrize(("sign", "taken"), [(1.0, True), (-1.0, False)])
def test_a_mixture_is_taken_unless_the_prior_ranks_better(sign: float, taken: bool) -> None:
    starts = [n // 2 for n in range(4 * N)]  # both halves hold the same walks
    users = [user([n % N, (n + 1) % N, (n + 2) % N, (n + 3) % N]) for n in starts]
    pasts = [u.item_ids for u in users]
    prior = choose_prior(model(), V, pasts, users, ITEMS, 50, 3, mask_owned=True)
    mixture = mixture_of(pasts, sign)
    found = choose_mixture(prior, mixture, model(), V, users, ITEMS, 50, 3, 0, mask_owned=True)
    if not taken:
        assert found is prior
        return
    assert found.mixture is mixture
    with_it = model_scorer(model(), V, ITEMS, 50, found)
    assert rank_users(with_it, users, ITEMS, 3, mask_owned=True).rank_B.tolist() == [1] * 4 * N
    nobody: list[UserHistory] = []
    assert (
        choose_mixture(prior, mixture, model(), V, nobody, ITEMS, 50, 3, 0, mask_owned=True)
        is prior
    )


@pytest.mark.parametrize(
    ("n_worse", "n_users", "taken"), [(0, 48, True), (0, 24, False), (1, 48, False)]
)
def test_a_mixture_needs_enough_users_and_the_priors_ndcg(
    n_worse: int, n_users: int, taken: bool
) -> None:
    """One user less well served is not provably worse, and still worse."""
    starts = [n // 2 for n in range(n_users)]  # both halves hold the same walks
    walks = [[n % N, (n + 1) % N, (n + 2) % N, (n + 3) % N] for n in starts]
    users = [user(walk) for walk in walks]
    pasts = [u.item_ids for u in users]
    mixture = mixture_of(pasts, 1.0)
    prior = choose_prior(model(), V, pasts, users, ITEMS, 50, 3, mask_owned=True)
    if n_worse:
        # Only the prior knows what follows the walk of one user.
        odd = [0, 5, 11]
        users.append(user(odd))
        prior = Prior(fit_transitions([*walks, *[odd] * 4], N), 16.0)
    found = choose_mixture(prior, mixture, model(), V, users, ITEMS, 50, 3, 0, mask_owned=True)
    assert (found is not prior) == taken


def test_the_model_alone_is_tried_beside_a_mixture() -> None:
    """Nobody is served by the prior, so that a mixture as bad is not worse; its weight is 0."""
    users = [user([n % N, (n + 1) % N, (n + 2) % N, (n + 3) % N]) for n in range(4 * N)]
    mixture = mixture_of([u.item_ids for u in users], -1.0)
    wrong = Prior(fit_transitions([[n % N, (n + 6) % N] for n in range(N)], N), 16.0)
    found = choose_mixture(wrong, mixture, model(), V, users, ITEMS, 50, 3, 0, mask_owned=True)
    assert found is wrong


def test_a_weight_is_measured_on_users_who_did_not_choose_it() -> None:
    tried_WB = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]])
    assert measured_apart(tried_WB).tolist() == [0.0] * 4
    assert measured_apart(np.array([[0.0] * 4, [1.0, 0.5, 1.0, 0.5]])).tolist() == [1, 0.5, 1, 0.5]


def test_own_strengths_by_hand_saved_and_read_again(tmp_path: Path) -> None:
    prior = Prior(fit_transitions([[0, 1], [1, 2]], N), 0.0, 3.0)
    assert not prior.adds_nothing
    expected = np.zeros((2, N))
    expected[0, [4, 5]] = 3 * np.log([1 + 2, 1 + 1])
    np.testing.assert_allclose(prior.scores([[4, 5, 4], []]).toarray(), expected)
    prior.save(tmp_path)
    again = load_prior(tmp_path, N)
    assert again is not None
    assert (again.weight, again.own_weight) == (0.0, 3.0)
    # A model that was saved before there were own counts has none.
    written = json.loads((tmp_path / "prior.json").read_text())
    del written["own_weight"]
    (tmp_path / "prior.json").write_text(json.dumps(written))
    before = load_prior(tmp_path, N)
    assert before is not None
    assert before.adds_nothing
