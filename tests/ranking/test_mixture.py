"""The mixture: learned weights, the expert alone where it is no better, and hard cases."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pipeline.ranking.experts import Experts, fit_experts
from pipeline.ranking.metrics import ndcgs, top_items
from pipeline.ranking.mixture import Mixture, alone_instead, gather, pair_rows
from pipeline.ranking.pair_logit import PairRows
from pipeline.ranking.tifu_knn import TifuShape
from pipeline.ranking.visits import Visits, visits_of

N_ITEMS = 30
Baskets = list[list[list[int]]]


def shop(seed: int, n_users: int = 120, *, repeats: bool = True) -> Baskets:
    """Users with favourites that come again (or never twice the same) and popular other items."""
    rng = np.random.default_rng(seed)
    popular = 1 / np.arange(1, N_ITEMS + 1)
    users: Baskets = []
    for _ in range(n_users):
        favourites = rng.choice(N_ITEMS, 3, replace=False)
        order = rng.choice(N_ITEMS, N_ITEMS, replace=False, p=popular / popular.sum()).tolist()
        baskets = []
        for _ in range(int(rng.integers(3, 7))):
            basket = [order.pop(0), order.pop(0)]
            if repeats:
                basket.append(int(rng.choice(favourites)))
            baskets.append(basket)
        users.append(baskets)
    return users


def held_out(users: Baskets) -> tuple[Visits, np.ndarray]:
    wanted = np.zeros((len(users), N_ITEMS), dtype=bool)
    for row, baskets in enumerate(users):
        wanted[row, baskets[-1]] = True
    return visits_of([baskets[:-1] for baskets in users], N_ITEMS), wanted


def learned(users: Baskets) -> Mixture:
    visits, wanted = held_out(users)
    experts = fit_experts(visits, TifuShape(neighbours=20))
    rows = pair_rows(experts)
    gather(rows, experts, visits, wanted)
    return Mixture(experts, rows.fit())


def ndcg(scores: np.ndarray, wanted: np.ndarray) -> float:
    hit = np.take_along_axis(wanted, top_items(scores, 5), axis=1)
    return float(ndcgs(hit, wanted.sum(axis=1)).mean())


def test_beats_every_single_expert_where_shoppers_repeat_and_explore() -> None:
    mixture = learned(shop(1, 300))
    visits, wanted = held_out(shop(2, 300))
    singles = {name: ndcg(of, wanted) for name, of in mixture.experts.scores(visits).items()}
    assert ndcg(mixture.scores(visits), wanted) > max(singles.values())


def test_is_the_logistic_regression_of_a_well_kept_library() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(40, 50, 3)).astype(np.float32)
    bought = rng.random((40, 50)) < 0.5
    odds = np.where(bought, x @ [1.0, -2.0, 0.5], x @ [0.0, 0.5, 0.0] - 2)
    wanted = rng.random((40, 50)) < 1 / (1 + np.exp(-odds))
    rows = PairRows(("a", "b", "pair"), ("a",), ("pair",), candidates=50)
    rows.add(x, bought, wanted)
    found = rows.fit(ridge=1e-6)
    weight = np.broadcast_to(1 / np.sqrt(wanted.sum(axis=1))[:, None], wanted.shape)
    for logit, here, used in ((found.bought, bought, [0, 1, 2]), (found.new, ~bought, [0, 1])):
        theirs = LogisticRegression(C=1e9, tol=1e-8, max_iter=1000)
        theirs.fit(x[here][:, used], wanted[here], sample_weight=weight[here])
        np.testing.assert_allclose(logit.weight_F[used], theirs.coef_[0], atol=2e-3)
        assert logit.bias == pytest.approx(theirs.intercept_[0], abs=2e-3)
    assert found.new.weight_F[2] == 0
    expected = np.where(
        bought,
        x @ found.bought.weight_F + found.bought.bias,
        x @ found.new.weight_F + found.new.bias,
    )
    np.testing.assert_allclose(found.scores(x, bought), expected, atol=1e-5)


def test_one_expert_alone_where_the_mixture_is_worse() -> None:
    worse, better = np.array([0.1, 0.3]), np.array([0.3, 0.2])
    assert alone_instead(worse, {"trend": better, "g_topfreq": worse}) == "trend"
    assert alone_instead(better, {"trend": worse}) is None
    assert alone_instead(better, {"trend": better}) is None
    mixture = learned(shop(1))
    visits, _ = held_out(shop(2))
    alone = Mixture(mixture.experts, mixture.logit, "gp_topfreq")
    np.testing.assert_array_equal(
        alone.scores(visits), mixture.experts.scores(visits)["gp_topfreq"]
    )


def test_where_nobody_ever_bought_twice_what_was_bought_is_never_first() -> None:
    mixture = learned(shop(1, repeats=False))
    assert not mixture.experts.repeats.rate_I.any()
    assert not mixture.logit.bought.weight_F.any()
    visits, _ = held_out(shop(2, repeats=False))
    top = top_items(mixture.scores(visits), 5)
    assert not np.take_along_axis(visits.counts_UI.toarray(), top, axis=1).any()


def experts_of(users: Baskets, n_items: int = N_ITEMS) -> Experts:
    return fit_experts(visits_of(users, n_items))


def test_a_shopper_without_history_gets_what_sells_now() -> None:
    mixture = learned(shop(1))
    found = mixture.scores(visits_of([[]], N_ITEMS))
    assert np.isfinite(found).all()
    trend = mixture.experts.trend.share_I
    assert len(set(top_items(found, 5)[0]) & set(np.argsort(-trend)[:8])) >= 4


def test_a_shopper_with_five_thousand_purchases() -> None:
    rng = np.random.default_rng(4)
    long = [rng.integers(0, N_ITEMS, 5).tolist() for _ in range(1000)]
    mixture = learned([*shop(1), long])
    visits = visits_of([long, shop(2)[0]], N_ITEMS)
    found = mixture.scores(visits)
    assert np.isfinite(found).all()
    # Nobody's scores depend on whom they are asked with.
    np.testing.assert_allclose(found[1], mixture.scores(visits.of_users(1, 2))[0], rtol=1e-5)


def test_one_item_and_nobody() -> None:
    one = experts_of([[[0], [0]], [[0]]], 1)
    assert all(np.isfinite(of).all() for of in one.scores(visits_of([[[0]], []], 1)).values())
    feature, bought = one.features(visits_of([[[0]], []], 1))
    assert np.isfinite(feature).all()
    assert bought.tolist() == [[True], [False]]
    nobody = experts_of([])
    for of in nobody.scores(visits_of([[[1]], []], N_ITEMS)).values():
        assert np.isfinite(of).all()
    assert np.isfinite(nobody.features(visits_of([[[1]]], N_ITEMS))[0]).all()


def test_nothing_that_comes_after_moves_anything() -> None:
    """Experts and features as of a visit are those of a world without later visits."""
    users = shop(5)
    known, _ = held_out(users)
    asked = visits_of([user[:-1] for user in users], N_ITEMS)
    later = visits_of(users, N_ITEMS).before_newest()
    ours, theirs = fit_experts(known), fit_experts(later)
    np.testing.assert_allclose(ours.features(asked)[0], theirs.features(later)[0], rtol=1e-5)
