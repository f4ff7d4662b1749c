"""Confidence intervals of means: percentile bootstrap over users (Efron & Tibshirani 1993, ch. 13).

A user is drawn with all their measures, so that two models compared on the same users are compared
in pairs (Sakai 2006). The draws are keyed: they depend on the seed and on the number of users, not
on what is measured or in which order.

Shapes: B users, R resamples, M measures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.ranking.metrics import Floats

CONFIDENCE = 0.95
RESAMPLES = 1000
# So many counts at a time: 64 MB.
_MAX_CELLS = 8 * 1024 * 1024


@dataclass(frozen=True)
class Interval:
    """A mean and the bounds between which it lies with `CONFIDENCE`."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


def mean_intervals(values_BM: Floats, seed: int) -> list[Interval]:
    """The mean of each column and its interval; zeros where there is nobody."""
    n_users, n_measures = values_BM.shape
    if n_users == 0:
        return [Interval(0.0, 0.0, 0.0)] * n_measures
    means_RM = np.concatenate([counts @ values_BM / n_users for counts in _counts(n_users, seed)])
    tail = (1 - CONFIDENCE) / 2
    low_M, high_M = np.quantile(means_RM, [tail, 1 - tail], axis=0)
    mean_M = values_BM.mean(axis=0)
    return [Interval(*map(float, bounds)) for bounds in zip(mean_M, low_M, high_M, strict=True)]


def difference_interval(first_B: Floats, second_B: Floats, seed: int) -> Interval:
    """Mean of first minus second, of the same users in the same order."""
    assert len(first_B) == len(second_B)
    return mean_intervals((first_B - second_B)[:, None], seed)[0]


def _counts(n_users: int, seed: int) -> Iterator[Floats]:
    """How often each user is drawn in each resample, a bounded number of resamples at a time."""
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, n_users])))
    chunk = max(1, _MAX_CELLS // n_users)
    for start in range(0, RESAMPLES, chunk):
        drawn = random.integers(0, n_users, (min(chunk, RESAMPLES - start), n_users))
        yield np.stack([np.bincount(row, minlength=n_users) for row in drawn]).astype(np.float64)
