"""`source new` without Spark: what is proposed for strangers' files, and what is left to them."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from jobs.cli.main import main
from pipeline.sources.check import DatasetCheck
from pipeline.sources.discovery.page import render
from pipeline.sources.discovery.proposal import Proposal, propose
from pipeline.sources.source_yaml import parse_source

GERMAN = {
    "bestellungen_20260301.csv": (
        "Bestellnummer;Kundennummer;Artikelnummer;Menge;Einzelpreis;Bestelldatum\n"
        "B1;K1;A1;1;1.299,00;01.03.2026 10:14\nB2;K2;A2;-2;12,50;01.03.2026 11:15\n"
        "B3;;A2;1;0,00;01.03.2026 12:15\n"
    ),
    "kunden.csv": "Kundennummer;Sprache;Land;Werbeeinwilligung\nK1;de;DE;J\nK2;de;AT;N\n",
    "artikel.csv": (
        "Artikelnummer;Bezeichnung;Marke;Warengruppe;Preis;Lagerbestand\n"
        "A1;Schöner Stuhl;Nord;Möbel;1.299,00;5\nA2;Tisch;Nord;Möbel;12,50;0\n"
    ),
}


def proposed(root: Path, files: dict[str, str], **given: str) -> tuple[Proposal, dict[str, Any]]:
    """The proposal for some files, and its datasets as YAML reads them; it can be parsed."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    proposal = propose(root, **given)
    if not proposal.missing:
        parse_source(proposal.yaml, "x.yaml")
    return proposal, yaml.safe_load(proposal.yaml)["datasets"]


def test_a_german_shop(tmp_path: Path) -> None:
    proposal, made = proposed(tmp_path, GERMAN)
    events, items, users = made["events"], made["items"], made["users"]
    assert events["files"] == "bestellungen_{date:%Y%m%d}.csv"
    assert events["map"]["user_id"] == "Kundennummer"
    assert "'return'" in events["map"]["event_type"]
    assert events["times"] == {"event_time": ["dd.MM.yyyy HH:mm"]}
    assert events["numbers"] == {"price": {"decimal": ",", "group": "."}}
    assert events["remove"][0]["rule"] == "no_user"
    assert (items["map"]["title"], items["map"]["stock"]) == ("Bezeichnung", "Lagerbestand")
    assert users["map"] == {
        "user_id": "Kundennummer",
        "consent": "false",
        "language": "Sprache",
        "region": "Land",
    }
    assert "coalesce(lower(trim(Werbeeinwilligung)) IN ('j'), false)" in proposal.yaml
    assert [line.split(":")[0] for line in proposal.to_fill] == ["users", "timezone"]


@pytest.mark.parametrize("column", ["consent", "newsletter", "Accepts Marketing", "opt_in", "同意"])
def test_consent_is_never_guessed(tmp_path: Path, column: str) -> None:
    """Not even from a column that is called so; what the reader says is taken."""
    files = {
        "events.csv": "user,item,type,ts\nu1,a,view,1772359200\nu2,a,view,1772359201\n",
        "users.csv": f"user,{column}\nu1,yes\nu2,no\n",
    }
    proposal, made = proposed(tmp_path, files)
    assert made["users"]["map"]["consent"] == "false"
    assert any(column in line for line in proposal.to_fill)
    _, made = proposed(tmp_path, files, consent=f"`{column}` = 'yes'")
    assert made["users"]["map"]["consent"] == f"`{column}` = 'yes'"


def test_a_time_zone_is_asked_for_where_one_is_needed(tmp_path: Path) -> None:
    local = {"events.csv": "user,item,type,ts\nu1,a,view,2026-03-01 10:00:00\n"}
    proposal, _ = proposed(tmp_path, local)
    assert "timezone" not in yaml.safe_load(proposal.yaml)
    assert any(line.startswith("timezone: ts has no offset") for line in proposal.to_fill)
    given, _ = proposed(tmp_path, local, timezone="Europe/Rome")
    assert yaml.safe_load(given.yaml)["timezone"] == "Europe/Rome"
    epoch = {"events.csv": "user,item,type,ts\nu1,a,view,1772359200\n"}
    assert not any(line.startswith("timezone") for line in proposed(tmp_path, epoch)[0].to_fill)


