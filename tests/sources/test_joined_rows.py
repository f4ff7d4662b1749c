"""Joined rows and exploded arrays, by hand and against plain Python."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from pipeline.errors import ContractError
from pipeline.sources.check import check_source
from pipeline.sources.joined_rows import look_up_counts
from pipeline.sources.reader_columns import BROKEN, NO_ELEMENT
from pipeline.sources.readers import read_rows
from pipeline.sources.source import SourceDataset
from pipeline.sources.source_yaml import parse_source
from pipeline.sources.user_ids import given_user_ids

SHOP = """
source: shop
description: Lines of orders of customers.
datasets:
  events:
    files: "lines.csv"
    format: csv
    delivery: dump
    columns: [n, order]
    with:
      orders: {files: "orders.csv", columns: [id, who, note], on: {order: id}, kind: KIND}
      people: {files: "people.csv", columns: [id, name], on: {orders.who: id}}
    map: {event_id: n, user_id: people.name, item_id: orders.who, event_time: n, event_type: n}
"""


def write(folder: Path, name: str, *lines: str) -> None:
    (folder / name).write_text("\n".join(lines) + "\n")


def rows_of(spark: SparkSession, text: str, folder: Path) -> tuple[DataFrame, SourceDataset]:
    dataset = parse_source(text, "shop.yaml").datasets["events"]
    return read_rows(spark, dataset, folder, dataset.pattern.files(folder)), dataset


def shop(folder: Path) -> None:
    """Orders: o1 twice alike in what is read, o2 of two customers, o3 of nobody known, o4 none."""
    write(folder, "lines.csv", "n,order", "1,o1", "2,o1", "3,o2", "4,o3", "5,o4", "6,", "7,o9,x")
    write(
        folder,
        "orders.csv",
        *("id,who,note", "o1,c1,a", "o1,c1,b", "o2,c1,", "o2,c2,", "o3,c9,", ",c1,", "o5,c1,x,x"),
    )
    write(folder, "people.csv", "id,name", "c1,Ann", "c2,Bob")


@pytest.mark.parametrize("kind", ["left", "inner"])
def test_each_row_stays_one_row(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    """Copies are one, what differs is ambiguous, what is missing is unmatched or null."""
    shop(tmp_path)
    rows, dataset = rows_of(spark, SHOP.replace("KIND", kind), tmp_path)
    found = {
        row["n"]: (row["orders.who"], row["people.name"], row[BROKEN]) for row in rows.collect()
    }
    alone = None if kind == "left" else "orders_unmatched"
    assert found == {
        "1": ("c1", "Ann", None),
        "2": ("c1", "Ann", None),
        "3": (None, None, "orders_ambiguous"),
        "4": ("c9", None, None),
        "5": (None, None, alone),
        "6": (None, None, alone),
        "7": (None, None, None),  # an unreadable line is that, and nothing else
    }
    counts = look_up_counts(rows, dataset)
    assert counts.found["orders"] == {
        "found": 3,
        "unmatched": 1,
        "without_key": 1,
        "ambiguous": 1,
    }
    assert (counts.rows, counts.unreadable_lines) == (7, 1)
    files = dataset.pattern.files(tmp_path)
    assert [*given_user_ids(spark, dataset, tmp_path, files)] == ["Ann"]


def test_latest_by_chooses_and_ids_lose_their_fraction(spark: SparkSession, tmp_path: Path) -> None:
    """17850.0 is 17850 by `ids`; of o2's rows the last note counts; two that are last do differ."""
    write(tmp_path, "lines.csv", "n,order", "1,2.0", "2,3")
    rows = ("id,who,note", "2,c1,1", "2,c2,2", "3.0,c1,1", "3,c2,1")
    write(tmp_path, "orders.csv", *rows)
    write(tmp_path, "people.csv", "id,name")
    text = SHOP.replace(
        "kind: KIND", "latest_by: try_cast(note AS int), ids: {strip_decimal: true}"
    )
    found = {row["n"]: row for row in rows_of(spark, text, tmp_path)[0].collect()}
    assert (found["1"]["orders.who"], found["1"][BROKEN]) == ("c2", None)
    assert found["2"][BROKEN] == "orders_ambiguous"


