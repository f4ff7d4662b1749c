"""The shop's rules on whole nights, and what earlier nights sent: rows by hand into a lake."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from pipeline.lake import Run
from tests.generation_shop import (
    N_ITEMS,
    NIGHT,
    Row,
    Shop,
    catalogue_item,
    history,
    item,
    many_histories,
    rows_of,
)
from tests.lake_rows import user_id_of, write_rows

DAY = dt.timedelta(days=1)


def ids(row: Row) -> list[str]:
    return [entry["item_id"] for entry in row["items"]]


def by_user(rows: list[Row]) -> dict[str, Row]:
    return {row["user_id"]: row for row in rows}


def send(shop: Shop, night: dt.date, lists: dict[str, list[str]], files: int = 3) -> None:
    """Publish lists of an earlier night, a row a file."""
    rows = [
        {
            "user_id": user_id,
            "items": [
                {"rank": rank, "item_id": item_id, "score": -float(rank)}
                for rank, item_id in enumerate(items, 1)
            ],
            "n_items": len(items),
            "method": "model",
            "rules": [],
            "model_version": "before",
            "last_event_time": dt.datetime(2026, 2, 1, tzinfo=dt.UTC),
        }
        for user_id, items in lists.items()
    ]
    write_rows(shop.lake, "recommendations", Run(night, "sent"), rows, files=files)


@pytest.fixture
def categorised(shop: Shop) -> Shop:
    """Forty items of four categories, and some of none."""
    rows = [
        catalogue_item(item(n), category=None if n % 5 == 4 else f"Care > {n % 5}")
        for n in range(N_ITEMS)
    ]
    shop.put("catalogue", rows)
    return shop


def test_a_cap_per_category_holds_and_is_named_where_it_changed_a_list(categorised: Shop) -> None:
    plain = by_user(rows_of(categorised.generate("plain")))
    capped = rows_of(categorised.with_settings("generation", max_per_category=1).generate("capped"))
    changed = 0
    for row in capped:
        categories = [entry["category"] for entry in row["items"] if entry["category"]]
        assert len(set(categories)) == len(categories)
        assert len(set(ids(row))) == 5
        differs = ids(row) != ids(plain[row["user_id"]])
        assert row["rules"] == (["category_cap"] if differs else [])
        changed += differs
    assert changed > 0
    assert all(row["rules"] == [] for row in plain.values())


def test_a_deep_look_finds_what_the_cap_needs(shop: Shop) -> None:
    """All but two items are of one category, so that most pools of four lists are too short."""
    category = ["Rare A", "Rare B"] + ["Common"] * (N_ITEMS - 2)
    shop.put("catalogue", [catalogue_item(item(n), category=category[n]) for n in range(N_ITEMS)])
    shop.put("histories", [row | {"owned_item_ids": []} for row in many_histories(30, seed=3)])
    rows = rows_of(shop.with_settings("generation", max_per_category=1, k=3).generate())
    assert len(rows) == 30
    for row in rows:
        assert {entry["category"] for entry in row["items"]} == {"Rare A", "Rare B", "Common"}


def test_diversity_mixes_categories(categorised: Shop) -> None:
    def different(rows: list[Row]) -> float:
        return float(np.mean([len({e["category"] for e in row["items"]}) for row in rows]))

    plain = rows_of(categorised.generate("plain"))
    mixed = rows_of(categorised.with_settings("generation", diversity=5.0).generate("mixed"))
    assert different(mixed) > different(plain)
    assert {rule for row in mixed for rule in row["rules"]} == {"diversity"}


def test_a_fallback_whose_counted_items_gave_way_is_popularity_s(shop: Shop) -> None:
    shop.put_champion(None, fallback="item_knn")
    people = [history(who, [item(0), item(n)]) for who, n in (("tired", 1), ("fresh", 2))]
    shop.put("histories", people)
    send(shop, NIGHT - DAY, {user_id_of("tired"): [item(2)], user_id_of("fresh"): [item(9)]})
    rows = by_user(rows_of(shop.with_settings("generation", no_repeat_nights=1).generate()))
    tired, fresh = rows[user_id_of("tired")], rows[user_id_of("fresh")]
    assert item(2) not in ids(tired)
    assert ids(fresh)[0] == item(1)
    assert (tired["method"], fresh["method"]) == ("popularity", "item_knn")


def test_promotions_reach_who_is_meant_and_may_get_them(categorised: Shop, tmp_path: Path) -> None:
    (tmp_path / "promotions.toml").write_text(
        f"""
        [[promotion]]
        name = "spring"
        items = ["gone", "{item(1)}", "{item(2)}"]
        slot = 2
        languages = ["de"]
        """
    )
    shop = categorised.with_settings("generation", promotions=str(tmp_path / "promotions.toml"))
    people = [
        history("german", [item(9)], language="de-AT", owned_item_ids=[]),
        history("has-one", [item(1)], language="de"),
        history("has-both", [item(1), item(2)], language="de"),
        history("english", [item(9)], language="en", owned_item_ids=[]),
    ]
    shop.put("histories", people)
    rows = by_user(rows_of(shop.generate()))
    assert ids(rows[user_id_of("german")])[1] == item(1)
    assert rows[user_id_of("german")]["rules"] == ["promotion:spring"]
    assert ids(rows[user_id_of("has-one")])[1] == item(2)
    assert rows[user_id_of("has-both")]["rules"] == []
    assert rows[user_id_of("english")]["rules"] == []
    assert all(len(set(ids(row))) == 5 for row in rows.values())


def test_what_was_sent_and_ignored_is_not_sent_again(shop: Shop) -> None:
    people = many_histories(30, seed=3)
    tired = shop.with_settings("generation", no_repeat_nights=2)
    first = rows_of(shop.generate("first"))
    sent = {row["user_id"]: ids(row) for row in first}
    # User 0 looked at the best of theirs after it was sent, user 1 before.
    for user, when in ((0, NIGHT), (1, NIGHT - 2 * DAY)):
        row = people[user]
        row["item_ids"] = [*row["item_ids"], sent[row["user_id"]][0]]
        row["event_types"] = [*row["event_types"], "view"]
        noon = dt.datetime.combine(when, dt.time(12), dt.UTC)
        row["event_times"] = [*row["event_times"], noon]
    shop.put("histories", people)
    send(shop, NIGHT - DAY, sent)
    send(shop, NIGHT - 3 * DAY, {user: [item(n) for n in range(20)] for user in sent})  # too old
    rows = by_user(rows_of(tired.generate("second")))
    without = by_user(rows_of(shop.generate("without")))
    for number, row in enumerate(people):
        mine, user = rows[row["user_id"]], row["user_id"]
        repeated = set(ids(mine)) & set(sent[user])
        assert repeated <= ({sent[user][0]} if number == 0 else set())
        assert len(set(ids(mine))) == 5
        assert mine["rules"] == (["no_repeat"] if ids(mine) != ids(without[user]) else [])
    touched = sent[people[0]["user_id"]][0]
    assert (touched in ids(rows[people[0]["user_id"]])) == (
        touched in ids(without[people[0]["user_id"]])
    )
    assert sum(row["rules"] == ["no_repeat"] for row in rows.values()) >= 25


def test_a_small_shop_repeats_itself_and_says_so(shop: Shop) -> None:
    shop.put("catalogue", [catalogue_item(item(n)) for n in range(6)])
    shop.put("histories", [history("a", [item(30)], owned_item_ids=[])])
    send(shop, NIGHT - DAY, {user_id_of("a"): [item(n) for n in range(5)]})
    [row] = rows_of(shop.with_settings("generation", no_repeat_nights=1).generate())
    assert ids(row)[0] == item(5)
    assert sorted(ids(row)[1:]) == sorted(set(ids(row)) - {item(5)})
    assert row["n_items"] == 5
    assert row["rules"] == ["no_repeat", "no_repeat_lifted"]


@pytest.mark.parametrize("files", [1, 3, 4])
def test_what_was_sent_is_found_however_it_lies_in_files(shop: Shop, files: int) -> None:
    sent = {row["user_id"]: ids(row) for row in rows_of(shop.generate("first"))}
    send(shop, NIGHT - DAY, sent, files=files)
    rows = rows_of(shop.with_settings("generation", no_repeat_nights=1).generate("second"))
    assert all(not set(ids(row)) & set(sent[row["user_id"]]) for row in rows)
