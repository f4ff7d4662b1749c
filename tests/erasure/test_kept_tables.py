"""Copies of the shop's tables lose erased users, and no later fetch brings them again."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import durable
from pipeline.cleaning.deliveries.changed_days import changed_days
from pipeline.cleaning.deliveries.raw_files import raw_facts
from pipeline.cleaning.rows.mapping import Calendar
from pipeline.erasure.erase import erase
from pipeline.erasure.kept_tables import RawTables, kept_tables
from pipeline.erasure.wanted import Wanted
from pipeline.lake import Run
from pipeline.sources.source import Source, SourceDataset, with_timezone
from pipeline.sources.source_yaml import parse_source
from pipeline.sources.tables.fetch import Asked, fetch_tables
from pipeline.sources.tables.folder import TableFolder
from pipeline.sources.tables.open_table import Access
from pipeline.sources.tables.people import PersonColumns
from pipeline.sources.tables.window import Zones
from tests.erasure.byte_scan import places
from tests.erasure.erasure_shop import GO, NIGHTS, STAY, Shop, clock
from tests.lake_rows import write_rows

UTC = ZoneInfo("UTC")
DAY = dt.timedelta(days=1)
SOURCE = """
source: shop
description: Tables.
datasets:
  users:
    format: duckdb
    table: {path: shop.db, name: people}
    columns: [who, agrees]
    map: {user_id: who, consent: "agrees = 1"}
  events:
    format: duckdb
    table: {path: shop.db, name: orders, watermark: at, overlap: 12 hours}
    columns: [id, who, sku, qty, note, at]
    map: {event_id: id, event_time: at, event_type: "'purchase'", user_id: who, item_id: sku}
"""
SHORT = "7"  # an id that quantities are, too


def source_of(text: str = SOURCE) -> Source:
    return with_timezone(parse_source(text, "shop.yaml"), "UTC")


class Database:
    """A shop's database in a file; one order of each shopper a day, at noon."""

    def __init__(self, raw: Path) -> None:
        self.raw = raw
        raw.mkdir(exist_ok=True)
        self.run("CREATE TABLE people (who TEXT, agrees INTEGER)")
        self.run(
            "CREATE TABLE orders (id INTEGER, who TEXT, sku TEXT, qty INTEGER, note TEXT, at DATETIME)"
        )
        for who in (*GO, *STAY, SHORT):
            self.run("INSERT INTO people VALUES (?, 1)", who)

    def run(self, sql: str, *values: Any) -> None:
        with sqlite3.connect(self.raw / "shop.db") as connection:
            connection.execute(sql, values)

    def orders(self, day: dt.date, note: str = "") -> None:
        for number, who in enumerate((*GO, *STAY, SHORT)):
            values = (number, who, "i1", 7, note, f"{day} 12:00:00")
            self.run("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", *values)

    def fetch(self, night: dt.date, is_erased: Callable[[str], bool] | None = None) -> None:
        now = dt.datetime.combine(night + DAY, dt.time(3), UTC)
        asked = Asked(night, now, Zones(UTC, UTC), is_erased=is_erased)

        def no_spark() -> Any:
            raise AssertionError("SQLite needs no Spark")

        fetch_tables(source_of(), Access(self.raw, {}, no_spark, self.raw), asked)

    def who(self, dataset: str) -> dict[dt.date, set[str]]:
        folder = TableFolder(self.raw, dataset)
        return {
            day: {w for file in folder.files(day) for w in pq.read_table(file)["who"].to_pylist()}
            for day in folder.days()
        }


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "raw")


