"""A night falls back on what evaluation names, and says which it was."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.evaluation.evaluate import evaluate
from pipeline.generation import night
from pipeline.generation.shard_maker import ShardMaker
from pipeline.lake import Run
from pipeline.model.champion import champion_of
from pipeline.model.list_methods import BASELINES, REPEAT_BASELINES
from pipeline.model.user_history import UserHistory, read_histories
from tests.generation_shop import (
    N_ITEMS,
    NIGHT,
    Row,
    Shop,
    catalogue_item,
    checksums,
    history,
    item,
    many_histories,
    rows_of,
)
from tests.lake_rows import read_rows, user_id_of


class Killed(BaseException):
    """A process that is killed runs no handler."""


def listed(row: Row) -> list[str]:
    return [entry["item_id"] for entry in row["items"]]


@pytest.mark.parametrize("name", BASELINES)
def test_every_list_is_by_the_baseline_that_was_named(shop: Shop, name: str) -> None:
    shop.put_champion(None, fallback=name)
    made = shop.with_settings("generation", exclude_owned=False).generate()
    assert made.report["methods"].keys() <= {name, "popularity"}
    assert made.report["methods"][name] > 20
    assert made.report["fallback_reasons"] == {"no_champion": 30}


@pytest.mark.parametrize("name", ["markov", "item_knn"])
def test_a_list_that_popularity_ordered_says_so(shop: Shop, name: str) -> None:
    shop.put_champion(None, fallback=name)
    pairs = {
        "alone": (0, 1),
        "unsold": (2, 23),
        "unsold-2": (2, 3),
        "met": (4, 25),
        "met-2": (4, 5),
    }
    shop.put("histories", [history(who, [item(n) for n in pair]) for who, pair in pairs.items()])
    items = [catalogue_item(item(n), sellable=n not in {3, 23}) for n in range(N_ITEMS)]
    shop.put("catalogue", items)
    rows = {row["user_id"]: row for row in rows_of(shop.generate())}
    found = {who: rows[user_id_of(who)]["method"] for who in pairs}
    assert found == dict.fromkeys(("alone", "unsold", "unsold-2"), "popularity") | dict.fromkeys(
        ("met", "met-2"), name
    )
    assert rows[user_id_of("alone")]["reason"] != rows[user_id_of("met")]["reason"]


def with_held_out(rows: list[Row]) -> list[Row]:
    """Whose last item is a new one has it held out, half of them for validation."""
    return [
        row
        | (
            {"holdout_index": len(items) - 1, "holdout_split": ("validation", "test")[number % 2]}
            if len(items := row["item_ids"]) > 1 and items[-1] not in items[:-1]
            else {}
        )
        for number, row in enumerate(rows)
    ]


def before_held_out(user: UserHistory) -> Row:
    owned = sorted(user.owned_before_holdout())
    changed = {"user_id": user.user_id, "owned_item_ids": owned, "language": user.language}
    types = list(user.known_event_types)
    times = list(user.event_times[: user.n_known])
    return history("", list(user.known_items), event_types=types, event_times=times, **changed)


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("exclude_owned", [True, False])
@pytest.mark.parametrize("types", [("purchase", "rating"), ("view",), ("cart", "view")])
def test_what_is_sent_is_what_was_measured(
    shop: Shop, name: str, types: tuple[str, ...], exclude_owned: bool
) -> None:
    """The lists of the night before each held-out event have the NDCG that evaluation wrote."""
    exclude_owned = exclude_owned and name not in REPEAT_BASELINES
    shop = shop.with_settings("histories", target_event_types=types)
    shop = shop.with_settings("generation", exclude_owned=exclude_owned, k=20)
    shop = shop.with_settings("evaluation", k=20)
    shop.put("histories", with_held_out(many_histories(60, seed=4)))
    evaluate(shop.lake, Run(NIGHT, "evaluated"), shop.settings)
    measured = {
        row["split"]: row["value"]
        for row in read_rows(shop.lake, "metrics", NIGHT)
        if (row["model"], row["metric"], row["segment"]) == (name, "ndcg", "all")
    }
    users = read_histories(shop.lake, NIGHT)
    shop.put("histories", [before_held_out(user) for user in users])
    shop.put_champion(None, fallback=name)
    lists = {row["user_id"]: listed(row) for row in rows_of(shop.generate())}
    sent: dict[str, list[float]] = {"validation": [], "test": []}
    for user in users:
        if user.holdout_split is not None:
            found, wanted = lists[user.user_id], user.held_out_item
            place = found.index(wanted) if wanted in found else None
            sent[user.holdout_split].append(0.0 if place is None else 1 / np.log2(place + 2))
    assert all(len(values) > 15 and sum(values) > 0 for values in sent.values())
    assert {split: float(np.mean(values)) for split, values in sent.items()} == pytest.approx(
        measured
    )


def test_where_nothing_was_measured_it_is_what_follows_what(shop: Shop) -> None:
    shop.put_champion(None)
    unsaid = rows_of(shop.generate("R1"))
    shop.put_champion(None, fallback="markov")
    assert rows_of(shop.generate("R2")) == unsaid


def test_lists_keep_the_rules_whatever_the_baseline(shop: Shop) -> None:
    shop.put_champion(None, fallback="item_knn")
    people = many_histories(30, seed=3)
    # Item 20 goes with item 1 for those who said no, and for nobody else.
    refused = [history(f"no-{n}", [item(1), item(20)], consent=False) for n in range(9)]
    mine = history("mine", [item(1)], owned_item_ids=[item(1)])
    quiet = [person | {"active": False} for person in people[:15]]
    shop.put("histories", [*quiet, *people[15:], *refused, mine])
    unsellable = {item(5), item(11)}
    items = [catalogue_item(item(n), sellable=item(n) not in unsellable) for n in range(N_ITEMS)]
    shop.put("catalogue", items)
    rows = {row["user_id"]: row for row in rows_of(shop.generate())}
    assert rows.keys() == {row["user_id"] for row in [*people[15:], mine]}
    for person in [*people[15:], mine]:
        found = listed(rows[person["user_id"]])
        assert len(set(found)) == 5
        assert not set(found) & {*person["owned_item_ids"], *unsellable}
    scores = {entry["item_id"]: entry["score"] for entry in rows[user_id_of("mine")]["items"]}
    shop.put("histories", [*quiet, *people[15:], mine])
    without = {row["user_id"]: row for row in rows_of(shop.generate("R2"))}
    again = {entry["item_id"]: entry["score"] for entry in without[user_id_of("mine")]["items"]}
    assert scores == again


def test_one_whom_the_model_fails_gets_the_named_baseline(shop: Shop) -> None:
    shop.put_champion(fallback="item_knn")
    people = many_histories(30, seed=3)
    people[4] = history("broken", [item(1), item(2)], event_types=["view", "teleport"])
    shop.put("histories", people)
    made = shop.with_settings("generation", max_error_share=0.05).generate()
    assert made.report["methods"] == {"item_knn": 1, "model": 29}
    (row,) = [row for row in rows_of(made) if row["method"] != "model"]
    assert row["fallback_reason"] == "prompt_failed"
    assert row["model_version"] == "none"


def test_a_resumed_night_falls_back_on_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.put_champion(None, fallback="item_knn")
    undisturbed = checksums(shop.generate("undisturbed"))
    make = ShardMaker.make
    made: list[int] = []

    def second_is_killed(self, number, done):  # type: ignore[no-untyped-def]
        if made:
            raise Killed
        made.append(number)
        return make(self, number, done)

    monkeypatch.setattr(ShardMaker, "make", second_is_killed)
    with pytest.raises(Killed):
        shop.generate("R")
    monkeypatch.undo()
    assert shop.lake.work("generate", Run(NIGHT, "R")).exists()
    assert checksums(shop.generate("R")) == undisturbed


def test_shards_of_another_fallback_are_made_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*args: object, **more: object) -> None:
        raise Killed

    shop.put_champion(None, fallback="markov")
    monkeypatch.setattr(night, "recommendation_rows", killed)
    with pytest.raises(Killed):
        shop.generate()
    monkeypatch.undo()
    shop.put_champion(None, fallback="item_knn")
    assert "markov" not in shop.generate().report["methods"]


def test_what_decides_a_fallback_is_in_the_key_of_its_shards(shop: Shop) -> None:
    as_it_was = shop.night().inputs
    for section, changed in (
        ("histories", {"target_event_types": ("view",)}),
        (
            "shop",
            {"timezone": "Asia/Tokyo"},
        ),  # when a night's day ends, after which items are touched
    ):
        inputs = shop.with_settings(section, **changed).night().inputs
        assert inputs.fingerprint != as_it_was.fingerprint
        # Whoever has a list of the model keeps it: neither decides that one.
        assert inputs.list_key == as_it_was.list_key


def test_a_name_that_is_no_baseline_is_said(shop: Shop) -> None:
    shop.put_champion(None, fallback="guesses")
    with pytest.raises(InputError, match="'guesses' is no baseline; run evaluate"):
        shop.generate()
    with pytest.raises(InputError, match="'guesses' is no baseline"):
        champion_of(shop.lake, NIGHT)
