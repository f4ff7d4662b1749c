"""The fallback ranks as the gate's baselines score, for one user as for many."""

from __future__ import annotations

import datetime as dt
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
from pipeline.generation.lists.fallback import Events, Fallback, fit_fallback
from pipeline.model.list_methods import (
    BASELINES,
    GP_TOPFREQ,
    POPULARITY,
    REPEAT_BASELINES,
    TIFU_KNN,
)
from pipeline.model.user_history import UserHistory
from pipeline.ranking import visit_baselines
from pipeline.ranking.baselines import ITEM_KNN, Markov, fit_markov, fit_popularity, known_events
from pipeline.ranking.held_out_ranks import Items
from pipeline.ranking.visit_baselines import visit_scorer

ITEMS = [f"i{n:02d}" for n in range(12)]
UNSELLABLE = {"i03", "i07"}
TARGETS = ("purchase", "rating")
COUNTED = [name for name in BASELINES if name not in REPEAT_BASELINES]


# Two events a day, so that a day is a visit with more than one item.
TIMES = pa.list_(pa.timestamp("us", tz="UTC"))


def times(items: Sequence[str]) -> list[dt.datetime]:
    first = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    return [first + dt.timedelta(days=place // 2) for place in range(len(items))]


def events(rows: Sequence[tuple[list[str], list[str], bool]]) -> Events:
    """What `rank` is told of the users' events beside the items."""
    return Events(
        pa.array([row[1] for row in rows], pa.list_(pa.string())),
        pa.array([times(row[0]) for row in rows], TIMES),
    )


def histories(tmp_path: Path, rows: list[tuple[list[str], list[str], bool]]) -> Path:
    schema = arrow_schema(load_contract("histories"))
    table = pa.table(
        {
            "item_ids": pa.array([row[0] for row in rows], schema.field("item_ids").type),
            "event_types": pa.array([row[1] for row in rows], schema.field("event_types").type),
            "consent": pa.array([row[2] for row in rows], pa.bool_()),
            "user_id": pa.array([f"{n:032x}" for n in range(len(rows))]),
            "event_times": pa.array([times(row[0]) for row in rows], TIMES),
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


@pytest.mark.parametrize("name", COUNTED)
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
        assert isinstance(fitted.counted, Markov)
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
    whole = fitted.rank(asked, no_exclusions(len(rows)), 4, events(rows))
    monkeypatch.setattr(fallback, "MAX_SCORES", 5 * len(ITEMS))
    parts = fitted.rank(asked, no_exclusions(len(rows)), 4, events(rows))
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
        counted = fit(path, name, types).counted
        assert isinstance(counted, Markov)
        found = counted.scores(pasts)
        np.testing.assert_allclose(found, measured.scores(pasts), rtol=1e-12)


@pytest.mark.parametrize("name", COUNTED)
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
    assert isinstance(whole, Markov)
    assert isinstance(parts, Markov)
    np.testing.assert_array_equal(parts.popularity.count_I, whole.popularity.count_I)
    np.testing.assert_allclose(
        parts.transitions.counts_II.toarray(), whole.transitions.counts_II.toarray(), rtol=1e-12
    )


@pytest.mark.parametrize("name", COUNTED)
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
        assert isinstance(fitted.counted, Markov)
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
    assert isinstance(fitted.counted, Markov)
    assert np.flatnonzero(fitted.counted.popularity.share_I).tolist() == [4, 5]
    assert fitted.counted.transitions.counts_II.nnz == 1


def test_nobody_and_nothing(tmp_path: Path) -> None:
    fitted = fit(histories(tmp_path, []))
    nobody = fitted.rank(pa.array([], pa.list_(pa.string())), no_exclusions(0), 3)
    assert nobody.items_UK.shape == (0, 3)
    # Without any past every item is as good as any other: item order.
    found = fitted.rank(pa.array([[]], pa.list_(pa.string())), no_exclusions(1), 3)
    assert found.items_UK.tolist() == [[0, 1, 2]]


def user_of(number: int, items: list[str], types: list[str]) -> UserHistory:
    empty: tuple[str, ...] = ()
    return UserHistory(
        f"{number:032x}",
        tuple(items),
        tuple(types),
        tuple(times(items)),
        empty,
        (),
        empty,
        None,
        None,
        None,
    )


@pytest.mark.parametrize("types", [TARGETS, ("view",), ("return",)])
@pytest.mark.parametrize("name", REPEAT_BASELINES)
@pytest.mark.parametrize("reference", [visit_baselines.MAX_REFERENCE, 9])
def test_repeat_baselines_rank_as_evaluation_scores(
    tmp_path: Path,
    rows: list[tuple[list[str], list[str], bool]],
    monkeypatch: pytest.MonkeyPatch,
    types: Sequence[str],
    name: str,
    reference: int,
) -> None:
    """To the last digit, whoever is asked and however many are referred to."""
    monkeypatch.setattr(visit_baselines, "MAX_REFERENCE", reference)
    monkeypatch.setattr(fallback, "MAX_REFERENCE", reference)
    rows = [*rows, ([], [], True), (["gone"], ["purchase"], True)]
    sellable = np.array([item not in UNSELLABLE for item in ITEMS])
    items = Items(tuple(ITEMS), sellable)
    users = [user_of(n, row[0], row[1]) for n, row in enumerate(rows)]
    known = [user for user, row in zip(users, rows, strict=True) if row[2]]
    past, targets = visit_baselines_events(known, types)
    popularity = fit_popularity(past, targets, len(ITEMS))
    scores = visit_scorer(name, known, items, popularity, types)(users)
    fitted = fit(histories(tmp_path, rows), name, types)
    asked = pa.array([row[0] for row in rows], pa.list_(pa.string()))
    found = fitted.rank(asked, no_exclusions(len(rows)), 10, events(rows))
    for user in range(len(rows)):
        own = scores[user][sellable]
        best = sorted(range(len(own)), key=lambda n: (-own[n], n))[:10]
        assert found.items_UK[user].tolist() == best
        np.testing.assert_array_equal(found.scores_UK[user], own[best])


def visit_baselines_events(
    known: Sequence[UserHistory], types: Sequence[str]
) -> tuple[list[list[int]], list[list[bool]]]:
    """What popularity is fit on."""
    return known_events(known, {item: n for n, item in enumerate(ITEMS)}, types)


def test_own_purchases_come_first_the_most_frequent_before_the_popular(tmp_path: Path) -> None:
    mine = ["i01", "i09", "i05", "i01"]
    others = [(["i02", "i04"], ["purchase"] * 2, True)] * 5
    rows = [(mine, ["purchase", "view", "purchase", "purchase"], True), *others]
    fitted = fit(histories(tmp_path, rows), GP_TOPFREQ)
    found = fitted.rank(pa.array([mine]), no_exclusions(1), 5, events(rows[:1]))
    sellable = [item for item in ITEMS if item not in UNSELLABLE]
    assert [sellable[n] for n in found.items_UK[0]] == ["i01", "i05", "i02", "i04", "i00"]
    assert found.counted_UK[0].tolist() == [True, True, False, False, False]


def test_one_without_a_purchase_gets_what_is_popular_whatever_the_baseline(tmp_path: Path) -> None:
    rows = [(["i02", "i04"], ["purchase"] * 2, True), (["i04"], ["purchase"], True)]
    rows += [(["i09", "i09"], ["view"] * 2, True), ([], [], True)]
    for name in REPEAT_BASELINES:
        fitted = fit(histories(tmp_path, rows), name)
        asked = pa.array([row[0] for row in rows[2:]], pa.list_(pa.string()))
        found = fitted.rank(asked, no_exclusions(2), 2, events(rows[2:]))
        assert not found.counted_UK.any()
        sellable = [item for item in ITEMS if item not in UNSELLABLE]
        assert [[sellable[n] for n in user] for user in found.items_UK] == [["i04", "i02"]] * 2


def test_one_who_owns_everything_gets_nothing(tmp_path: Path) -> None:
    rows = [(list(ITEMS), ["purchase"] * len(ITEMS), True)]
    n_sellable = len(ITEMS) - len(UNSELLABLE)
    everything = exclusions(np.zeros(n_sellable, np.int64), np.arange(n_sellable), 1)
    for name in REPEAT_BASELINES:
        fitted = fit(histories(tmp_path, rows), name)
        found = fitted.rank(pa.array([rows[0][0]]), everything, 3, events(rows))
        assert found.items_UK.tolist() == [[-1, -1, -1]]
        assert list(found.errors) == [0]


def test_five_thousand_purchases(tmp_path: Path) -> None:
    long = [ITEMS[n % 3] for n in range(5000)]
    rows = [(long, ["purchase"] * 5000, True), (["i04", "i05"], ["purchase"] * 2, True)]
    fitted = fit(histories(tmp_path, rows), TIFU_KNN)
    found = fitted.rank(pa.array([long]), no_exclusions(1), 6, events(rows[:1]))
    assert np.isfinite(found.scores_UK).all()
    # What the two bought, before everything that nobody did.
    assert sorted(found.items_UK[0, :5].tolist()) == [0, 1, 2, 3, 4]
    assert found.counted_UK[0].tolist() == [True] * 5 + [False]


def test_a_rating_of_what_was_bought_is_no_second_purchase(tmp_path: Path) -> None:
    """Neither in lists nor in what evaluation measures."""
    bought = ["i01", "i05", "i01", "i05", "i05"]
    kinds = ["purchase", "purchase", "rating", "rating", "rating"]
    rated = ["i02", "i04", "i02"], ["rating", "purchase", "rating"]
    rows = [(bought, kinds, True), (*rated, True), (["i04"], ["purchase"], True)]
    fitted = fit(histories(tmp_path, rows), GP_TOPFREQ)
    asked = pa.array([row[0] for row in rows], pa.list_(pa.string()))
    found = fitted.rank(asked, no_exclusions(3), 12, events(rows))
    sellable = [item for item in ITEMS if item not in UNSELLABLE]
    users = [user_of(n, row[0], row[1]) for n, row in enumerate(rows)]
    index = {item: n for n, item in enumerate(ITEMS)}
    visits = visit_baselines.visits_of_users(users, index, TARGETS, every_event=False)
    counts = visits.counts_UI.toarray()
    for user, own in enumerate([{"i01", "i05"}, {"i02", "i04"}, {"i04"}]):
        assert {ITEMS[n] for n in np.flatnonzero(counts[user])} == own
        assert counts[user].max() == 1
        named = found.items_UK[user][found.counted_UK[user]]
        assert {sellable[n] for n in named} == own
    # Each was bought once: what is more popular comes first.
    assert counts.sum() == 5
