"""Starting vectors: what is met together is near, words point at their items."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.training.items import item_vectors
from pipeline.training.items.item_vectors import co_occurrence_vectors, word_vectors

# Two groups of items that are never met across; item 6 is never met at all.
HISTORIES = [[0, 1, 2], [2, 1, 0], [1, 0, 2], [3, 4, 5], [5, 3, 4], [4, 5]]


def cosines(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: np.ndarray = (vectors @ vectors.T) / np.maximum(norms @ norms.T, 1e-12)
    return found


@pytest.mark.parametrize("dense", [0, 500])
def test_what_is_met_together_is_near(dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_vectors, "DENSE_ITEMS", dense)
    vectors = co_occurrence_vectors(HISTORIES, 7, 4)
    assert vectors.shape == (7, 4)
    near = cosines(vectors)
    for group in ([0, 1, 2], [3, 4, 5]):
        other = [n for n in range(6) if n not in group]
        assert near[np.ix_(group, group)].min() > near[np.ix_(group, other)].max() + 0.2
    assert not vectors[6].any()
    assert np.mean(vectors[:6] ** 2) == pytest.approx(1.0)


def test_two_ways_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    histories = [random.integers(0, 40, 12).tolist() for _ in range(60)]
    dense = co_occurrence_vectors(histories, 40, 8)
    monkeypatch.setattr(item_vectors, "DENSE_ITEMS", 0)
    iterated = co_occurrence_vectors(histories, 40, 8)
    # Eigenvectors are free in sign; what they say of pairs of items is not.
    np.testing.assert_allclose(dense @ dense.T, iterated @ iterated.T, atol=1e-8)
    again = co_occurrence_vectors(histories, 40, 8)
    assert np.array_equal(iterated, again)


@pytest.mark.parametrize("histories", [[], [[]], [[0]], [[0], [1]], [[0, 0, 0]]])
def test_nothing_met_with_anything(histories: list[list[int]]) -> None:
    assert not co_occurrence_vectors(histories, 2, 4).any()


def test_a_shop_of_one_item_and_of_none() -> None:
    assert co_occurrence_vectors([[0, 0]], 1, 4).shape == (1, 4)
    assert co_occurrence_vectors([], 0, 4).shape == (0, 4)


def test_words_point_at_the_items_they_name() -> None:
    vectors = co_occurrence_vectors(HISTORIES, 7, 4)
    # Token 0 names the first group, 1 the second, 2 stands in every title, 3 only in item 6's.
    titles = [[0, 2]] * 3 + [[1, 2]] * 3 + [[0, 3]]
    words = word_vectors(titles, vectors, 5)
    newcomer = words[titles[6]].mean(axis=0)
    first, second = vectors[:3].mean(axis=0), vectors[3:6].mean(axis=0)
    assert cosines(np.stack([newcomer, first]))[0, 1] > 0.8
    assert cosines(np.stack([newcomer, second]))[0, 1] < 0.5
    assert not words[4].any()
    assert word_vectors([[], []], np.zeros((2, 4)), 5).any() == np.False_
