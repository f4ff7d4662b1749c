"""Transitions against a sum by hand; a prior that weighs nothing changes nothing; safe on disk."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.model.prior import PRIOR_FILE, TRANSITIONS_FILE, Prior, load_prior
from pipeline.model.transitions import Transitions, TransitionShape, fit_transitions

HISTORIES = [[0, 1, 2], [0, 1], [1, 1, 3]]


def test_counts_by_hand() -> None:
    counts = fit_transitions(HISTORIES, 4, TransitionShape(window=2)).counts_II.toarray()
    far = 1 / math.sqrt(2)
    expected = np.zeros((4, 4))
    expected[0, 1] = 2  # next to each other in two histories
    expected[0, 2] = far  # two events apart
    expected[1, 2] = 1
    expected[1, 3] = 1 + far  # from both of the two events; an item never follows itself
    np.testing.assert_allclose(counts, expected)


def test_a_window_of_one_with_another_decay() -> None:
    counts = fit_transitions([[0, 1, 2, 3]], 4, TransitionShape(1)).counts_II.toarray()
    assert counts.sum() == 3
    counts = fit_transitions([[0, 1, 2, 3]], 4, TransitionShape(3, 0.5)).counts_II.toarray()
    assert (counts[0, 1], counts[0, 2], counts[0, 3]) == (1, 0.5, 0.25)


def test_scores_by_hand() -> None:
    shape = TransitionShape(window=2, age_decay=0.5)
    scores = fit_transitions(HISTORIES, 4, shape).scores([[0, 1], [3], []]).toarray()
    far = 1 / math.sqrt(2)
    newest = np.array([0, 0, math.log(2), math.log(2 + far)])
    before = np.array([0, math.log(3), math.log(1 + far), 0])
    np.testing.assert_allclose(scores[0], newest + 0.5 * before)
    assert not scores[1:].any()


def test_a_users_scores_do_not_depend_on_the_batch() -> None:
    random = np.random.default_rng(2)
    histories = [random.integers(0, 20, random.integers(0, 30)).tolist() for _ in range(40)]
    transitions = fit_transitions(histories, 20)
    together = transitions.scores(histories).toarray()
    alone = [transitions.scores([history]).toarray()[0] for history in histories]
    assert np.array_equal(together, np.stack(alone))


ORDERED = TransitionShape(2, 0.5, 0.75)
TOGETHER = TransitionShape(age_decay=0.5, together=True)


def test_together_counts_shoppers_by_hand() -> None:
    transitions = fit_transitions(HISTORIES, 4, TOGETHER)
    expected = np.array([[2, 2, 1, 0], [2, 3, 1, 1], [1, 1, 1, 0], [0, 1, 0, 1]])
    np.testing.assert_array_equal(transitions.counts_II.toarray(), expected)
    length = np.sqrt([2, 3, 1, 1])
    cosine = expected / np.outer(length, length)
    # 1 came twice: it counts once, where it came last.
    found = transitions.scores([[1, 0, 1], [3], []]).toarray()
    np.testing.assert_allclose(found, [cosine[1] + 0.5 * cosine[0], cosine[3], np.zeros(4)])


def test_together_without_age_the_order_of_a_basket_says_nothing() -> None:
    histories = [[0, 1, 2], [2, 3], [3, 1, 0]]
    shape = TransitionShape(age_decay=1.0, together=True)
    forwards = fit_transitions(histories, 4, shape)
    backwards = fit_transitions([row[::-1] for row in histories], 4, shape)
    one, other = forwards.scores(histories), backwards.scores([row[::-1] for row in histories])
    np.testing.assert_allclose(one.toarray(), other.toarray())


def test_together_looks_at_the_whole_history() -> None:
    transitions = fit_transitions([[0, 1], list(range(2, 40))], 40, TOGETHER)
    assert transitions.scores([[0, *range(2, 40)]])[0, 1] > 0


def test_together_there_are_no_distances() -> None:
    with pytest.raises(ValueError, match="no distances"):
        TOGETHER.distance_weights()


@pytest.mark.parametrize("histories", [[], [[]], [[0]], [[1, 1]]])
def test_nothing_follows_anything(histories: list[list[int]]) -> None:
    transitions = fit_transitions(histories, 2)
    assert transitions.counts_II.nnz == 0
    assert transitions.scores([[0, 1]]).nnz == 0
    assert transitions.scores([]).shape == (0, 2)


def test_a_prior_without_weight_adds_nothing() -> None:
    transitions = fit_transitions(HISTORIES, 4)
    assert Prior(transitions, 0.0).scores([[0, 1], [2]]).nnz == 0
    twice = Prior(transitions, 2.0).scores([[0, 1]]).toarray()
    np.testing.assert_allclose(twice, 2 * transitions.scores([[0, 1]]).toarray())


def saved(directory: Path, shape: TransitionShape = ORDERED) -> Prior:
    prior = Prior(fit_transitions(HISTORIES, 4, shape), 1.5)
    prior.save(directory)
    return prior


@pytest.mark.parametrize("shape", [ORDERED, TOGETHER])
def test_it_comes_back(tmp_path: Path, shape: TransitionShape) -> None:
    prior = saved(tmp_path, shape)
    loaded = load_prior(tmp_path, 4)
    assert loaded is not None
    assert (loaded.weight, loaded.transitions.shape) == (1.5, prior.transitions.shape)
    np.testing.assert_allclose(
        loaded.scores([[0, 1]]).toarray(), prior.scores([[0, 1]]).toarray(), rtol=1e-6
    )


def test_a_model_without_one_and_damaged_ones(tmp_path: Path) -> None:
    assert load_prior(tmp_path, 4) is None
    saved(tmp_path)
    with pytest.raises(InputError, match="counts 4 items"):
        load_prior(tmp_path, 5)
    whole = (tmp_path / TRANSITIONS_FILE).read_bytes()
    (tmp_path / TRANSITIONS_FILE).write_bytes(whole[:-1] + b"x")
    with pytest.raises(InputError, match="damaged"):
        load_prior(tmp_path, 4)
    (tmp_path / TRANSITIONS_FILE).unlink()
    with pytest.raises(InputError, match=TRANSITIONS_FILE):
        load_prior(tmp_path, 4)
    (tmp_path / PRIOR_FILE).write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=PRIOR_FILE):
        load_prior(tmp_path, 4)


def test_counts_are_of_another_history_only() -> None:
    """What a scorer gets is a copy of nothing: scoring leaves the counts as they were."""
    transitions = fit_transitions(HISTORIES, 4)
    before = transitions.counts_II.toarray()
    transitions.scores(HISTORIES)
    assert np.array_equal(before, transitions.counts_II.toarray())
    assert isinstance(transitions, Transitions)
