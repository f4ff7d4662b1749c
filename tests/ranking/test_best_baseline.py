"""Which baseline lists fall back on."""

from __future__ import annotations

import pytest

from pipeline.model.list_methods import BASELINES, POPULARITY, REPEAT_BASELINES
from pipeline.ranking.baselines import SHAPES
from pipeline.ranking.best_baseline import DEFAULT, MIN_USERS, best_baseline
from tests.evaluation.test_promotion_gate import spread


def chosen(
    popularity: float, markov: float, item_knn: float, n_users: int = 50, noise: float = 0.0
) -> str | None:
    values = {
        "popularity": spread(popularity, n_users, noise, seed=1),
        "markov": spread(markov, n_users, noise, seed=2),
        "item_knn": spread(item_knn, n_users, noise, seed=3),
        "candidate": spread(0.9, n_users),
    }
    return best_baseline(values, seed=7)


@pytest.mark.parametrize(
    ("popularity", "markov", "item_knn", "name"),
    [
        (0.1, 0.2, 0.3, "item_knn"),
        (0.3, 0.2, 0.1, "popularity"),
        (0.1, 0.3, 0.2, "markov"),
        (0.2, 0.2, 0.2, "markov"),  # as good as the others: it stays
        (0.3, 0.2, 0.4, "item_knn"),
        (0.0, 0.0, 0.0, "markov"),
    ],
)
def test_the_best_by_far(popularity: float, markov: float, item_knn: float, name: str) -> None:
    assert chosen(popularity, markov, item_knn) == name


def test_what_may_be_luck_changes_nothing() -> None:
    assert chosen(0.1, 0.20, 0.22, noise=0.2) == "markov"
    assert chosen(0.1, 0.20, 0.22, noise=0.01) == "item_knn"


@pytest.mark.parametrize("n_users", [0, 1, MIN_USERS - 1])
def test_too_few_users_say_nothing(n_users: int) -> None:
    assert chosen(0.1, 0.2, 0.9, n_users) is None
    assert chosen(0.1, 0.2, 0.9, MIN_USERS) == "item_knn"


def test_whatever_is_measured_can_be_counted() -> None:
    assert set(BASELINES) == {POPULARITY, *SHAPES, *REPEAT_BASELINES}
    assert DEFAULT in BASELINES
