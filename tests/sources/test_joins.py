"""`with`, `explode` and `derive` as they are written: what they become, and what is refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pipeline.cleaning.deliveries.made_by import _mapping
from pipeline.errors import ContractError
from pipeline.exports.own_ids import plain_column
from pipeline.sources.delivered_files import missing_files
from pipeline.sources.file_pattern import FilePattern
from pipeline.sources.source import SourceDataset
from pipeline.sources.source_yaml import load_source, parse_source, shipped_sources
from pipeline.sources.sql_names import SqlNames

LINES = """
source: shop
description: Lines of orders of customers.
datasets:
  events:
    files: "lines_{date}.csv"
    format: csv
    options: {delimiter: ";"}
    columns: [order_id, sku, price]
    with:
      orders:
        files: "orders_{date}.csv"
        columns: [id, customer, at, state]
        on: {order_id: id}
        kind: inner
      customers:
        files: "customers.parquet"
        format: parquet
        columns: ["no", person, city]
        on: {orders.customer: "no"}
    derive: {person: "trim(customers.person)", paid: "orders.state = 'paid'"}
    map:
      event_time: orders.at
      event_type: "CASE WHEN paid THEN 'purchase' ELSE 'orders.state' END"
      user_id: person
      item_id: sku
    remove:
      - {rule: void, when: "ORDERS.`state` = 'void'", description: Nothing was bought.}
"""
PAGES = """
source: pages
description: A page view holds its items.
datasets:
  events:
    files: "{date}.jsonl"
    format: jsonl
    columns: [ts, user, name, items]
    explode: {items: item}
    map:
      event_id: concat(ts, item_position)
      event_time: ts
      event_type: name
      user_id: user
      item_id: item.id
      price: item.money.eur
"""


def events(text: str) -> SourceDataset:
    return parse_source(text, "shop.yaml").datasets["events"]


def test_joined_columns_are_flat_and_only_those_that_are_read() -> None:
    """Of the customers, the city is not; keys of the chain are; literals stay."""
    dataset = events(LINES)
    joined = ("orders.at", "orders.state", "orders.customer", "customers.person")
    assert {*dataset.columns} == {"order_id", "sku", "price", *joined}
    assert dataset.own.columns == ("order_id", "sku", "price")
    assert dataset.mapping["user_id"] == "(trim(`customers.person`))"
    assert dataset.mapping["event_type"] == (
        "CASE WHEN (`orders.state` = 'paid') THEN 'purchase' ELSE 'orders.state' END"
    )
    assert dataset.remove[0].when == "`orders.state` = 'void'"
    orders, customers = dataset.joins
    assert (orders.kind, customers.kind) == ("inner", "left")
    assert (orders.table.delivery, customers.table.delivery) == ("daily", "dump")
    assert (orders.table.options, customers.table.format) == ({"delimiter": ";"}, "parquet")


def test_what_leads_to_a_person_is_hashed_in_quarantine() -> None:
    """The user id comes from the customers, by the order's customer, by the order."""
    dataset = events(LINES)
    assert dataset.user_columns == ("customers.person",)
    assert {*dataset.act_columns} == {"order_id", "orders.customer"}
    assert plain_column(dataset) is None  # not one that an export could read from the lines


def test_elements_have_their_fields_and_a_position() -> None:
    dataset = events(PAGES)
    assert dataset.columns == (
        *("ts", "user", "name", "items", "item", "item_position"),
        *("item.id", "item.money.eur"),
    )
    assert dataset.mapping["price"] == "`item.money.eur`"
    assert plain_column(dataset) == "user"


def test_a_night_waits_for_joined_files_too(tmp_path: Path) -> None:
    source = parse_source(LINES, "shop.yaml")
    day = FilePattern("{date}", "").files(_touched(tmp_path, "2026-03-01"))[0].date
    assert day is not None
    assert missing_files(source, tmp_path, day) == [
        "customers.parquet",
        "lines_2026-03-01.csv",
        "orders_2026-03-01.csv",
    ]
    without = LINES.replace("kind: inner", "kind: inner\n        required: false")
    assert "orders_2026-03-01.csv" not in missing_files(parse_source(without, ""), tmp_path, day)


def _touched(folder: Path, name: str) -> Path:
    (folder / name).touch()
    return folder


