"""Triggers by hand: each kind and its edges, caps, quiet, what is compared with what."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from pipeline.contracts.arrow import check_table
from pipeline.contracts.contract import load_contract
from pipeline.datasets import HISTORIES, RECOMMENDATIONS, TRIGGERS
from pipeline.errors import InputError
from pipeline.lake import Run
from pipeline.lake_key import key_of_lake
from pipeline.pseudonym import pseudonym
from pipeline.targeting.shoppers import make_shoppers
from pipeline.targeting.triggers import make_past, make_triggers
from tests.lake_rows import read_rows, user_id_of, write_rows
from tests.targeting.conftest import NIGHT, Shop, act, day, version


def only(shop: Shop, kind: str, **more: object) -> Shop:
    return shop.with_triggers(kinds=(kind,), per_shopper=0, per_kind=0, per_item=0, **more)


def test_a_price_drop_of_what_was_viewed_and_carted(shop: Shop) -> None:
    shop = only(shop, "price_drop")
    shop.put("down", price=9.0)
    shop.put("little", price=9.6)  # 4 %
    shop.put("up", price=11.0)
    shop.put("gone", price=5.0, sellable=False)
    for name in ("down", "little", "up", "gone"):
        shop.does(act("ann", "view", name, 3), act("bob", "cart", name, 2))
    shop.does(act("cid", "view", "down", 0))  # saw the new price only
    shop.does(act("dot", "view", "down", 30))  # long ago
    made = shop.make()
    assert shop.found() == [
        ("ann", "price_drop", "down", "view"),
        ("bob", "price_drop", "down", "cart"),
    ]
    row = read_rows(shop.lake, TRIGGERS, NIGHT)[0]
    assert (row["price"], row["price_before"], row["lowest_price"]) == (9.0, 10.0, 10.0)
    assert (row["valid_from"], row["valid_until"]) == (day(-1), day(-3))
    assert made.report["kinds"] == {"price_drop": 2}


def test_a_wish_is_interest_more_than_a_view_and_less_than_a_cart(shop: Shop) -> None:
    shop = only(shop, "price_drop")
    shop.put("a", price=8.0)
    for name, kinds in (("ann", "view wishlist"), ("bob", "wishlist cart"), ("cid", "wishlist")):
        shop.does(*(act(name, kind, "a", 4 - n) for n, kind in enumerate(kinds.split())))
    shop.does(act("ann", "view", "a", 1))
    shop.make()
    assert {(user, because) for user, _, _, because in shop.found()} == {
        ("ann", "wishlist"),
        ("bob", "cart"),
        ("cid", "wishlist"),
    }


@pytest.mark.parametrize(
    ("share", "value", "drops"),
    [
        (0.0, 0.0, {"a", "b", "c"}),
        (0.1, 0.0, {"b", "c"}),
        (0.0, 2.0, {"c"}),
        (0.2, 1.0, {"b", "c"}),
    ],
)
def test_percentage_or_value(shop: Shop, share: float, value: float, drops: set[str]) -> None:
    shop = only(shop, "price_drop", price_drop_share=share, price_drop_value=value)
    for name, price in (("a", 9.99), ("b", 9.0), ("c", 8.0)):
        shop.put(name, price=price)
        shop.does(act("ann", "view", name, 2))
    shop.make()
    assert {item for _, _, item, _ in shop.found()} == drops


def test_a_price_is_compared_with_the_lowest_of_the_days_before(shop: Shop) -> None:
    shop.put("a", price=9.0)
    # 8 until ten days ago, then 10.
    shop.versions = [version("a", 60, price=8.0), version("a", 10, price=10.0)]
    shop.does(act("ann", "view", "a", 3))
    one_day = only(shop, "price_drop")
    one_day.make()
    assert len(one_day.found()) == 1
    assert read_rows(shop.lake, TRIGGERS, NIGHT)[0]["lowest_price"] == 8.0
    only(shop, "price_drop", price_days=30).make(run_id="two")
    assert shop.found() == []
    # The lower price ended on the eleventh day before, which ten days do not reach.
    only(shop, "price_drop", price_days=10).make(run_id="three")
    assert len(shop.found()) == 1
    only(shop, "price_drop", price_days=11).make(run_id="four")
    assert shop.found() == []


@pytest.mark.parametrize(
    "then", [{"stock": 0}, {"listed": False}, {"in_assortment": False}], ids=str
)
def test_back_in_stock(shop: Shop, then: dict[str, object]) -> None:
    shop = only(shop, "back_in_stock")
    shop.put("back", then)
    shop.put("out", {"stock": 0}, sellable=False)
    shop.put("there")
    for name in ("back", "out", "there"):
        shop.does(act("ann", "view", name, 3))
    shop.make()
    assert shop.found() == [("ann", "back_in_stock", "back", "view")]


def test_stock_that_is_not_said_is_there(shop: Shop) -> None:
    shop = only(shop, "back_in_stock")
    shop.put("a", {"stock": None}, stock=None)
    shop.does(act("ann", "view", "a", 3))
    shop.make()
    assert shop.found() == []


def test_a_cart_that_was_left(shop: Shop) -> None:
    shop = only(shop, "cart_left")
    for name in ("left", "bought", "again", "old"):
        shop.put(name)
    shop.put("out", sellable=False)
    shop.does(
        act("ann", "cart", "left", 2),
        act("ann", "cart", "bought", 2, 9),
        act("ann", "purchase", "bought", 2, 10),
        act("ann", "purchase", "again", 2, 9),
        act("ann", "cart", "again", 2, 10),
        act("ann", "cart", "old", 3),
        act("ann", "cart", "out", 1),
    )
    shop.make()
    assert {item for _, _, item, _ in shop.found()} == {"left", "again"}


def test_nothing_of_what_was_bought_meanwhile(shop: Shop) -> None:
    """Neither after a purchase nor after a rating alone; nor of what went back."""
    shop.put("a", {"stock": 0}, price=5.0)
    shop.does(*(act(name, "cart", "a", 2) for name in ("ann", "bob", "cid", "dot")))
    shop.does(act("ann", "purchase", "a", 0), act("bob", "rating", "a", 0))
    shop.does({**act("cid", "purchase", "a", 1), "cancelled": True})
    shop.make()
    assert shop.found() == [("dot", "cart_left", "a", "cart")]


def test_a_rating_after_the_purchase_ends_no_new_interest(shop: Shop) -> None:
    shop = only(shop, "cart_left")
    shop.put("a")
    shop.does(act("ann", "purchase", "a", 20), act("ann", "cart", "a", 2))
    shop.does(act("ann", "rating", "a", 1))
    shop.make()
    assert len(shop.found()) == 1


def test_due_again_by_the_shoppers_own_days(shop: Shop) -> None:
    """Bought every ten days, the last time eight days ago: due in two days."""
    shop.put("a")
    shop.does(*(act("ann", "purchase", "a", before) for before in (28, 18, 8)))
    shop.does(*(act("bob", "purchase", "a", before) for before in (22, 12, 2)))  # not yet
    shop.does(*(act("cid", "purchase", "a", before) for before in (70, 60, 50)))  # given up
    only(shop, "due_again").make()
    assert shop.found() == [("ann", "due_again", "a", "purchase")]
    (row,) = read_rows(shop.lake, TRIGGERS, NIGHT)
    assert (row["usual_days"], row["valid_until"]) == (10.0, day(-3))


def test_due_again_by_the_days_of_all_shoppers(shop: Shop) -> None:
    """Who bought once is due by the median of others, if there are enough."""
    shop.put("a")
    shop.does(act("ann", "purchase", "a", 9))
    for name in ("bob", "cid"):
        shop.does(*(act(name, "purchase", "a", before) for before in (48, 38, 28)))
    few = only(shop, "due_again")
    few.make()
    assert few.found() == []  # 4 gaps, 5 are asked for
    only(shop, "due_again", due_min_gaps=4).make(run_id="two")
    assert shop.found() == [("ann", "due_again", "a", "purchase")]


def test_the_days_behind_a_settled_purchase_are_no_usual_days(shop: Shop) -> None:
    """What was bought between it and the next act is forgotten."""
    shop.put("a")
    for name, last in (("ann", 8), ("bob", 40)):
        shop.does({**act(name, "purchase", "a", 400), "settled": True})
        shop.does(act(name, "purchase", "a", last + 10), act(name, "purchase", "a", last))
    shop.does(act("cid", "purchase", "a", 9))
    only(shop, "due_again", due_min_gaps=2).make()
    assert [user for user, *_ in shop.found()] == ["ann", "cid"]
    assert {row["usual_days"] for row in read_rows(shop.lake, TRIGGERS, NIGHT)} == {10.0}


def test_a_price_drop_of_what_is_owned_and_due(shop: Shop) -> None:
    shop = only(shop, "price_drop")
    shop.put("a", price=9.0)
    shop.does(*(act("ann", "purchase", "a", before) for before in (28, 18, 8)))
    shop.does(act("bob", "purchase", "a", 5))  # owned, and not due
    shop.make()
    assert shop.found() == [("ann", "price_drop", "a", "purchase")]


def test_a_new_arrival_of_a_followed_brand_or_category(shop: Shop) -> None:
    shop = only(shop, "new_arrival")
    shop.put("a", brand="Acme", category="Cups")
    shop.put("b", brand="Other", category="Pots")
    shop.items["new"] = {**shop.items["a"], "item_id": "new"}
    shop.items["new pot"] = {**shop.items["b"], "item_id": "new pot", "brand": "Third"}
    shop.does(*(act("ann", "view", "a", before) for before in (1, 2, 3)))
    shop.does(*(act("bob", "view", "b", before) for before in (1, 2, 3)))
    shop.does(*(act("cid", "view", "a", before) for before in (1, 2)))  # no follower yet
    shop.does(*(act("dot", "view", "a", before) for before in (1, 2, 3)))
    shop.does(act("dot", "view", "new", 0))  # has met it
    shop.make()
    assert shop.found() == [
        ("ann", "new_arrival", "new", "brand"),
        ("bob", "new_arrival", "new pot", "category"),
    ]


def test_nothing_is_new_in_a_first_catalogue(shop: Shop) -> None:
    shop.put("a", {"stock": 0}, price=1.0)
    shop.versions.clear()
    shop.does(*(act("ann", "view", "a", before) for before in (1, 2, 3)))
    shop.make()
    assert shop.found() == []


def test_win_back_once_the_silence_is_longer_than_usual(shop: Shop) -> None:
    """Every five days, then eleven days of nothing: more than twice as long, since tonight."""
    shop.put("a")
    for name, last in (("ann", 11), ("bob", 10), ("cid", 12)):
        shop.does(*(act(name, "search", None, last + 5 * n) for n in range(4)))
    shop.does(*(act("dot", "search", None, 11 + 5 * n) for n in range(3)))  # no rhythm
    only(shop, "win_back").make()
    assert shop.found() == [("ann", "win_back", None, "visits")]
    (row,) = read_rows(shop.lake, TRIGGERS, NIGHT)
    assert (row["usual_days"], row["title"]) == (5.0, None)


def test_caps_leave_the_best_and_the_ledger_counts_the_rest(shop: Shop) -> None:
    for number in range(4):
        shop.put(f"i{number}", price=5.0)
        shop.does(act("ann", "cart", f"i{number}", 1, number))
    shop.put("v", price=8.0)
    shop.put("w", price=4.0)
    shop.does(act("ann", "view", "v", 3), act("ann", "view", "w", 3))
    made = shop.make()
    # Two carts, the newest first, then the greater drop; each item once.
    assert shop.found() == [
        ("ann", "cart_left", "i3", "cart"),
        ("ann", "cart_left", "i2", "cart"),
        ("ann", "price_drop", "w", "view"),
    ]
    shoppers, candidates = (line.check() for line in made.lines)
    assert (shoppers.dataset, shoppers.rows_in, shoppers.rows_out) == (HISTORIES, 1, 1)
    assert (candidates.rows_in, candidates.rows_out) == (10, 3)
    assert candidates.removed == {"over_per_item": 4, "over_per_kind": 2, "over_per_shopper": 1}


def test_what_was_sent_is_not_sent_again_for_some_days(shop: Shop) -> None:
    shop = only(shop, "cart_left", cart_left_days=9)
    shop.put("a")
    shop.does(act("ann", "cart", "a", 8))
    for before, expected in ((7, 1), (6, 0), (0, 1)):
        made = shop.make(day(before))
        assert made.partition.rows == expected, before
        shop.publish(made)
    assert made.lines[1].removed == {}


def test_what_nobody_saw_keeps_nothing_quiet(shop: Shop) -> None:
    """Readers saw lists of that night without any, or what another run had made."""
    shop = only(shop, "cart_left")
    shop.put("a")
    shop.does(act("ann", "cart", "a", 2))
    shop.make(day(1))
    write_rows(shop.lake, RECOMMENDATIONS, Run(day(1), "other"), [])
    assert shop.make().partition.rows == 1


def test_of_one_purchase_it_is_said_once(shop: Shop) -> None:
    shop = only(shop, "due_again", quiet_days=1, due_early_days=3)
    shop.put("a")
    shop.does(*(act("ann", "purchase", "a", before) for before in (30, 20, 10)))
    for before, expected in ((3, 1), (2, 0), (1, 0), (0, 0)):
        made = shop.make(day(before))
        assert made.partition.rows == expected, before
        shop.publish(made)
    assert made.lines[1].removed == {"sent_before": 1}


def test_of_the_past_only_what_keeps_quiet_is_held(shop: Shop) -> None:
    """What nobody is quiet about any more, and of who gets none tonight, takes no memory."""
    shop = shop.with_triggers(per_shopper=0, per_item=0)
    for name in ("cart", "due"):
        shop.put(name)
    for user in ("ann", "bob"):
        shop.does(act(user, "cart", "cart", 9), act(user, "cart", "cart", 2))
        shop.does(*(act(user, "purchase", "due", before) for before in (40, 30, 20)))
    past = []
    for before in (8, 1):
        made = shop.make(day(before))
        past.append(made.partition)
        shop.publish(made)
    shop.people = {"bob": {"active": False}}
    shop.fill(Run(NIGHT, "one"))
    with duckdb.connect() as connection:
        make_shoppers(connection, shop.lake, shop.lake.require(HISTORIES, NIGHT), set())
        make_past(connection, past, NIGHT, quiet_days=7)
        held = connection.execute("SELECT run_date, user_id, kind FROM past ORDER BY 1").fetchall()
    ann = user_id_of("ann")
    assert held == [(day(8), ann, "due_again"), (day(1), ann, "cart_left")]


def test_a_night_that_was_missed_loses_no_price_drop(shop: Shop) -> None:
    shop = only(shop, "price_drop")
    shop.put("a", price=8.0)
    shop.versions.append(version("a", 1, price=8.0))
    shop.does(act("ann", "view", "a", 5))
    shop.items["a"]["price"] = 10.0
    shop.publish(shop.make(day(2)))
    shop.items["a"]["price"] = 8.0
    made = shop.make()
    assert (made.partition.rows, made.report["compared_with"]) == (1, "2026-03-18")
    (row,) = read_rows(shop.lake, TRIGGERS, NIGHT)
    assert row["price_before"] == 10.0


def test_after_a_long_pause_the_day_before_counts(shop: Shop) -> None:
    shop.put("a")
    shop.does(act("ann", "view", "a", 20))
    shop.publish(shop.make(day(8)))
    assert shop.make().report["compared_with"] == "2026-03-19"


def test_who_gets_nothing_is_counted(shop: Shop, tmp_path: Path) -> None:
    """By the first reason that holds; the quiet list has the shop's own ids or pseudonyms."""
    quiet = tmp_path / "quiet.txt"
    shop = shop.with_triggers(quiet_list=str(quiet))
    key = key_of_lake(shop.lake, shop.settings.privacy.key_file)
    shop.put("a")
    for name in ("ann", "bob", "cid", "dot", "eve", "fay"):
        shop.does(act(name, "view" if name == "fay" else "cart", "a", 1))
    own = {**act("ann", "cart", "a", 1), "user_id": pseudonym("customer 7", key)}
    shop.does(own)
    shop.people = {"bob": {"active": False}, "cid": {"consent": False}, "dot": {"consent": False}}
    quiet.write_text(f" customer 7\t\n\n{user_id_of('eve')}\nsomebody else\n", encoding="utf-8")
    made = shop.make()
    assert shop.found() == [("ann", "cart_left", "a", "cart")]
    assert made.lines[0].removed == {
        "inactive": 1,
        "no_consent": 2,
        "on_quiet_list": 2,
        "nothing_to_say": 1,
    }