DAILY = """
source: shop
description: Customers come when they change.
datasets:
  events:
    files: "lines_{date}.csv"
    format: csv
    columns: [n, order]
    with: {orders: {files: "orders_{date}.csv", columns: [id, who], on: {order: id}}}
    map: {event_id: n, user_id: orders.who, item_id: n, event_time: n, event_type: n}
"""


def test_a_day_sees_the_newest_row_up_to_it_else_the_first_later_one(
    spark: SparkSession, tmp_path: Path
) -> None:
    for day in (1, 2, 3):
        write(tmp_path, f"lines_2026-03-0{day}.csv", "n,order", f"{day}a,a", f"{day}b,b")
    write(tmp_path, "orders_2026-03-01.csv", "id,who", "a,old")
    write(tmp_path, "orders_2026-03-02.csv", "id,who", "a,old", "b,late")
    write(tmp_path, "orders_2026-03-03.csv", "id,who", "a,new", "b,later")
    rows, dataset = rows_of(spark, DAILY, tmp_path)
    assert {row["n"]: row["orders.who"] for row in rows.collect()} == {
        "1a": "old",
        "2a": "old",
        "3a": "new",
        "1b": "late",
        "2b": "late",
        "3b": "later",
    }
    files = dataset.pattern.files(tmp_path)
    first = next(file.date for file in files if file.date)
    seen = read_rows(spark, dataset, tmp_path, files[:1], upto=first)
    assert {row["n"]: row["orders.who"] for row in seen.collect()} == {"1a": "old", "1b": None}


def test_random_tables_as_plain_python_joins_them(spark: SparkSession, tmp_path: Path) -> None:
    """Every row once, with the partner that a dictionary finds."""
    draw = random.Random(5)
    keys = ["", *"abcdefgh"]
    lines = [(n, draw.choice(keys)) for n in range(300)]
    orders = [(draw.choice(keys[:-1]), draw.choice(["c1", "c2", ""])) for _ in range(9)]
    write(tmp_path, "lines.csv", "n,order", *(f"{n},{order}" for n, order in lines))
    write(tmp_path, "orders.csv", "id,who,note", *(f"{one},{who},x" for one, who in orders))
    write(tmp_path, "people.csv", "id,name", "c1,Ann")
    partners: dict[str, set[str]] = {}
    for key, who in orders:
        partners.setdefault(key, set()).add(who)
    expected: dict[str, tuple[str | None, str | None]] = {}
    for n, order in lines:
        found = partners.get(order, set()) if order else set()
        why = "orders_ambiguous" if len(found) > 1 else None if found else "orders_unmatched"
        expected[str(n)] = (next(iter(found)) or None if why is None else None, why)
    rows, dataset = rows_of(spark, SHOP.replace("KIND", "inner"), tmp_path)
    got = [(row["n"], row["orders.who"], row[BROKEN]) for row in rows.collect()]
    assert len(got) == len(lines)
    assert {n: rest for n, *rest in got} == {n: [*rest] for n, rest in expected.items()}
    counts = look_up_counts(rows, dataset)
    assert sum(counts.found["orders"].values()) == len(lines)
    broken = counts.found["orders"]["found"]
    assert sum(counts.found["people"].values()) == broken


PAGES = """
source: pages
description: A page view holds its items.
datasets:
  events:
    files: "pages.FORMAT"
    format: FORMAT
    delivery: dump
    columns: [ts, items]
    explode: {items: item}
    map: {event_time: ts, event_type: ts, user_id: ts, item_id: item.id, price: item.money.eur}
"""
ARRAYS: dict[str, tuple[Any, list[tuple[str | None, str | None]]]] = {
    "two": ([{"id": "a", "money": {"eur": 1.5}}, {"id": "b"}], [("a", "1.5"), ("b", None)]),
    "empty": ([], [(None, "no_item")]),
    "null": (None, [(None, "no_item")]),
    "object": ({"id": "a"}, [(None, "item_unreadable")]),
    "text": ("x", [(None, "item_unreadable")]),
    "text of an array": ('[{"id": "a"}]', [("a", None)]),
    "cut off": ('[{"id": "a"}', [(None, "item_unreadable")]),
    "two arrays": ('[{"id": "a"}],[{"id": "b"}]', [(None, "item_unreadable")]),
    "a null element": ([None, {"id": "b"}], [(None, None), ("b", None)]),
}


