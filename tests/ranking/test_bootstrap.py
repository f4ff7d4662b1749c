"""Intervals beside scipy's, keyed and paired."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from pipeline.ranking import bootstrap as module
from pipeline.ranking.bootstrap import difference_interval, mean_intervals


def test_like_scipy() -> None:
    values = np.random.default_rng(1).gamma(2.0, 0.1, 200)
    ours = mean_intervals(values[:, None], seed=3)[0]
    theirs = bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.mean == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.06 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.06 * width)


def test_draws_are_keyed_and_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).random((30, 2))
    whole = mean_intervals(values, seed=3)
    (alone,) = mean_intervals(values[:, :1], seed=3)
    assert (alone.low, alone.high) == pytest.approx((whole[0].low, whole[0].high))
    assert mean_intervals(values, seed=4) != whole
    monkeypatch.setattr(module, "_MAX_CELLS", 30 * 7)
    for parts, all_at_once in zip(mean_intervals(values, seed=3), whole, strict=True):
        assert (parts.low, parts.high) == pytest.approx((all_at_once.low, all_at_once.high))


def test_pairs_cancel_what_users_have_in_common() -> None:
    users = np.random.default_rng(1).random(100)
    paired = difference_interval(users + 0.01, users, seed=1)
    assert (paired.low, paired.high) == pytest.approx((0.01, 0.01))


def test_nobody() -> None:
    assert [str(i) for i in mean_intervals(np.zeros((0, 2)), 1)] == ["0.0000 [0.0000, 0.0000]"] * 2