def test_a_quiet_list_of_other_ids_lets_nobody_be_written_to(shop: Shop, tmp_path: Path) -> None:
    """The bare numbers, where the source maps `user_id` to something else."""
    quiet = tmp_path / "quiet.txt"
    quiet.write_text("7\n8\n", encoding="utf-8")
    shop = shop.with_triggers(quiet_list=str(quiet))
    key_of_lake(shop.lake, shop.settings.privacy.key_file)
    shop.put("a")
    shop.does(act("ann", "cart", "a", 1))
    with pytest.raises(InputError, match=r"none of the 2 lines .*quiet\.txt .* as the source maps"):
        shop.make()
    quiet.write_text(f"7\n{user_id_of('ann')}\n", encoding="utf-8")
    made = shop.make(run_id="two")
    assert (made.partition.rows, made.report["quiet_list_unknown"]) == (0, 1)


def test_a_quiet_list_that_is_not_there_stops(shop: Shop, tmp_path: Path) -> None:
    shop = shop.with_triggers(quiet_list=str(tmp_path / "none.txt"))
    shop.put("a")
    shop.does(act("ann", "cart", "a", 1))
    with pytest.raises(InputError, match=r"none\.txt \(triggers.quiet_list\): No such file"):
        shop.make()
    assert shop.lake.current(TRIGGERS, NIGHT) is None