def test_what_no_value_decides_is_left_open(tmp_path: Path) -> None:
    """A day that may be a month, a comma that may be a point, a word nobody knows."""
    rows = "user,item,action,price,when\n" + 'u1,a,blorp,"1,299",03/04/2026 10:00\n' * 3
    proposal, made = proposed(tmp_path, {"events.csv": rows})
    assert "times" not in made["events"]
    assert "numbers" not in made["events"]
    assert "event_types" not in made["events"]
    for hint in ('event_time: ["MM/dd/yyyy HH:mm"]', "'blorp': view", "FILL IN"):
        assert hint in proposal.yaml
    said = " ".join(proposal.to_fill)
    assert all(part in said for part in ("dd/MM/yyyy", "1.299", "blorp (3 rows)"))


def test_a_log_without_header_by_its_values(tmp_path: Path) -> None:
    rows = (
        "1,2268318,2520377,pv,1511544070\n1,2333346,2520771,buy,1511561733\n2,5,1,fav,1511572885\n"
    )
    proposal, made = proposed(tmp_path, {"UserBehavior.csv": rows})
    events = made["events"]
    assert (events["map"]["user_id"], events["map"]["item_id"]) == ("column_1", "column_2")
    assert events["event_types"] == {"pv": "view", "buy": "purchase", "fav": "wishlist"}
    assert made["items"]["row_time"] == "column_5"
    assert any("by its place" in line for line in proposal.to_fill)


def test_nested_json(tmp_path: Path) -> None:
    row = {"ts": 1772359200123, "user": {"id": "u1"}, "event": "add_to_cart"}
    row["product"] = {"sku": "a", "name": "Mug", "price": 1.5}
    _, made = proposed(tmp_path, {"e.jsonl": json.dumps(row) + '\n{"ts": 1772359200124}\n'})
    assert made["events"]["map"]["user_id"] == "get_json_object(`user`, '$.id')"
    assert made["events"]["map"]["item_id"] == "get_json_object(product, '$.sku')"
    assert made["items"]["map"]["title"] == "get_json_object(product, '$.name')"
    assert made["events"]["may_be_absent"] == ["user", "event", "product"]


def order(number: int, *lines: dict[str, Any]) -> dict[str, Any]:
    when, who = f"2026-03-01T10:00:0{number}Z", {"id": f"c{number % 2}"}
    return {"id": f"o{number}", "created_at": when, "customer": who, "total": 9, "lines": [*lines]}


MUG = {"sku": "a", "name": "Mug", "qty": 1, "unit_price": 4.5, "brand": {"name": "Kay"}}
CUP = {"sku": "b", "name": "Cup", "qty": 2, "unit_price": 2.5, "brand": {"name": "Kay"}}


