"""Alternatives of items and what is bought together: by hand, and on a simulated shop."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipeline.datasets import BOUGHT_TOGETHER, CHAMPIONS, MODELS, SIMILAR_ITEMS
from pipeline.lake import Lake, Run
from pipeline.model.champion import ChampionRecord, write_champion
from pipeline.simulator.catalogue import build_catalogue
from pipeline.targeting.item_lists import ItemLists, make_item_lists
from tests.lake_rows import read_rows
from tests.targeting.conftest import NIGHT, Shop, act, item

RUN = Run(NIGHT, "one")


def make(shop: Shop) -> ItemLists:
    shop.fill(RUN)
    return make_item_lists(shop.lake, RUN, shop.settings)


def lists(shop: Shop, dataset: str, other: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for row in sorted(
        read_rows(shop.lake, dataset, NIGHT), key=lambda row: (row["item_id"], row["rank"])
    ):
        found[row["item_id"]].append(row[other])
        assert row["rank"] == len(found[row["item_id"]])
    return found


def similar(shop: Shop) -> dict[str, list[str]]:
    return lists(shop, SIMILAR_ITEMS, "similar_item_id")


def bought(shop: Shop) -> dict[str, list[str]]:
    return lists(shop, BOUGHT_TOGETHER, "together_item_id")


def kettles(shop: Shop) -> None:
    for item_id, title, brand, category in (
        ("a red", "Quick steel kettle red", "Acme", "Kettles"),
        ("a blue", "Quick steel kettle blue", "Acme", "Kettles"),
        ("b", "Steel kettle with timer", "Borsta", "Kettles"),
        ("c", "Old pot of clay", "Acme", "Kettles"),
        ("d", "Quick steel kettle red", "Acme", "Toys"),
        ("gone", "Steel kettle", "Borsta", "Kettles"),
    ):
        shop.items[item_id] = item(
            item_id, title=title, brand=brand, category=category, sellable=item_id != "gone"
        )
    shop.does(act("ann", "view", "b"))


def test_the_same_kind_first_and_no_other_colour_of_the_same(shop: Shop) -> None:
    kettles(shop)
    made = make(shop)
    found = similar(shop)
    assert found["a red"] == ["b", "c"]  # not blue, not sold out, not the same title elsewhere
    assert set(found["gone"]) >= {"b", "a red", "a blue"}  # what is sold out has alternatives
    rows = {
        (row["item_id"], row["similar_item_id"]): row
        for row in read_rows(shop.lake, SIMILAR_ITEMS, NIGHT)
    }
    assert rows["a red", "b"]["because"] == "words"
    assert (rows["a red", "b"]["other_brand"], rows["a red", "c"]["other_brand"]) == (True, False)
    assert {row["model_version"] for row in rows.values()} == {"none"}
    line = made.lines[0].check()
    assert (line.dataset, line.rows_in, line.rows_out) == (SIMILAR_ITEMS, 6, len(found))


def test_the_models_vectors_and_the_buyers_say_what_words_do_not(shop: Shop) -> None:
    for name in ("a", "b", "c", "d"):
        shop.items[name] = item(name, title="", brand=None, category=None)
    for name in ("ann", "bob"):
        shop.does(act(name, "purchase", "a"), act(name, "purchase", "c"))
    _champion(shop.lake, {"a": (1, 0), "b": (1, 0.1), "c": (-1, 0), "d": (-1, -0.1)})
    made = make(shop)
    found = {
        row["item_id"]: (row["similar_item_id"], row["because"], row["buyers_of_both"])
        for row in read_rows(shop.lake, SIMILAR_ITEMS, NIGHT)
        if row["rank"] == 1
    }
    assert found["b"] == ("a", "model", 0)
    assert found["d"] == ("c", "model", 0)
    assert found["a"] in {("b", "model", 0), ("c", "buyers", 2)}
    assert made.report["vectors_of"] == "2026-03-20-abc"


def _champion(lake: Lake, vectors: dict[str, tuple[float, float]]) -> None:
    directory = lake.begin(MODELS, RUN)
    table = np.vstack([np.zeros((3, 2)), np.array(list(vectors.values()))]).astype(np.float32)
    save_file({"transformer.wte.weight": table}, directory / "model.safetensors")
    (directory / "items.json").write_text(json.dumps({"item_ids": list(vectors)}))
    lake.commit(MODELS, RUN)
    record = ChampionRecord(NIGHT.isoformat(), "one", "2026-03-20-abc", promoted=True, why="test")
    write_champion(lake.begin(CHAMPIONS, RUN), record)
    lake.commit(CHAMPIONS, RUN)


def test_a_model_that_is_damaged_is_done_without(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    kettles(shop)
    _champion(shop.lake, {"b": (1, 0)})
    weights = shop.lake.run_directory(MODELS, RUN) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    assert make(shop).report["vectors_of"] == "none"
    assert "without the model's vectors" in caplog.text
    assert similar(shop)["a red"] == ["b", "c"]


def test_bought_together_by_enough_shoppers_who_agree(shop: Shop) -> None:
    for name in ("a", "b", "c", "x"):
        shop.put(name, sellable=name != "x")
    for name in ("ann", "bob", "cid"):
        shop.does(*(act(name, "purchase", item_id) for item_id in ("a", "b", "x")))
    for name in ("ann", "dot", "eve"):
        shop.does(act(name, "purchase", "c"))
    shop.does(act("dot", "purchase", "a"), act("eve", "purchase", "a"))
    shop.people = {"cid": {"active": False}, "eve": {"consent": False}}
    make(shop)
    # Two of the three who bought a and c agree; x is sold out; who is inactive counts.
    assert bought(shop) == {"a": ["b"], "b": ["a"], "x": ["b", "a"]}
    assert {row["buyers_of_both"] for row in read_rows(shop.lake, BOUGHT_TOGETHER, NIGHT)} == {3}


def test_a_shop_without_words_purchases_or_a_model_has_no_lists(shop: Shop) -> None:
    for name in ("a", "b"):
        shop.items[name] = item(name, title=None, brand=None, category=None)
    shop.does(act("ann", "view", "a"))
    made = make(shop)
    assert [line.check().rows_out for line in made.lines] == [0, 0]
    assert made.lines[0].removed == {"no_other_item": 2}


def test_on_the_simulator_the_first_three_have_another_model_of_the_same_kind(
    shop: Shop,
) -> None:
    """Of a kind is what the simulator says; a model is a title without its last word, a variant."""
    catalogue = build_catalogue(5, 300, "en")
    for place, item_id in enumerate(catalogue.sku):
        shop.items[item_id] = item(
            item_id,
            title=catalogue.title[place],
            brand=f"brand {catalogue.brand[place]}",
            category=catalogue.path[catalogue.category[place]],
        )
    shop.does(act("ann", "view", catalogue.sku[0]))
    make(shop)
    kind = dict(zip(catalogue.sku, catalogue.category.tolist(), strict=True))
    model = {
        item_id: (brand, title.rsplit(" ", 1)[0])
        for item_id, brand, title in zip(
            catalogue.sku, catalogue.brand.tolist(), catalogue.title, strict=True
        )
    }
    good = sum(
        any(kind[other] == kind[one] and model[other] != model[one] for other in others[:3])
        for one, others in similar(shop).items()
    )
    assert good >= 0.95 * len(catalogue.sku)


def asking(shop: Shop, **changes: int) -> Shop:
    item_lists = dataclasses.replace(shop.settings.item_lists, **changes)
    return dataclasses.replace(
        shop, settings=dataclasses.replace(shop.settings, item_lists=item_lists)
    )


def test_zero_is_none_and_costs_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    kettles(shop)
    half = make(asking(shop, similar=0))
    assert half.lines[0].check().rows_out == 0
    monkeypatch.setattr("pipeline.targeting.item_lists.read_catalogue", None)
    none = make(asking(shop, similar=0, together=0))
    assert [line.check().removed for line in none.lines] == [{"switched_off": 6}] * 2


def test_an_empty_catalogue_has_no_lists(shop: Shop) -> None:
    shop.does(act("ann", "search", None))
    assert [line.check().rows_in for line in make(shop).lines] == [0, 0]


def test_of_too_many_items_those_that_most_have_bought(shop: Shop) -> None:
    for name in ("a", "b", "c", "d"):
        shop.items[name] = item(name, title=f"Kettle {name}", brand=name)
    shop.does(act("ann", "purchase", "b"), act("ann", "purchase", "d"))
    made = make(asking(shop, max_items=2))
    assert similar(shop) == {"b": ["d"], "d": ["b"]}
    assert made.lines[0].check().removed == {"over_max_items": 2}
    assert "of 4 items only the 2" in made.warnings[0]


def test_blocks_of_any_size_say_the_same(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    kettles(shop)
    make(shop)
    whole = read_rows(shop.lake, SIMILAR_ITEMS, NIGHT)
    monkeypatch.setattr("pipeline.targeting.alike.BLOCK_CELLS", 1)
    make_item_lists(shop.lake, Run(NIGHT, "two"), shop.settings)
    assert read_rows(shop.lake, SIMILAR_ITEMS, NIGHT) == whole
