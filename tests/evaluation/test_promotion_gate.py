"""The gate's table of outcomes."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.promotion_gate import Decision, decide


def spread(mean: float, n_users: int = 50, noise: float = 0.0, seed: int = 1) -> np.ndarray:
    """Values of users with exactly this mean."""
    if not n_users:
        return np.zeros(0)
    values = np.random.default_rng(seed).normal(0, 1, n_users) * noise
    return values - values.mean() + mean


def judged(
    candidate: np.ndarray,
    popularity: float,
    markov: float,
    champion: np.ndarray | None,
    item_knn: float = 0.0,
) -> Decision:
    n_users = len(candidate)
    values = {
        "candidate": candidate,
        "popularity": spread(popularity, n_users),
        "markov": spread(markov, n_users),
        "item_knn": spread(item_knn, n_users),
    }
    return decide(values | ({} if champion is None else {"champion": champion}), 0.02, seed=7)


@pytest.mark.parametrize(
    ("candidate", "popularity", "markov", "champion", "promoted", "why"),
    [
        (
            0.30,
            0.10,
            0.20,
            None,
            True,
            "beats the best baseline, markov 0.2000 (difference +0.1000",
        ),
        (0.30, 0.10, 0.20, 0.29, True, "no worse than the champion's 0.2900"),
        (0.30, 0.10, 0.20, 0.305, True, "no worse than the champion's"),  # within 2 %
        (0.30, 0.10, 0.20, 0.31, False, "worse than the champion's 0.3100 by more than 2%"),
        (
            0.30,
            0.10,
            0.30,
            None,
            False,
            "level with markov 0.3000 and does not beat it",
        ),  # a tie is no win
        (0.30, 0.40, 0.20, 0.10, False, "does not beat popularity 0.4000"),
        (0.00, 0.00, 0.00, None, False, "level with popularity 0.0000 and does not beat it"),
    ],
)
def test_outcomes_without_noise(
    candidate: float,
    popularity: float,
    markov: float,
    champion: float | None,
    promoted: bool,
    why: str,
) -> None:
    before = None if champion is None else spread(champion)
    decision = judged(spread(candidate), popularity, markov, before)
    assert decision.promoted is promoted
    assert why in decision.why
    assert "50 users" in decision.why


def test_what_is_bought_by_the_same_shoppers_is_a_bar_too() -> None:
    decision = judged(spread(0.3), 0.1, 0.2, None, item_knn=0.31)
    assert not decision.promoted
    assert "does not beat item_knn 0.3100" in decision.why


def test_noise_is_no_reason_to_refuse_and_pairs_make_little_of_it() -> None:
    """The same two means: users who differ in luck only, and users who all lost a little."""
    before = spread(0.31, noise=0.3, seed=1)
    other_luck = spread(0.30, noise=0.3, seed=2)
    assert judged(other_luck, 0.1, 0.1, before).promoted
    everybody_lost = before - 0.01
    decision = judged(everybody_lost, 0.1, 0.1, before)
    assert not decision.promoted
    assert "difference -0.0100 [-0.0100, -0.0100]" in decision.why


def test_the_same_users_give_the_same_word() -> None:
    before, now = spread(0.31, 40, 0.2, 1), spread(0.29, 40, 0.2, 2)
    assert judged(now, 0.1, 0.1, before) == judged(now.copy(), 0.1, 0.1, before.copy())


def test_nobody_to_judge_by() -> None:
    decision = judged(np.zeros(0), 0.0, 0.0, None)
    assert not decision.promoted
    assert "nobody" in decision.why


@pytest.mark.parametrize(("lead", "promoted"), [(0.002, True), (-0.002, False)])
def test_what_noise_explains_is_level_and_the_mean_decides(lead: float, promoted: bool) -> None:
    decision = judged(spread(0.0232 + lead, 119, noise=0.1), 0.01, 0.0232, None)
    assert decision.promoted is promoted
    assert "level with" in decision.why
    assert "beats" not in decision.why
    assert f"difference {lead:+.4f}" in decision.why


def test_level_with_the_best_and_above_the_others_is_level() -> None:
    """The best of all baselines is looked at, not the first."""
    decision = judged(spread(0.21, 119, noise=0.3), 0.01, 0.05, None, item_knn=0.2)
    assert decision.promoted
    assert "level with the best baseline, item_knn 0.2000" in decision.why