WRONG = {
    "unknown key 'onn'": (LINES, "on: {order_id: id}", "onn: {order_id: id}"),
    "on must map a column of this side": (LINES, "on: {order_id: id}", "on: order_id"),
    "'ident' names no column of orders_": (LINES, "{order_id: id}", "{order_id: ident}"),
    "orders.customr: the joined file has no column 'customr'; did you mean 'customer'": (
        LINES,
        '{orders.customer: "no"}',
        '{orders.customr: "no"}',
    ),
    "customers.person is joined later": (LINES, "{order_id: id}", "{customers.person: id}"),
    "found 'outer', expected one of left, inner": (LINES, "kind: inner", "kind: outer"),
    "'sku' is one of columns; choose another name": (LINES, "derive: {person:", "derive: {sku:"),
    "with: orders: columns must be a list": (LINES, "columns: [id, customer, at, state]", ""),
    "there is another 'orders'": (LINES, "derive: {person:", "derive: {orders:"),
    "is the same for all elements of an array": (PAGES, "concat(ts, item_position)", "ts"),
    "explode must name one array column": (PAGES, "{items: item}", "[items]"),
    "found 'drop', expected one of remove, keep": (
        PAGES,
        "explode: {items: item}",
        "explode: {items: item}\n    explode_empty: drop",
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_refused_by_name(message: str) -> None:
    text, old, new = WRONG[message]
    with pytest.raises(ContractError) as caught:
        events(text.replace(old, new, 1))
    assert message in str(caught.value)
    assert "shop.yaml: events" in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "made"),
    [
        ("o.a", "`o.a`"),
        ("O . `A`", "`o.a`"),
        ("`o.a` || o.b.c", "`o.a` || `o.b`.`c`"),
        ("x.o.a", "x.o.a"),
        ("f(x).o.a + x[0].e.f", "f(x).o.a + x[0].e.f"),
        ("'o.a' || \"o.a\" -- o.a\n|| o.a", "'o.a' || \"o.a\" -- o.a\n|| `o.a`"),
        ("/* o.a */ sum(1.5)", "/* o.a */ sum(1.5)"),
        ("o(1) + o", "o(1) + o"),
        ("total + total(1) + x.total", "(a + b) + total(1) + x.total"),
        ("e + e.f + e.f.g", "e + `e.f` + `e.f.g`"),
        ("'it''s \\' o.a' = o.a", "'it''s \\' o.a' = `o.a`"),
    ],
)
def test_names_in_sql(sql: str, made: str) -> None:
    """Literals, comments, functions and fields of something else are left as they are."""
    names = SqlNames({"o": ["a", "b"]}, "e", {"total": "a + b"})
    assert names.applied(sql, "") == made


def test_what_sources_without_joins_are_made_by_is_as_before() -> None:
    """Else an update would have every day of every shop cleaned again."""
    for name in shipped_sources():
        datasets = load_source(name).datasets.values()
        for dataset in [] if any(one.is_combined for one in datasets) else datasets:
            new = {"joins", "explode", "own_columns", "ids_within_elsewhere"}
            assert not new & {*_mapping(dataset)}
            assert dataset.own is dataset
    assert (
        _mapping(events(LINES))["joins"]
        != _mapping(events(LINES.replace("kind: inner", "kind: left")))["joins"]
    )


def test_a_joined_files_users_are_known_where_it_is_read_itself() -> None:
    """As a dataset's own file, and under the name of another join."""
    text = """
  items:
    files: "customers.parquet"
    format: parquet
    delivery: dump
    columns: ["no", person]
    map: {item_id: no}
  reviews:
    files: "reviews_{date}.csv"
    format: csv
    columns: [who, at, sku]
    with:
      by: {files: "customers.parquet", format: parquet, columns: ["no", person], on: {who: "no"}}
    map: {review_time: at, user_id: who, item_id: sku, rating: "5", title: by.person}
"""
    datasets = parse_source(LINES + text, "shop.yaml").datasets
    assert datasets["items"].users_elsewhere == ("person",)
    assert datasets["reviews"].users_elsewhere == ("by.person",)
    assert datasets["events"].users_elsewhere == ()


def test_only_what_a_night_would_read_is_named_as_no_file(tmp_path: Path) -> None:
    """Folders beside the data, and links of other days, stop nobody."""
    day, other = dt.date(2026, 3, 1), dt.date(2026, 3, 2)
    for name in ("_temporary", ".ipynb_checkpoints", "archive.csv", "old.csv", f"{day}.csv"):
        (tmp_path / name).mkdir()
    (tmp_path / f"{other}.csv").symlink_to("gone")
    (tmp_path / "dead.csv").symlink_to("gone")
    dated, all_of_them = FilePattern("{date}.csv", "here"), FilePattern("*", "here")
    assert dated.no_files(tmp_path, {day}) == [
        f"{day}.csv is a folder: files must name what lies in it"
    ]
    assert dated.no_files(tmp_path, {other}, folders=False) == [
        f"{other}.csv is a link to gone, which is not there"
    ]
    assert not any("_temporary" in said for said in all_of_them.no_files(tmp_path))
    assert len(all_of_them.no_files(tmp_path, folders=False)) == 2
