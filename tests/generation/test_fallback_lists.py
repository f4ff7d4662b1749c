"""The fallback ranks as the gate's baselines score, one user at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.generation import sharded_rows
from pipeline.generation.candidates import exclusions, no_exclusions, sellable_candidates
from pipeline.generation.fallback import MARKOV, POPULARITY, Fallback, fit_fallback

ITEMS = [f"i{n:02d}" for n in range(12)]
UNSELLABLE = {"i03", "i07"}


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


def fit(path: Path) -> Fallback:
    facts = {name: pa.nulls(len(ITEMS), pa.string()) for name in ("title", "brand", "category")}
    catalogue = pa.table(
        {
            "item_id": ITEMS,
            "sellable": [item not in UNSELLABLE for item in ITEMS],
            "price": pa.nulls(len(ITEMS), pa.float64()),
            **facts,
        }
    )
    return fit_fallback([path], pa.array(ITEMS), sellable_candidates(catalogue, "x"))


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


def test_ranks_as_the_baseline_scores(
    tmp_path: Path, rows: list[tuple[list[str], list[str], bool]]
) -> None:
    fallback = fit(histories(tmp_path, rows))
    asked = [row[0] for row in rows] + [[], ["gone"], ["i11"]]
    arrow = pa.array(asked, pa.list_(pa.string()))
    rng = np.random.default_rng(9)
    excluded = exclusions(rng.integers(0, len(asked), 90), rng.integers(0, 10, 90), len(asked))
    found = fallback.rank(arrow, excluded, 4)
    sellable = [n for n, item in enumerate(ITEMS) if item not in UNSELLABLE]
    for user, items in enumerate(asked):
        numbers = [ITEMS.index(item) for item in items if item in ITEMS]
        scores = fallback.markov.scores([numbers])[0][sellable]
        scores[excluded.of(np.array([user]))[1]] = -np.inf
        best = sorted(range(len(sellable)), key=lambda n: (-scores[n], n))[:4]
        assert found.items_UK[user].tolist() == best
        np.testing.assert_allclose(found.scores_UK[user], scores[best])


def test_counting_a_few_users_at_a_time_is_counting_all(
    tmp_path: Path, rows: list[tuple[list[str], list[str], bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = histories(tmp_path, rows)
    whole = fit(path).markov
    monkeypatch.setattr(sharded_rows, "BATCH_ROWS", 7)
    parts = fit(path).markov
    np.testing.assert_array_equal(parts.popularity.count_I, whole.popularity.count_I)
    np.testing.assert_allclose(
        parts.transitions.counts_II.toarray(), whole.transitions.counts_II.toarray(), rtol=1e-12
    )


def test_says_who_made_the_list(
    tmp_path: Path, rows: list[tuple[list[str], list[str], bool]]
) -> None:
    fallback = fit(histories(tmp_path, rows))
    asked = pa.array([["i01"], ["i11"], [], ["gone"], ["i01", "gone"]], pa.list_(pa.string()))
    assert fallback.methods(asked) == [MARKOV, POPULARITY, POPULARITY, POPULARITY, MARKOV]


def test_those_who_did_not_consent_are_not_counted(tmp_path: Path) -> None:
    bought = ["purchase", "purchase"]
    path = histories(tmp_path, [(["i01", "i02"], bought, False), (["i04", "i05"], bought, True)])
    fallback = fit(path)
    assert np.flatnonzero(fallback.markov.popularity.share_I).tolist() == [4, 5]
    assert fallback.markov.transitions.counts_II.nnz == 1


def test_nobody_and_nothing(tmp_path: Path) -> None:
    fallback = fit(histories(tmp_path, []))
    nobody = fallback.rank(pa.array([], pa.list_(pa.string())), no_exclusions(0), 3)
    assert nobody.items_UK.shape == (0, 3)
    # Without any past every item is as good as any other: item order.
    found = fallback.rank(pa.array([[]], pa.list_(pa.string())), no_exclusions(1), 3)
    assert found.items_UK.tolist() == [[0, 1, 2]]