def test_an_erasure_reaches_the_copies_and_the_next_fetch_leaves_them_out(
    shop: Shop, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = NIGHTS[0], NIGHTS[1]
    database.orders(first, note=f"a gift of {GO[0]}")
    database.fetch(first)
    (database.raw / "tables/events/.aside").mkdir()
    (database.raw / "tables/events/.aside/left").write_text(GO[0])  # a kill
    source, files = source_of(), source_of().datasets["events"].pattern.files(database.raw)
    write_rows(shop.lake, "cleaned_events", Run(first, "t"), [], raw_files=raw_facts(files))

    tables = RawTables.of(database.raw, source)
    gone = (*GO, SHORT)
    asked = dataclasses.replace(shop.asked(*gone), tables=tables)
    assert tables.doubts() == []
    found = {of.name: sum(of.rows.values()) for of in asked.tabled()}
    # The note names one of them in the rows of all.
    assert found == {"users": len(gone), "events": len(gone) + len(STAY)}
    proof = erase(asked, clock)

    assert places(database.raw / "tables", [who.encode() for who in GO]) == []
    assert database.who("users") == {first: {*STAY}}
    assert proof.facts["rows"]["tables of users"] == len(gone)
    assert proof.facts["searched"]["tables of events"]["files"] == 1
    assert {entry["path"] for entry in proof.facts["files"]} >= {
        f"raw/tables/{name}/date={first}/part-00000.parquet" for name in ("users", "events")
    }
    # The day that was cleaned from them is not cleaned again because of it.
    calendar = Calendar("UTC", (first, second), exact=False)
    nobody: Any = None
    events = source.datasets["events"]
    assert changed_days(nobody, shop.lake, events, database.raw, calendar) == []

    # The overlap asks for their rows of the evening before once more, and the whole table again.
    database.orders(first + dt.timedelta(days=1))
    database.run("UPDATE orders SET at = ? WHERE at < ?", f"{first} 20:00:00", f"{second}")
    caplog.set_level("INFO", "nightcart")
    database.fetch(second, gone.__contains__)
    assert database.who("users")[second] == {*STAY}
    assert database.who("events")[second] == {*STAY}
    record = TableFolder(database.raw, "events").record(second)
    assert record["rows_left_out_of_erased_users"] == 2 * len(gone)
    assert f"{2 * len(gone)} of erased users" in caplog.text


SHARED = (
    SOURCE
    + """
  items:
    same_files_as: events
    map: {item_id: sku, title: sku}
"""
)


def clean_by_hand(shop: Shop, database: Database, night: dt.date) -> list[SourceDataset]:
    """A night's events and items, of one table, as cleaned; the datasets."""
    source = source_of(SHARED)
    datasets = [source.datasets["events"], source.datasets["items"]]
    for of in datasets:
        facts = raw_facts(f for f in of.pattern.files(database.raw) if f.date == night)
        write_rows(shop.lake, f"cleaned_{of.name}", Run(night, "t"), [], raw_files=facts)
    return datasets


def changed(shop: Shop, database: Database, datasets: list[SourceDataset]) -> list[dt.date]:
    nobody: Any = None
    calendar = Calendar("UTC", (*NIGHTS,), exact=False)
    return [
        day
        for of in datasets
        for day in changed_days(nobody, shop.lake, of, database.raw, calendar)
    ]


def test_all_datasets_that_share_a_tables_files_are_told(shop: Shop, database: Database) -> None:
    database.orders(NIGHTS[0])
    database.fetch(NIGHTS[0])
    datasets = clean_by_hand(shop, database, NIGHTS[0])
    tables = RawTables.of(database.raw, source_of(SHARED))
    erase(dataclasses.replace(shop.asked(), tables=tables), clock)
    assert database.who("events") == {NIGHTS[0]: {*STAY, SHORT}}
    assert changed(shop, database, datasets) == []


def test_a_kill_before_the_manifests_are_told_is_made_good(
    shop: Shop, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.orders(NIGHTS[0])
    database.fetch(NIGHTS[0])
    datasets = clean_by_hand(shop, database, NIGHTS[0])
    tables = RawTables.of(database.raw, source_of(SHARED))
    rename = durable.rename

    def killed(aside: Path, path: Path) -> None:
        rename(aside, path)
        if path.is_relative_to(database.raw):
            raise KeyboardInterrupt

    # The second erasure finds others in what the first has left, and is killed at the same place.
    for gone in (GO[:1], GO):
        monkeypatch.setattr(durable, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            erase(dataclasses.replace(shop.asked(*gone), tables=tables), clock)
        monkeypatch.undo()
        assert changed(shop, database, datasets) == [NIGHTS[0]] * 2
    erase(dataclasses.replace(shop.asked(), tables=tables), clock)
    assert database.who("events") == {NIGHTS[0]: {*STAY, SHORT}}
    assert changed(shop, database, datasets) == []


def test_a_kill_between_two_files_is_finished_by_the_next(
    shop: Shop, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for night in NIGHTS[:2]:
        database.orders(night)
        database.fetch(night)
    asked = dataclasses.replace(shop.asked(), tables=RawTables.of(database.raw, source_of()))
    rename, calls = durable.rename, 0

    def killed(aside: Path, path: Path) -> None:
        nonlocal calls
        calls += path.is_relative_to(database.raw)
        if calls == 2:
            raise KeyboardInterrupt
        rename(aside, path)

    monkeypatch.setattr(durable, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        erase(asked, clock)
    monkeypatch.undo()
    assert asked.tabled()
    proof = erase(asked, clock)
    assert places(database.raw / "tables", [who.encode() for who in GO]) == []
    assert proof.facts["rows"]["tables of events"] == 2 * len(GO)


@pytest.mark.parametrize(
    ("values", "expression", "ids", "held"),
    [
        (pa.array([7, 77, None], pa.int32()), "who", ["7"], 1),
        (pa.array([7.0, 7.5]), "who", ["7"], 1),
        (pa.array([7.0, 7.5]), "who", ["7.0"], 1),
        (pa.array(["7.00", "17"]).cast(pa.decimal128(9, 2)), "who", ["7"], 1),
        (pa.array([" Ann ", "ann", "annabel"]), "lower(trim(who))", ["ann"], 2),
        (pa.array([" Ann ", "ann"]), "who", ["ann"], 1),
        (pa.array(["a", "b"]).dictionary_encode(), "who", ["a"], 1),
        (pa.array([["x", "a"], ["b"], None]), "who[1]", ["a"], 1),
        (pa.array([b"a", b"b"]), "who", ["a"], 1),
        (pa.array([None, None], pa.string()), "who", ["a"], 0),
        (pa.array(["0017", "+17", "17.9", " 17\t", "170", "", "+"]), "int(who)", ["17"], 4),
        (pa.array([1.7e7, 17712345.0, -1e16, 0.0]), "who", ["1.7E7", "1.7712345E7", "-1.0E16"], 3),
        (pa.array(["0017", "17"]), "CAST(who AS BIGINT)", ["17"], 2),
        (pa.array(["-0017", "17"]), "who::long", ["-17"], 1),
        (pa.array(["17.90", "18"]).cast(pa.decimal128(9, 2)), "cast(who as int)", ["17"], 1),
        (pa.array([1e16, 17.9, float("nan")]), "cast(who as bigint)", [str(10**16), "17"], 2),
        (pa.array(["0017", "17.9"]), "nullif(trim(who), 'bigint')", ["17"], 0),
    ],
)
def test_whose_row_it_is_by_types_and_expressions(
    values: pa.Array, expression: str, ids: list[str], held: int
) -> None:
    people = PersonColumns(("who",), (expression,))
    rows = pa.table({"who": values, "qty": [7] * len(values)})
    assert people.held(rows, ids.__contains__).true_count == held


@pytest.mark.parametrize(
    ("expression", "plain"),
    [
        ("who", True),
        ("`who`", True),
        ("coalesce(nullif(trim(who), ''), CAST(other AS STRING))", True),
        ("concat('u', who)", False),
        ("'u' || who", False),
        ("sha2(who, 256)", False),
        ("who + 1", False),
    ],
)
def test_an_id_that_no_column_holds_is_said(expression: str, plain: bool) -> None:
    assert PersonColumns(("who", "other"), (expression,)).is_plain == plain


ITEMS_SHARED = """
source: shop
description: Tables.
datasets:
  items:
    format: duckdb
    table: {path: shop.db, name: orders, watermark: at}
    columns: [sku, who, other, at]
    map: {item_id: sku, title: sku}
  users:
    same_files_as: items
    map: {user_id: USERS, consent: "true"}
  events:
    same_files_as: items
    map: {event_id: sku, event_time: at, event_type: "'purchase'", user_id: EVENTS, item_id: sku}
"""


@pytest.mark.parametrize(
    ("users", "events", "plain", "names"),
    [
        ("who", "who", True, ("who",)),
        ("who", "other", True, ("who", "other")),
        ("concat('u', upper(who))", "who", False, ("who",)),
        ("who", "'u' || who", False, ("who",)),
        ("WHO", "sha2(who, 256)", False, ("who",)),
    ],
)
def test_every_dataset_that_reads_a_tables_files_says_whose_rows_they_are(
    users: str, events: str, plain: bool, names: tuple[str, ...]
) -> None:
    text = ITEMS_SHARED.replace("USERS", f'"{users}"').replace("EVENTS", f'"{events}"')
    people = RawTables.of(Path("raw"), source_of(text)).people
    assert (people["items"].is_plain, people["items"].names) == (plain, names)


def test_doubts_are_said(database: Database) -> None:
    database.orders(NIGHTS[0])
    database.fetch(NIGHTS[0])
    text = SOURCE.replace("user_id: who, item", "user_id: \"concat('u', who)\", item")
    (doubt,) = RawTables.of(database.raw, source_of(text)).doubts()
    assert "tables/events" in doubt
    assert "concat" in doubt
    unknown = RawTables.of(database.raw, None)
    assert len(unknown.doubts()) == 2
    wanted = Wanted.of_ids([GO[0], SHORT], b"k" * 32)
    assert sum(sum(of.rows.values()) for of in kept_tables(unknown, wanted)) == 2


def test_what_the_shop_delivers_beside_the_copies_is_left_and_said(
    shop: Shop, database: Database
) -> None:
    database.orders(NIGHTS[0])
    database.fetch(NIGHTS[0])
    tables = database.raw / "tables"
    kept = tables / f"events/date={NIGHTS[0]}/part-00000.parquet"
    theirs = [
        tables / "export" / kept.parent.name / "delivered.parquet",
        tables / "export/date=export/delivered.parquet",
        tables / "Archive/all.parquet",
        tables / "events/date=export/delivered.parquet",
        tables / "events/date=20260301/delivered.parquet",
    ]
    for path in theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(kept.read_bytes())
    (tables / "events/date=2026-03-09").write_text("a file")
    before = [path.read_bytes() for path in theirs]

    asked = dataclasses.replace(shop.asked(), tables=RawTables.of(database.raw, source_of()))
    proof = erase(asked, clock)

    assert [path.read_bytes() for path in theirs] == before
    assert not (tables / "export/.fetch.lock").exists()
    assert database.who("events") == {NIGHTS[0]: {*STAY, SHORT}}
    said = "\n".join(proof.facts["tables_in_doubt"])
    for name in ("Archive", "export", "events/date=export", "events/date=20260301"):
        assert f"tables/{name}" in said
    assert len(proof.facts["tables_in_doubt"]) == 5
