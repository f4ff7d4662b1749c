"""The mixture's scores against a sum by hand, one user at a time, and after a way over the disk."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.model.count_mixture import (
    MIXTURE_FILE,
    SAME_SHAPE,
    CountMixture,
    Weights,
)
from pipeline.model.prior import load_prior, mixed_prior
from pipeline.model.transitions import fit_transitions

HISTORIES = [[0, 1, 2], [0, 1], [1, 1, 3], [], [2]]
N = 5
NEW_I, AGAIN_I = np.array([0.0, -1.0, -2.0, -3.0, -4.0]), np.array([1.0, 2.0, 3.0, 4.0, 5.0])


def mixture(*, again: bool = True) -> CountMixture:
    return CountMixture(
        fit_transitions(HISTORIES, N, SAME_SHAPE),
        fit_transitions(HISTORIES, N),
        Weights(np.array([0.5, 0.25, 2.0]), NEW_I),
        Weights(np.array([0.1, 0.2, 0.3, 0.4, 0.5]), AGAIN_I) if again else None,
    )


def by_hand(one: CountMixture, history: list[int], item: int) -> float:
    cosines = one.same.strengths_II.toarray()
    distinct = list(dict.fromkeys(reversed(history)))
    same = sum(cosines[past, item] for past in distinct)
    recent = sum(cosines[past, item] * 0.9**age for age, past in enumerate(distinct))
    followed = one.followed.scores([history]).toarray()[0, item]
    features = [math.log1p(same / 0.05), math.log1p(recent / 0.05), math.log1p(followed / 0.1)]
    if one.again is None or item not in history:
        return float(NEW_I[item] + one.new.weight_F @ features)
    ages = [age for age, past in enumerate(reversed(history)) if past == item]
    features += [math.log1p(len(ages)), sum(0.9**age for age in ages)]
    return float(AGAIN_I[item] + one.again.weight_F @ features)


@pytest.mark.parametrize("again", [True, False])
def test_scores_are_those_by_hand(again: bool) -> None:
    one = mixture(again=again)
    scores = one.scores(HISTORIES).toarray() + NEW_I
    expected = [[by_hand(one, history, item) for item in range(N)] for history in HISTORIES]
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_nobody_s_scores_depend_on_another_s() -> None:
    """Of a user without a past, one with 5,000 events, and one with all items, among others."""
    long = np.random.default_rng(1).integers(0, N, 5000).tolist()
    people = [*HISTORIES, long, list(range(N))]
    together = mixture().scores(people).toarray()
    for user, history in enumerate(people):
        assert np.array_equal(mixture().scores([history]).toarray()[0], together[user])
    assert not together[HISTORIES.index([])].any()
    assert np.isfinite(together).all()


@pytest.mark.parametrize("again", [True, False])
def test_a_saved_mixture_scores_as_before(tmp_path: Path, again: bool) -> None:
    prior = mixed_prior(mixture(again=again), 1.5)
    prior.save(tmp_path)
    loaded = load_prior(tmp_path, N)
    assert loaded is not None
    assert not loaded.adds_nothing
    # Counts are kept in single precision.
    np.testing.assert_allclose(
        loaded.scores(HISTORIES).toarray(), prior.scores(HISTORIES).toarray(), rtol=1e-6
    )
    assert loaded.bias_I is not None
    assert np.array_equal(loaded.bias_I, 1.5 * NEW_I)


def test_a_damaged_mixture_is_refused(tmp_path: Path) -> None:
    mixed_prior(mixture(), 1.0).save(tmp_path)
    file = tmp_path / MIXTURE_FILE
    written = file.read_bytes()
    file.write_bytes(written[:-1] + bytes([written[-1] ^ 1]))
    with pytest.raises(InputError, match=r"mixture\.safetensors is damaged"):
        load_prior(tmp_path, N)
