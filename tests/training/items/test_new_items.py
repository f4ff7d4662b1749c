"""New items take their place among the met ones, and move nothing else."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
import torch
from scipy import sparse
from transformers import GPT2LMHeadModel

from pipeline.lake import Lake, Run
from pipeline.model.checkpoint import load_checkpoint, small_config
from pipeline.model.count_mixture import SAME_SHAPE, CountMixture, Weights
from pipeline.model.prior import Prior, mixed_prior
from pipeline.model.transitions import TransitionShape, fit_transitions
from pipeline.model.user_history import UserHistory
from pipeline.model.vocabulary import build_vocabulary
from pipeline.ranking.held_out_ranks import Items, model_scorer
from pipeline.settings import Settings
from pipeline.training.fine_tune import fine_tune
from pipeline.training.items.new_items import lift, with_stand_ins
from tests.lake_rows import write_rows
from tests.small_shop import N_ITEMS, NIGHT, RUN, catalogue_row, fill, quick

N = 6
IDS = [f"i{n}" for n in range(N)]
V = build_vocabulary(IDS, ["en"], ["kettle"] * 3, text_vocab_size=280)
MET = np.array([True, True, True, True, False, False])
NEW = ~MET
# i4 is described as i0 and i1 are, i5 as nothing else.
FEATURES = sparse.csr_matrix(
    [[1.0, 0, 0], [1.0, 0, 0], [0, 1.0, 0], [0, 1.0, 0], [1.0, 0, 0], [0, 0, 1.0]]
)
HISTORIES = [[2, 0], [2, 1], [2, 1], [0, 3]]


def shopper(items: list[int]) -> UserHistory:
    names = tuple(IDS[n] for n in items)
    start = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
    times = tuple(start + dt.timedelta(hours=n) for n in range(len(items)))
    return UserHistory("u", names, ("view",) * len(items), times, (), (), (), "en", None, None)


def model() -> GPT2LMHeadModel:
    torch.manual_seed(3)
    config = small_config(V, n_layer=1, n_head=2, n_embd=8, n_positions=16, dropout=0.0)
    return GPT2LMHeadModel(config).eval()


@pytest.mark.parametrize(
    "shape", [TransitionShape(window=1), TransitionShape(age_decay=1.0, together=True)]
)
def test_a_new_item_has_the_mean_counts_of_its_like(shape: TransitionShape) -> None:
    before = Prior(fit_transitions(HISTORIES, N, shape), 2.0)
    after = with_stand_ins(before, FEATURES, MET, NEW)
    old, new = (p.transitions.counts_II.toarray() for p in (before, after))
    assert np.array_equal(new[:4, :4], old[:4, :4])
    np.testing.assert_allclose(new[:4, 4], (old[:4, 0] + old[:4, 1]) / 2)
    assert new[2, 4] == 1.5  # after or with 2: 0 once, 1 twice
    assert not new[:, 5].any()  # nothing is like it
    assert new[4, 4] == (old[0, 0] + old[1, 1]) / 2
    assert (after.weight, after.transitions.shape) == (2.0, shape)
    scores = after.scores([[2]]).toarray()[0]
    low, high = sorted(before.scores([[2]]).toarray()[0, :2])
    assert low < scores[4] < high


def test_in_a_mixture_it_has_its_like_s_mean_weight_too() -> None:
    weights = Weights(np.ones(3), np.array([1.0, 3.0, 5.0, 7.0, -9.0, -8.0]))
    same, followed = fit_transitions(HISTORIES, N, SAME_SHAPE), fit_transitions(HISTORIES, N)
    before = mixed_prior(CountMixture(same, followed, weights), 2.0)
    after = with_stand_ins(before, FEATURES, MET, NEW)
    assert after.bias_I is not None
    assert after.bias_I.tolist() == [2.0, 6.0, 10.0, 14.0, 4.0, -16.0]
    assert after.mixture is not None
    assert after.transitions is after.mixture.same
    assert after.mixture.followed.counts_II[2, 4] == 1.5  # after 2: 0 once, 1 twice
    scores = after.scores([[2]]).toarray()[0]
    assert scores[4] > 0
    assert scores[5] == 0  # nothing is like it


def test_only_the_nearest_count() -> None:
    n = 14
    likeness = np.linspace(0.2, 0.9, n - 1)  # twelve met items, nearer and nearer
    features = sparse.csr_matrix([[like, np.sqrt(1 - like**2)] for like in likeness] + [[1.0, 0.0]])
    histories = [[first, 12] for first in range(3)]  # the nearest comes after the three farthest
    prior = Prior(fit_transitions(histories, n, TransitionShape(window=1)), 1.0)
    new = np.arange(n) == n - 1
    counts = with_stand_ins(prior, features, ~new, new).transitions.counts_II.toarray()
    assert counts[0, 13] == pytest.approx(counts[0, 12] / 10)


def test_new_items_stand_at_the_quantile_of_the_met_ones_and_met_ones_stay() -> None:
    gpt2, users = model(), [shopper([0, 1, 2]), shopper([3]), shopper([2, 1])]
    items = Items(tuple(IDS), np.ones(N, dtype=np.bool_))
    before = model_scorer(gpt2, V, items, 50)(users)
    weights = gpt2.transformer.wte.weight.detach().clone()
    lift(gpt2, V, users, MET, NEW, 0.75, 50)
    after = model_scorer(gpt2, V, items, 50)(users)
    np.testing.assert_allclose(after[:, MET], before[:, MET], atol=1e-6)
    level = np.quantile(before.mean(axis=0)[MET], 0.75)
    expected = np.maximum(before.mean(axis=0)[NEW], level)
    np.testing.assert_allclose(after.mean(axis=0)[NEW], expected, atol=1e-5)
    assert (expected > before.mean(axis=0)[NEW]).any()
    moved = (gpt2.transformer.wte.weight != weights).any(dim=1).nonzero().flatten().tolist()
    first = V.first_item_token
    assert set(moved) <= {first + 4, first + 5}
    # Again: they are where they should be.
    lift(gpt2, V, users, MET, NEW, 0.75, 50)
    np.testing.assert_allclose(model_scorer(gpt2, V, items, 50)(users), after, atol=1e-5)


@pytest.mark.parametrize(
    ("users", "met", "new"),
    [([], MET, NEW), ([shopper([0])], MET, MET & ~MET), ([shopper([0])], MET & ~MET, NEW)],
)
def test_where_there_is_nothing_to_compare_with_nothing_moves(
    users: list[UserHistory], met: np.ndarray, new: np.ndarray
) -> None:
    gpt2 = model()
    weights = gpt2.transformer.wte.weight.detach().clone()
    lift(gpt2, V, users, met, new, 0.75, 50)
    assert torch.equal(gpt2.transformer.wte.weight, weights)


def test_a_night_places_what_arrived_today(lake: Lake, settings: Settings) -> None:
    """The item of the day has counts in the prior; as learned (0) it has none."""
    arrived = catalogue_row(0) | {"item_id": "brand-new"}
    found = {}
    for quantile in (0.0, 0.75):
        root = Lake(lake.root / str(quantile))
        fill(root)
        rows = [*(catalogue_row(n) for n in range(N_ITEMS)), arrived]
        write_rows(root, "catalogue", Run(NIGHT, "two"), rows)
        fine_tune(root, RUN, quick(settings, new_item_quantile=quantile))
        made = load_checkpoint(root.require("models", NIGHT).path)
        assert made.prior is not None
        number = made.vocabulary.item_index["brand-new"]
        found[quantile] = made.prior.transitions.counts_II[:, [number]].sum()
    assert found[0.0] == 0 < found[0.75]