def test_an_array_of_items_is_exploded(tmp_path: Path) -> None:
    """Orders with lines: what a line says is of the item, what the order says of each line."""
    rows = [order(1, MUG), order(2, MUG, CUP), order(3)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    proposal, made = proposed(tmp_path, {"orders_2026-03-01.jsonl": lines})
    events, items, users = (made[name] for name in ("events", "items", "users"))
    assert events["explode"] == {"lines": "item"}
    assert "2 of 3 rows have any" in " ".join(proposal.yaml.replace("#", "").split())
    assert events["map"]["item_id"] == "item.sku"
    assert events["map"]["price"] == "item.unit_price"  # not the order's total
    assert events["map"]["user_id"] == "get_json_object(customer, '$.id')"
    assert (items["explode_empty"], items["map"]["title"]) == ("remove", "item.name")
    assert items["map"]["brand"] == "item.brand.name"
    assert users["explode"] is None
    assert proposal.missing == []


def test_an_array_inside_a_column_and_a_search_without_one(tmp_path: Path) -> None:
    """As Parquet has it; an id of the event is made one of the element."""
    kinds = ("view", "search", "purchase")
    rows = [
        {"event_id": f"e{n}", "ts": 1772359200 + n, "user_id": "u", "event": kinds[n % 3]}
        | {"query": "mug" if n % 3 == 1 else None}
        | {"cart": {"products": [] if n % 3 == 1 else [{"product_id": "a", "title": "Mug"}] * 2}}
        for n in range(6)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "events_2026-03-01.parquet")
    _, made = proposed(tmp_path, {})
    events = made["events"]
    assert events["explode"] == {"get_json_object(cart, '$.products')": "item"}
    assert events["map"]["item_id"] == "item.product_id"
    assert made["items"]["map"]["title"] == "item.title"
    assert events["map"]["event_id"] == "concat_ws('.', event_id, item_position)"
    assert (events["explode_empty"], events["map"]["query"]) == ("keep", "query")


@pytest.mark.parametrize(
    "row",
    [
        {"item_id": "a", "related": [{"item_id": "b"}]},
        {"user_id": "u", "addresses": [{"id": 7, "city": "Rome"}]},
        {"user_id": "u", "tags": ["a", "b"], "numbers": [1]},
    ],
)
def test_what_is_no_array_of_items_is_not_exploded(tmp_path: Path, row: dict[str, Any]) -> None:
    """The row names its item itself, the objects are no items, or nothing but words."""
    lines = (json.dumps({"ts": 1772359200 + n, "user_id": "u", **row}) + "\n" for n in range(3))
    (tmp_path / "log_2026-03-01.jsonl").write_text("".join(lines))
    assert "explode" not in propose(tmp_path).yaml


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("e_2026-03-01.csv.gz", b"user,item\nu1,a\n", "it is no gzip data"),
        ("e_2026-03-01.jsonl", '{"user": "u"}\n'.encode("utf-16"), "is JSON in utf-16"),
    ],
)
def test_what_is_not_read_is_said_in_words(
    tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(data)
    (tmp_path / "products.csv").write_text("sku,title\na,Mug\nb,Cup\n")
    proposal = propose(tmp_path)
    assert said in proposal.left_out[0][1]
    assert proposal.missing[-1].startswith("no file looks like events")


def test_a_catalogue_without_a_date_is_a_snapshot(tmp_path: Path) -> None:
    """Beside dated events; what the rows of events name is none."""
    files = {
        "events_2026-03-01.csv": "user,item,type,ts\nu1,a,view,1772359200\nu2,b,view,1772359201\n",
        "products.csv": "sku,title\na,Mug\nb,Cup\n",
    }
    proposal, made = proposed(tmp_path, files)
    assert made["items"]["delivery"] == "snapshot"
    assert "guess: no date in its name, so it is overwritten" in proposal.yaml
    assert "delivery" not in made["users"]
    files["products_2026-03-01.csv"] = files.pop("products.csv")
    (tmp_path / "products.csv").unlink()
    assert "delivery" not in proposed(tmp_path, files)[1]["items"]


def test_orders_lines_and_reviews_are_joined_by_their_keys(tmp_path: Path) -> None:
    files = {
        "order_lines.csv": "order_id,product_id,price\no1,a,1.5\no1,b,2\no2,a,1.5\n",
        "orders.csv": "order_id,customer_id,created_at\no1,c1,2026-03-01 10:00:00Z\n"
        "o2,c2,2026-03-01 11:00:00Z\n",
        "reviews.csv": "order_id,stars,text\no1,5,good\no2,1,bad\n",
    }
    _, made = proposed(tmp_path, files)
    events, reviews = made["events"], made["reviews"]
    # YAML 1.1 reads the key `on` as true; the source's own reader knows.
    assert events["with"]["orders"][True] == {"order_id": "order_id"}
    assert events["map"]["user_id"] == "orders.customer_id"
    assert events["map"]["event_time"] == "orders.created_at"
    assert reviews["map"]["item_id"] == "order_lines.product_id"
    assert reviews["with"]["order_lines"]["latest_by"] == "product_id"  # an order has several
    files["orders.csv"] = files["orders.csv"].replace("o1,", "x1,").replace("o2,", "x2,")
    proposal, _ = proposed(tmp_path, files)
    assert any("user_id" in line for line in proposal.missing)  # the keys do not meet


def test_two_columns_of_one_name_are_read_without_their_header(tmp_path: Path) -> None:
    rows = "user,item,type,ts,x,X\nu1,a,view,1772359200,1,2\n"
    _, made = proposed(tmp_path, {"events.csv": rows})
    assert made["events"]["columns"][-1] == "X_2"
    assert made["events"]["options"] == {"header": False}
    for dataset in made.values():
        assert dataset["remove"][0]["when"] == "`user` = 'user'"


def test_google_analytics_without_items_says_what_is_missing(
    tmp_path: Path, shared_data: Path
) -> None:
    text = (shared_data / "shop_exports/ga4_flat_events.csv").read_text()
    proposal, made = proposed(tmp_path, {"ga4.csv": text})
    assert proposal.like == ""
    assert any(
        line.startswith("events: item_id: no column of ga4.csv") for line in proposal.missing
    )
    assert made["events"]["map"]["event_type"] == "name"


def test_nothing_that_looks_like_a_shop_is_said(tmp_path: Path) -> None:
    proposal, made = proposed(tmp_path, {"a.csv": "colour,size\nred,2\nblue,3\n"})
    assert "no file looks like events" in proposal.missing[0]
    assert made is None


HOSTILE = ['we"ird: #1', "x'y", "back`tick", "<script>alert(1)</script>", "{a: b}", "é\u2028z"]


def test_hostile_names_and_values_stay_in_their_place(tmp_path: Path) -> None:
    names = ",".join('"' + name.replace('"', '""') + '"' for name in HOSTILE)
    values = ",".join(["\"</pre><img src=x onerror='alert(1)'>\""] * len(HOSTILE))
    rows = f"user,item,type,ts,{names}\n" + f"u1,a,view,1772359200,{values}\n" * 3
    proposal, made = proposed(tmp_path, {"e 'x' #1: {y}.csv".replace(":", ""): rows})
    assert made["events"]["columns"][4:] == HOSTILE
    check = DatasetCheck("events", ["<b>"], {}, [], [], ["<script>"], outcomes={"<i>": 1})
    page = render(proposal, [check])

    found: set[str] = set()

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.add(tag)
            assert not any(name.startswith("on") for name, _ in attrs)

    tags = Tags()
    tags.feed(page)
    assert not found & {"script", "img", "i", "b"}
    assert "default-src 'none'" in page


def test_the_same_folder_gives_the_same_text(tmp_path: Path) -> None:
    first, _ = proposed(tmp_path, GERMAN)
    again, _ = proposed(tmp_path, dict(reversed([*GERMAN.items()])))
    assert first.yaml == again.yaml
    assert render(first, []) == render(again, [])


def test_the_command_prints_writes_and_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proposed(tmp_path / "shop", GERMAN)
    folder, out, page = str(tmp_path / "shop"), tmp_path / "s.yaml", tmp_path / "p.html"
    assert main(["source", "new", folder, "--no-check"]) == 0
    printed = capsys.readouterr()
    parse_source(printed.out, "printed")  # the YAML and nothing else
    assert "FILL IN users: consent" in printed.err
    asked = ["source", "new", folder, "--no-check", "--out", str(out), "--report", str(page)]
    assert main([*asked, "--dry-run"]) == 0
    assert not out.exists()
    assert not page.exists()
    assert main(asked) == 0
    assert capsys.readouterr().err == "" or out.is_file()
    assert parse_source(out.read_text(), "x").datasets.keys() == {"items", "users", "events"}
    assert "Werbeeinwilligung" in page.read_text()
    assert main(asked) != 0
    assert "--force overwrites" in capsys.readouterr().err
    assert main([*asked, "--force"]) == 0
    for wrong, said in (
        (["source", "new"], "give the folder"),
        (["source", "new", folder, "--timezone", "Berlin"], "IANA"),
        (["source", "new", folder, "--out", "a.txt"], "a .yaml file"),
        (["source", "new", folder, "--like", "magento"], "magento_reviews"),
        (["source", "new", str(tmp_path / "gone")], "is no folder"),
    ):
        assert main(wrong) != 0
        assert said in capsys.readouterr().err
    assert main(["source", "new", "--list"]) == 0
    assert "shopify_orders" in capsys.readouterr().out
