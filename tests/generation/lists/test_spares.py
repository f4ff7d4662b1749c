"""Spares below a list, and until when it holds: the list itself stays as it would be without."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.engine.exclusions import Integers, no_exclusions
from pipeline.generation.lists.candidates import Candidates
from pipeline.generation.lists.list_batch import ListBatch
from pipeline.generation.lists.list_maker import ListMaker
from pipeline.generation.lists.rerank import Pool, RerankRules, spares_below
from pipeline.generation.lists.reranker import Reranker
from pipeline.generation.night import Night
from pipeline.lake import Run
from tests.generation.lists.test_reranker import DAY, ids, send
from tests.generation_shop import (
    N_ITEMS,
    NIGHT,
    Row,
    Shop,
    catalogue_item,
    item,
    many_histories,
    rows_of,
)

K, M = 5, 3


def without_scores(row: Row) -> Row:
    listed = [{key: fact for key, fact in one.items() if key != "score"} for one in row["items"]]
    return {key: listed if key == "items" else fact for key, fact in row.items() if key != "spares"}


@pytest.mark.parametrize("case", ["model", "fallback", "rules", "no_repeat"])
def test_a_list_is_the_same_with_and_without_spares(shop: Shop, case: str, tmp_path: Path) -> None:
    if case == "fallback":
        shop.put_champion(None, fallback="item_knn")
    if case == "rules":
        shop.put(
            "catalogue",
            [
                catalogue_item(item(n), category=None if n % 9 == 8 else f"Care > {n % 9}")
                for n in range(N_ITEMS)
            ],
        )
        promotions = tmp_path / "promotions.toml"
        promotions.write_text(
            f'[[promotion]]\nname = "spring"\nitems = ["{item(1)}", "{item(2)}"]\nslot = 2\n'
        )
        shop = shop.with_settings("generation", max_per_category=1, promotions=str(promotions))
    people = many_histories(30, seed=3)
    ignored = [item(n) for n in range(0, N_ITEMS, 2)]
    if case == "no_repeat":
        send(shop, NIGHT - DAY, {row["user_id"]: ignored for row in people})
        shop = shop.with_settings("generation", no_repeat_nights=1)
    plain = rows_of(shop.generate("plain"))
    more = rows_of(shop.with_settings("generation", spares=M, valid_days=2).generate("more"))
    owned = {row["user_id"]: row["owned_item_ids"] for row in people}
    n_spares = 0
    for before, row in zip(plain, more, strict=True):
        assert before["valid_until"] == NIGHT + dt.timedelta(days=7)
        assert row["valid_until"] == NIGHT + dt.timedelta(days=2)
        assert before["spares"] == []
        assert without_scores(row) | {"valid_until": 0} == without_scores(before) | {
            "valid_until": 0
        }
        scores = ([one["score"] for one in of["items"]] for of in (row, before))
        assert next(scores) == pytest.approx(next(scores), abs=2e-5)
        both = [*row["items"], *row["spares"]]
        found = [one["item_id"] for one in both]
        assert len(set(found)) == len(found)
        assert [one["rank"] for one in both] == list(range(1, len(both) + 1))
        assert not set(found) & set(owned[row["user_id"]])
        if case == "rules":
            kinds = [one["category"] for one in both if one["category"]]
            assert len(set(kinds)) == len(kinds)
        if case == "no_repeat":
            assert not {one["item_id"] for one in row["spares"]} & set(ignored)
        n_spares += len(row["spares"])
    assert n_spares == M * len(plain)


def test_a_list_that_is_short_has_no_spares(shop: Shop) -> None:
    few = [catalogue_item(item(n), sellable=n < K + 1) for n in range(N_ITEMS)]
    shop.put("catalogue", few)
    made = shop.with_settings("generation", spares=M).generate()
    lengths = {(row["n_items"], len(row["spares"])) for row in rows_of(made)}
    assert lengths >= {(K, 1), (K, 0)}
    assert all(spares == 0 or n == K for n, spares in lengths)


def test_spares_keep_the_cap_and_are_none_that_were_ignored() -> None:
    rules = RerankRules(per_category=1, ignored=frozenset({7}))
    pool = Pool(list(range(9)), [float(-n) for n in range(9)], whole=True)
    assert spares_below(pool, [0, 1], [0, 1, 0, 1, 2, 2, 3, 4, -1], rules, 5) == [4, 6, 8]


def test_spares_are_looked_for_deeper_and_the_list_stays(shop: Shop) -> None:
    """Three items of forty are of another category than the rest: most pools have none of them."""
    kinds = {item(n): f"Rare {n}" for n in range(3)}
    rows = [catalogue_item(item(n), category=kinds.get(item(n), "Common")) for n in range(N_ITEMS)]
    shop.put("catalogue", rows)
    shop.put("histories", [row | {"owned_item_ids": []} for row in many_histories(30, seed=3)])
    shop = shop.with_settings("generation", max_per_category=1, k=2)
    plain = rows_of(shop.generate("plain"))
    more = rows_of(shop.with_settings("generation", spares=2).generate("more"))
    for before, row in zip(plain, more, strict=True):
        assert without_scores(row) == without_scores(before)
        both = [one["category"] for one in (*row["items"], *row["spares"])]
        assert sorted(both) == ["Common", "Rare 0", "Rare 1", "Rare 2"]


def spares_and_depths(
    categories: Sequence[str | None], ignored: Sequence[frozenset[str]], *, m: int, cap: int
) -> tuple[list[list[int]], list[int]]:
    """The spares of users whose ranking is 0, 1, 2 …, K = 2; and how deep each call ranked."""
    names = [f"i{n:05}" for n in range(len(categories))]
    category_of = {name: kind for name, kind in zip(names, categories, strict=True) if kind}
    reranker = Reranker(
        Candidates(pa.table({"item_id": names})),
        category_of,
        [],
        k=2,
        spares=m,
        per_category=cap,
        diversity=0,
    )
    depths: list[int] = []

    def rank_users(rows: Integers, size: int) -> ListBatch:
        depths.append(size)
        batch = ListBatch.empty(len(rows), size)
        batch.items_UK[:] = np.arange(size)
        batch.scores_UK[:] = -np.arange(size, dtype=float)
        return batch

    n = len(ignored)
    nobody = {"language": [None] * n, "region": [None] * n}
    users = pa.table(nobody | {"item_ids": pa.array([[]] * n, pa.list_(pa.string()))})
    batch = reranker.apply(users, no_exclusions(n), ignored, rank_users)
    assert (batch.items_UK[:, :2] >= 0).all()
    return [[item for item in row if item >= 0] for row in batch.items_UK[:, 2:].tolist()], depths


def test_the_catalogue_is_not_ranked_for_spares_that_the_cap_does_not_allow() -> None:
    nobody = [frozenset[str]()]
    # Two categories, one item of each, and the list has both: nothing is to be looked for.
    two = ["a", "b"] * 2000
    assert spares_and_depths(two, nobody, m=3, cap=1) == ([[]], [8])
    # Room for two spares; both are near, and no third is looked for.
    assert spares_and_depths(two, nobody, m=3, cap=2) == ([[2, 3]], [8])
    # A category of one item has room for one, whatever the cap.
    assert spares_and_depths(["a", "b", "c", *two], nobody, m=3, cap=1) == ([[2]], [8])
    # Without a cap there is room for all; so there is for items without a category.
    assert spares_and_depths(["a", "b", *[None] * 3000], nobody, m=3, cap=1)[0] == [[2, 3, 4]]


def test_what_has_room_is_not_looked_for_below_a_depth() -> None:
    nobody = [frozenset[str]()]
    far = ["a", "b"] * 2000 + ["c"] * 5
    assert spares_and_depths(far, nobody, m=3, cap=1) == ([[]], [8, 64])
    # The depth is each user's own, not that of who is ranked with them.
    near = ["a", "b"] * 33 + ["c"] + ["a"] * 4000
    alone = spares_and_depths(near, nobody, m=3, cap=1)[0]
    many = frozenset(f"i{n:05}" for n in range(3000, 3040))
    assert spares_and_depths(near, [nobody[0], many], m=3, cap=1)[0] == [*alone, [66]]
    assert alone == [[]]
    # As many spares as are asked for have a pool of their own length.
    [spares], depths = spares_and_depths([None] * 4000, nobody, m=100, cap=1)
    assert (spares, depths) == (list(range(2, 102)), [8, 64, 512])


@pytest.mark.parametrize("rules", [{}, {"max_per_category": 40}])
def test_past_the_deadline_last_nights_whole_lists_need_no_fallback(
    shop: Shop, rules: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [row | {"owned_item_ids": []} for row in many_histories(30, seed=3)]
    shop.put("histories", people)
    sent = [item(n) for n in range(K)]
    send(shop, NIGHT - DAY, {row["user_id"]: sent for row in people})
    shop = shop.with_settings("generation", spares=M, **rules)

    def none_needed(_: ListMaker) -> None:
        raise AssertionError("a fallback was fit")

    monkeypatch.setattr(ListMaker, "fallback", property(none_needed))
    past = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    rows = rows_of(Night(shop.lake, Run(NIGHT, "R"), shop.settings, past).generate())
    assert len(rows) == len(people)
    for row in rows:
        assert (row["method"], row["fallback_reason"]) == ("last_night", "deadline")
        assert (ids(row), row["spares"]) == (sent, [])