@pytest.mark.parametrize("kinds", [(), ("win_back",), ("cart_left", "price_drop")], ids=str)
def test_only_the_kinds_that_are_asked_for(shop: Shop, kinds: tuple[str, ...]) -> None:
    shop = shop.with_triggers(kinds=kinds)
    shop.put("a", {"stock": 0}, price=5.0)
    shop.put("b", price=5.0)
    shop.does(act("ann", "cart", "a", 2), act("ann", "view", "b", 2))
    shop.make()
    assert {kind for _, kind, _, _ in shop.found()} == set(kinds) - {"win_back"}


def test_the_rows_keep_the_contract_and_again_are_the_same_bytes(shop: Shop) -> None:
    shop.put("a", {"stock": 0}, price=5.0)
    shop.does(*(act(name, "cart", "a", 1) for name in ("ann", "bob", "cid")))
    one = shop.make()
    for file in one.partition.files:
        check_table(pq.read_table(file), load_contract(TRIGGERS))
    again = make_triggers(shop.lake, Run(NIGHT, "two"), shop.settings)
    checksums = [[e["sha256"] for e in m.partition.manifest["files"]] for m in (one, again)]
    assert checksums[0] == checksums[1]


def test_a_shop_where_nobody_did_anything(shop: Shop) -> None:
    shop.put("a")
    made = shop.make()
    assert made.partition.rows == 0
    assert [line.check().rows_in for line in made.lines] == [0, 0]


def test_days_are_the_shops_not_of_utc(shop: Shop) -> None:
    """`event_date` says the day; the instant may be of another one in UTC."""
    shop = only(shop, "cart_left", cart_left_days=1)
    shop.put("a")
    late = act("ann", "cart", "a", 0)
    shop.does({**late, "event_time": late["event_time"] - dt.timedelta(days=1)})
    shop.make()
    assert len(shop.found()) == 1
