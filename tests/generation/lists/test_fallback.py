"""The fallback ranks as the gate's baselines score, for one user as for many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.engine.exclusions import exclusions, no_exclusions
from pipeline.generation import sharded_rows
from pipeline.generation.lists import fallback
from pipeline.generation.lists.candidates import sellable_candidates
from pipeline.generation.lists.fallback import Fallback, fit_fallback
from pipeline.model.list_methods import BASELINES, POPULARITY
from pipeline.ranking.baselines import ITEM_KNN, fit_markov, fit_popularity

ITEMS = [f"i{n:02d}" for n in range(12)]
UNSELLABLE = {"i03", "i07"}
TARGETS = ("purchase", "rating")


def histories(tmp_path: Path, rows: list[tuple[list[str], list[str], bool]]) -> Path:
    schema = arrow_schema(load_contract("histories"))
    table = pa.table(
        {
            "item_ids": pa.array([row[0] for row in rows], schema.field("item_ids").type),
            "event_types": pa.array([row[1] for row in rows], schema.field("event_types").type),
            "consent": pa.array([row[2] for row in rows], pa.bool_()),
        }
    )
    path = tmp_path / "histories.parquet"
    pq.write_table(table, path)
    return path


def fit(path: Path, name: str = "markov", targets: Sequence[str] = TARGETS) -> Fallback:
    facts = {name: pa.nulls(len(ITEMS), pa.string()) for name in ("title", "brand", "category")}
    catalogue = pa.table(
        {
            "item_id": ITEMS,
            "sellable": [item not in UNSELLABLE for item in ITEMS],
            "price": pa.nulls(len(ITEMS), pa.float64()),
            **facts,
        }
    )
    candidates = sellable_candidates(catalogue, "x")
    return fit_fallback([path], pa.array(ITEMS), candidates, targets, name)


@pytest.fixture
def rows() -> list[tuple[list[str], list[str], bool]]:
    rng = np.random.default_rng(8)
    return [
        (
            [str(i) for i in rng.choice([*ITEMS[:10], "gone"], n)],
            [str(t) for t in rng.choice(["view", "purchase", "rating", "cart"], n)],
            bool(rng.random() < 0.8),
        )
        for n in rng.integers(1, 9, 60)
    ]


@pytest.mark.parametrize("name", BASELINES)
def test_ranks_as_the_baseline_scores(
    tmp_path: Path, rows: list[tuple[list[str], list[str], bool]], name: str
) -> None:
    fitted = fit(histories(tmp_path, rows), name)
    asked = [row[0] for row in rows] + [[], ["gone"], ["i11"]]
    arrow = pa.array(asked, pa.list_(pa.string()))
    rng = np.random.default_rng(9)
    excluded = exclusions(rng.integers(0, len(asked), 90), rng.integers(0, 10, 90), len(asked))
    found = fitted.rank(arrow, excluded, 4)
    sellable = [n for n, item in enumerate(ITEMS) if item not in UNSELLABLE]
    for user, items in enumerate(asked):
        numbers = [ITEMS.index(item) for item in items if item in ITEMS]
        scores = fitted.counted.scores([numbers])[0][sellable]
        scores[excluded.pairs_of(np.array([user]))[1]] = -np.inf
        best = sorted(range(len(sellable)), key=lambda n: (-scores[n], n))[:4]
        assert found.items_UK[user].tolist() == best
        np.testing.assert_allclose(found.scores_UK[user], scores[best])


@pytest.mark.parametrize("name", BASELINES)
def test_ranking_a_few_users_at_a_time_is_ranking_all(
    tmp_path: Path,
    rows: list[tuple[list[str], list[str], bool]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    fitted = fit(histories(tmp_path, rows), name)
    asked = pa.array([row[0] for row in rows], pa.list_(pa.string()))
    whole = fitted.rank(asked, no_exclusions(len(rows)), 4)
    monkeypatch.setattr(fallback, "MAX_SCORES", 5 * len(ITEMS))
    parts = fitted.rank(asked, no_exclusions(len(rows)), 4)
    np.testing.assert_array_equal(parts.items_UK, whole.items_UK)
    np.testing.assert_array_equal(parts.scores_UK, whole.scores_UK)


@pytest.mark.parametrize("types", [TARGETS, ("view",), ("view", "cart"), ("return",)])
def test_scores_are_those_that_evaluation_measures(
    tmp_path: Path, rows: list[tuple[list[str], list[str], bool]], types: Sequence[str]
) -> None:
    known = [row for row in rows if row[2]]
    pasts = [[ITEMS.index(item) for item in row[0] if item in ITEMS] for row in known]
    targets = [
        [kind in types for item, kind in zip(*row[:2], strict=True) if item in ITEMS]
        for row in known
    ]
    popularity = fit_popularity(pasts, targets, len(ITEMS))
    path = histories(tmp_path, rows)
    for name, measured in (
        ("popularity", popularity),
        ("markov", fit_markov(pasts, popularity, len(ITEMS))),
        ("item_knn", fit_markov(pasts, popularity, len(ITEMS), ITEM_KNN)),
    ):
        found = fit(path, name, types).counted.scores(pasts)
        np.testing.assert_allclose(found, measured.scores(pasts), rtol=1e-12)


@pytest.mark.parametrize("name", BASELINES)
def test_counting_a_few_users_at_a_time_is_counting_all(
    tmp_path: Path,
    rows: list[tuple[list[str], list[str], bool]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    path = histories(tmp_path, rows)
    whole = fit(path, name).counted
    monkeypatch.setattr(sharded_rows, "BATCH_ROWS", 7)
    parts = fit(path, name).counted
    np.testing.assert_array_equal(parts.popularity.count_I, whole.popularity.count_I)
    np.testing.assert_allclose(
        parts.transitions.counts_II.toarray(), whole.transitions.counts_II.toarray(), rtol=1e-12
    )


@pytest.mark.parametrize("name", BASELINES)
def test_says_which_listed_items_were_counted_with_the_users(
    tmp_path: Path, rows: list[tuple[list[str], list[str], bool]], name: str
) -> None:
    fitted = fit(histories(tmp_path, rows), name)
    asked = [["i01"], ["i11"], [], ["gone"], ["i01", "gone"], ["i01", "i02"]]
    rng = np.random.default_rng(9)
    excluded = exclusions(rng.integers(0, 6, 20), rng.integers(0, 10, 20), 6)
    found = fitted.rank(pa.array(asked, pa.list_(pa.string())), excluded, 12)
    sellable = [n for n, item in enumerate(ITEMS) if item not in UNSELLABLE]
    for user, items in enumerate(asked):
        numbers = [ITEMS.index(item) for item in items if item in ITEMS]
        strengths = fitted.counted.transitions.scores([numbers]).toarray()[0]
        for item, counted in zip(found.items_UK[user], found.counted_UK[user], strict=True):
            assert counted == (item >= 0 and strengths[sellable[item]] > 0)
    expected = [False] * 6 if name == POPULARITY else [True, False, False, False, True, True]
    assert found.counted_UK.any(axis=1).tolist() == expected


@pytest.mark.parametrize("name", ["markov", "item_knn"])
def test_a_pair_that_only_the_user_has_says_nothing_of_others(tmp_path: Path, name: str) -> None:
    pasts = [["i00", "i01"], ["i02", "i04"], ["i02", "i05"]]
    fitted = fit(histories(tmp_path, [(past, ["view"] * 2, True) for past in pasts]), name)
    asked = pa.array([["i00", "i01"]], pa.list_(pa.string()))
    owned = exclusions(np.array([0, 0]), np.array([0, 1]), 1)
    assert not fitted.rank(asked, owned, 4).counted_UK.any()
    assert fitted.rank(asked, no_exclusions(1), 4).counted_UK.any()


def test_those_who_did_not_consent_are_not_counted(tmp_path: Path) -> None:
    bought = ["purchase", "purchase"]
    path = histories(tmp_path, [(["i01", "i02"], bought, False), (["i04", "i05"], bought, True)])
    fitted = fit(path)
    assert np.flatnonzero(fitted.counted.popularity.share_I).tolist() == [4, 5]
    assert fitted.counted.transitions.counts_II.nnz == 1


def test_nobody_and_nothing(tmp_path: Path) -> None:
    fitted = fit(histories(tmp_path, []))
    nobody = fitted.rank(pa.array([], pa.list_(pa.string())), no_exclusions(0), 3)
    assert nobody.items_UK.shape == (0, 3)
    # Without any past every item is as good as any other: item order.
    found = fitted.rank(pa.array([[]], pa.list_(pa.string())), no_exclusions(1), 3)
    assert found.items_UK.tolist() == [[0, 1, 2]]