def test_an_array_becomes_a_row_an_element(spark: SparkSession, tmp_path: Path) -> None:
    """Nothing in it: one row that is removed by a rule; no array: one that is refused."""
    lines = [json.dumps({"ts": ts, "items": items}) for ts, (items, _) in ARRAYS.items()]
    write(tmp_path, "pages.jsonl", *lines)
    rows, dataset = rows_of(spark, PAGES.replace("FORMAT", "jsonl"), tmp_path)
    found: dict[str, list[tuple[str | None, str | None]]] = {}
    for row in sorted(rows.collect(), key=lambda row: row["item_position"] or ""):
        why = row[NO_ELEMENT] or row[BROKEN] or row["item.money.eur"]
        found.setdefault(row["ts"], []).append((row["item.id"], why))
    assert found == {ts: expected for ts, (_, expected) in ARRAYS.items()}
    counts = look_up_counts(rows, dataset)
    assert (counts.raw_rows, counts.rows) == (9, 11)
    assert (counts.with_elements, counts.no_element, counts.unreadable_arrays) == (3, 2, 4)


def test_arrays_of_parquet_and_an_empty_one_that_is_kept(
    spark: SparkSession, tmp_path: Path
) -> None:
    """As GA4's export has them: a list of structs."""
    rows = [{"ts": "1", "items": [{"id": "a"}, {"id": "b"}]}, {"ts": "2", "items": []}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pages.parquet")
    text = PAGES.replace("FORMAT", "parquet").replace("item.money.eur", "item_position")
    text = text.replace("    map:", "    explode_empty: keep\n    map:")
    found = rows_of(spark, text, tmp_path)[0].collect()
    assert Counter((row["ts"], row["item.id"], row[NO_ELEMENT]) for row in found) == Counter(
        [("1", "a", None), ("1", "b", None), ("2", None, None)]
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{order: id}", """{"reflect('java.lang.System', order)": id}""", "reflect is not allowed"),
        ("{order: id}", "{order: '(SELECT id)'}", "with: orders: on"),
        ("{order: id}", "{ordr: id}", "'ordr' is no column of the dataset"),
    ],
)
def test_keys_are_asked_by_the_allow_list(
    spark: SparkSession, tmp_path: Path, old: str, new: str, message: str
) -> None:
    shop(tmp_path)
    with pytest.raises(ContractError, match="shop.yaml: events") as caught:
        rows_of(spark, SHOP.replace("KIND", "left").replace(old, new), tmp_path)
    assert message in str(caught.value)


def test_source_check_says_what_found_no_partner(spark: SparkSession, tmp_path: Path) -> None:
    shop(tmp_path)
    (tmp_path / "shop.yaml").write_text(SHOP.replace("KIND", "inner"))
    (check,) = check_source(spark, tmp_path / "shop.yaml", tmp_path)
    said = "\n".join(check.lines())
    assert "WARNING with orders: 2 of 6 rows found none (1 have no key), such as 'o4'" in said
    assert "with orders: 1 of 6 rows have a key with several rows that differ" in said
    assert "quarantined: orders_unmatched" in said
    write(tmp_path, "lines.csv", "n,order", "1,o1.0", "2,o7")
    (check,) = check_source(spark, tmp_path / "shop.yaml", tmp_path)
    assert any("is on: right?" in fault for fault in check.faults)
    (tmp_path / "orders.csv").unlink()
    (check,) = check_source(spark, tmp_path / "shop.yaml", tmp_path)
    assert f"with: orders: no file matches 'orders.csv' below {tmp_path}" in check.faults
