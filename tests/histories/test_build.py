"""The stage: what it commits, what its ledger says, what it refuses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from pipeline.errors import GateError, InputError, StorageError
from tests.histories.conftest import DAY, Shop, event, item, review, user
from tests.lake_rows import read_rows, user_id_of


def test_the_night_of_a_small_shop(small_shop: Callable[[], Shop]) -> None:
    shop = small_shop()
    built = shop.build()
    never = "rebuilt because there are no {} of an earlier night"
    assert built.report == {
        "built": {name: never.format(name) for name in ("acts", "catalogue", "user_attributes")},
        "items": 3,
        "sellable": 3,
        "item_changes": 4,
        "users": 2,
        "active": 2,
        "consenting": 2,
        "active_consenting": 2,
        "with_holdout": 2,
        "item_words": 0,
        "reviews_left_out_of_item_words": {},
        "item_events": 5,
        "cancelled_purchases": 0,
    }
    by_user = {row["user_id"]: row for row in read_rows(shop.lake, "histories", DAY)}
    ann = by_user[user_id_of("ann")]
    assert ann["item_ids"] == ["a", "a", "b"]
    assert ann["event_types"] == ["view", "purchase", "purchase"]
    assert ann["queries"] == ["kettle"]
    assert ann["owned_item_ids"] == ["a", "b"]
    assert ann["holdout_index"] == 2
    assert (ann["consent"], ann["language"]) == (True, "en")
    bob = by_user[user_id_of("bob")]
    assert bob["event_types"] == ["view", "rating"]
    assert (bob["consent"], bob["region"]) == (True, "ES")


def test_every_cleaned_row_is_accounted_for(small_shop: Callable[[], Shop]) -> None:
    shop = small_shop()
    shop.set(histories__max_events=1)
    lines = {line.dataset: line for line in shop.build().ledger}
    assert {name: line.unaccounted for name, line in lines.items()} == dict.fromkeys(
        ["acts", "histories", "user_attributes", "catalogue"], 0
    )
    acts, histories = lines["acts"], lines["histories"]
    assert (acts.rows_in, acts.rows_out, acts.removed) == (7, 7, {})
    assert (histories.rows_in, histories.rows_out) == (7, 2)
    assert histories.removed == {"search_not_an_item_event": 2, "older_than_max_events": 3}
    users, items = lines["user_attributes"], lines["catalogue"]
    assert (users.rows_in, users.rows_out) == (4, 2)
    assert users.removed == {"superseded": 1, "without_item_events": 1}
    assert (items.rows_in, items.rows_out, items.removed) == (4, 3, {"superseded": 1})


def test_an_event_delivered_again_counts_once(small_shop: Callable[[], Shop]) -> None:
    shop = small_shop()
    again = event("ann", "purchase", "b", "2026-03-01 08:00")
    shop.deliver(DAY - dt.timedelta(days=2), events=[again], reviews=[])
    built = shop.build()
    assert built.ledger[0].removed["delivered_again"] == 1
    ann = read_rows(shop.lake, "histories", DAY)
    assert sum(row["n_events"] for row in ann) == 5


def test_cleaning_a_delivery_again_changes_nothing(small_shop: Callable[[], Shop]) -> None:
    shop = small_shop()
    shop.build(run_id="first")
    first = _checksums(shop)
    events = read_rows(shop.lake, "cleaned_events", DAY)
    shop.deliver(run_id="r2", files=2, events=list(reversed(events)))
    shop.build(run_id="second")
    assert _checksums(shop) == first


def test_later_deliveries_change_nothing(small_shop: Callable[[], Shop]) -> None:
    shop = small_shop()
    shop.build(run_id="first")
    first = _checksums(shop)
    shop.deliver(
        DAY + dt.timedelta(days=1),
        items=[item("a", listed=False), item("z")],
        users=[user("ann", consent=False)],
        # A late event of the night's own day, and one of the next.
        events=[
            event("ann", "view", "c", "2026-03-01 12:00"),
            event("ann", "view", "c", "2026-03-02 12:00"),
        ],
        reviews=[review("ann", "a", "2026-03-01 13:00")],
    )
    shop.build(run_id="second")
    assert _checksums(shop) == first


def test_an_event_dated_after_the_night_is_left_out_and_counted(
    small_shop: Callable[[], Shop],
) -> None:
    shop = small_shop()
    shop.deliver(
        DAY - dt.timedelta(days=3),
        events=[event("ann", "view", "c", "2026-03-02 00:00")],
        reviews=[review("ann", "c", "2026-03-02 00:00")],
    )
    built = shop.build()
    assert built.report["item_events"] == 5
    assert built.ledger[1].removed["after_the_night"] == 2


def test_a_retry_replaces_its_own_attempt(small_shop: Callable[[], Shop]) -> None:
    shop = small_shop()
    shop.build(run_id="n1")
    first = _checksums(shop)
    shop.build(run_id="n1")
    assert _checksums(shop) == first


def test_an_attempt_that_fails_leaves_no_acts_in_the_scratch_space(
    small_shop: Callable[[], Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageError("the disk is full")

    shop = small_shop()
    monkeypatch.setattr("pipeline.histories.build.write_sorted", full)
    with pytest.raises(StorageError, match="the disk is full"):
        shop.build()
    left = [path for path in (shop.lake.root / "work").rglob("*") if path.is_file()]
    assert {path.parent.name for path in left} <= {"locks"}  # this process holds them


def test_no_item_at_all(shop: Shop) -> None:
    shop.deliver(items=[], events=[event("ann", "view", "a", "2026-03-01 08:00")])
    with pytest.raises(InputError, match="no item in cleaned_items up to 2026-03-01"):
        shop.build()


def test_fewer_sellable_items_than_a_list_has(small_shop: Callable[[], Shop]) -> None:
    shop = small_shop()
    shop.set(generation__k=4)
    (warning,) = shop.build().report["warnings"]
    assert "3 sellable of 3 items: lists are shorter than generation.k = 4" in warning


def test_nothing_that_can_be_sold(shop: Shop) -> None:
    sold_out = item("a") | {"listed": False}
    shop.deliver(items=[sold_out], events=[event("ann", "view", "a", "2026-03-01 08:00")])
    with pytest.raises(GateError, match="not one sellable item of 1"):
        shop.build()
    _assert_nothing_committed(shop)


def test_no_event_and_no_review(shop: Shop) -> None:
    shop.deliver(items=[item("a")], events=[], users=[user("ann")])
    with pytest.raises(GateError, match="no event and no review up to 2026-03-01"):
        shop.build()


def test_searches_alone_make_no_history(shop: Shop) -> None:
    search = event("ann", "search", None, "2026-03-01 08:00", query="tea")
    shop.deliver(items=[item("a")], events=[search], users=[user("ann")])
    with pytest.raises(GateError, match="searches alone do not"):
        shop.build()
    _assert_nothing_committed(shop)


def test_nobody_consented(shop: Shop) -> None:
    shop.deliver(items=[item("a")], events=[event("ann", "view", "a", "2026-03-01 08:00")])
    with pytest.raises(GateError, match="no user .* is active and has consented: 1 have events"):
        shop.build()
    _assert_nothing_committed(shop)


def _checksums(shop: Shop) -> list[tuple[str, str]]:
    return [
        (entry["path"], entry["sha256"])
        for name in ("acts", "catalogue", "user_attributes", "histories", "item_words")
        for entry in shop.lake.require(name, DAY).manifest["files"]
    ]


def _assert_nothing_committed(shop: Shop) -> None:
    for name in ("acts", "catalogue", "user_attributes", "histories", "item_words"):
        assert shop.lake.current(name, DAY) is None
