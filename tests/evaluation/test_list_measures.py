"""Measures of lists by hand, and calibration and Gini beside other ways to compute them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score

from pipeline.evaluation.list_measures import (
    average_popularities,
    calibration_bins,
    calibration_error,
    diversities,
    gini,
    item_features,
    novelties,
    tail,
    tail_shares,
)

# Four items with 6, 3, 1 and 0 events: 10 events, 14 with one added to each.
EVENTS = np.array([6.0, 3.0, 1.0, 0.0])
LISTS = np.array([[0, 1], [2, 3]])


def test_popularity_and_novelty_by_hand() -> None:
    assert average_popularities(LISTS, EVENTS).tolist() == pytest.approx([0.75, 1 / 12])
    bits = [-math.log2(n / 14) / math.log2(14) for n in (7, 4, 2, 1)]
    expected = [(bits[0] + bits[1]) / 2, (bits[2] + bits[3]) / 2]
    assert novelties(LISTS, EVENTS).tolist() == pytest.approx(expected)
    assert bits[3] == 1.0


def test_the_head_is_the_fewest_items_with_four_fifths() -> None:
    assert tail(EVENTS).tolist() == [False, False, True, True]  # 6 + 3 of 10
    assert tail(np.array([8.0, 1.0, 1.0])).tolist() == [False, True, True]
    assert tail(np.zeros(2)).tolist() == [True, True]
    assert tail_shares(LISTS, EVENTS).tolist() == [0.0, 1.0]


def test_diversity_by_hand() -> None:
    features = item_features(
        ["Kitchen > Kettles", "Kitchen > Pans", "Kitchen > Kettles", "", ""],
        ["Acme", "Acme", "Acme", "", " "],
    )
    # Kettle and pan share the kitchen and the brand, of four different features.
    assert diversities(np.array([[0, 1]]), features).tolist() == [0.5]
    assert diversities(np.array([[0, 2]]), features).tolist() == [0.0]
    assert diversities(np.array([[0, 1, 2]]), features).tolist() == pytest.approx([1 / 3])
    assert diversities(np.array([[0, 3], [3, 4]]), features).tolist() == [0.0, 0.0]


def test_gini_from_even_to_one_item_only() -> None:
    sold = np.ones(4, dtype=np.bool_)
    assert gini(np.array([[0, 1], [2, 3]]), sold) == 0.0
    assert gini(np.array([[0], [0], [0]]), sold) == 1.0
    assert gini(np.zeros((0, 2), dtype=np.int64), sold) == 0.0
    # An item that is not sold takes no part.
    assert gini(np.array([[0, 1]]), np.array([True, True, False, False])) == 0.0


def test_gini_is_the_mean_difference() -> None:
    """N / (n - 1) times half the relative mean absolute difference, its definition."""
    lists = np.random.default_rng(3).integers(0, 9, (50, 4)) ** 2 % 9
    counts = np.bincount(lists.ravel(), minlength=9).astype(np.float64)
    mean_difference = np.abs(counts[:, None] - counts[None, :]).mean()
    expected = mean_difference / (2 * counts.mean()) * 9 / 8
    assert gini(lists, np.ones(9, dtype=np.bool_)) == pytest.approx(expected)


def test_calibration_by_hand() -> None:
    probabilities = np.array([[0.95, 0.05], [0.85, 0.05]])
    hits = np.array([[True, False], [False, False]])
    # Three bins: 0.05 twice, never; 0.85, not; 0.95, yes.
    expected = [(2, 0.05, 0.0), (1, 0.85, 0.0), (1, 0.95, 1.0)]
    for found, wanted in zip(calibration_bins(probabilities, hits), expected, strict=True):
        assert found == pytest.approx(wanted)
    assert calibration_error(probabilities, hits) == pytest.approx((0.1 + 0.85 + 0.05) / 4)
    assert calibration_error(np.zeros((0, 2)), np.zeros((0, 2), dtype=np.bool_)) == 0.0


def test_calibration_bins_are_scikit_learn_s() -> None:
    random = np.random.default_rng(5)
    probabilities = random.random((300, 1))
    hits = random.random((300, 1)) < probabilities
    bins = calibration_bins(probabilities, hits)
    found, expected = calibration_curve(hits.ravel(), probabilities.ravel(), n_bins=10)
    assert [rate for _, _, rate in bins] == pytest.approx(found.tolist())
    assert [mean for _, mean, _ in bins] == pytest.approx(expected.tolist())
    assert roc_auc_score(hits.ravel(), probabilities.ravel()) > 0.7  # the example means something
