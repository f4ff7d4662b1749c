"""Copies of tables go with their deliveries; what the next fetch looks at stays."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from pipeline.settings import Settings
from pipeline.sources.shop_source import shop_source
from pipeline.sources.tables.expiry import expire_tables
from pipeline.sources.tables.fetch import Asked, fetch_tables
from pipeline.sources.tables.folder import RECORD, TableFolder
from pipeline.sources.tables.open_table import Access
from pipeline.sources.tables.window import Zones

UTC = ZoneInfo("UTC")
FIRST = dt.date(2026, 3, 1)
DAY = dt.timedelta(days=1)
SOURCE = """
source: shop
description: Tables.
datasets:
  users:
    format: duckdb
    table: {path: shop.db, name: people}
    columns: [who]
    map: {user_id: who, consent: "true"}
  events:
    format: duckdb
    table: {path: shop.db, name: orders, watermark: at, overlap: 2 days}
    columns: [id, who, at]
    map: {event_id: id, event_time: at, event_type: "'purchase'", user_id: who, item_id: id}
"""


@pytest.fixture
def shop(settings: Settings, tmp_path: Path) -> Settings:
    (tmp_path / "shop.yaml").write_text(SOURCE)
    Path(settings.paths.raw).mkdir()
    shop = dataclasses.replace(settings.shop, source=str(tmp_path / "shop.yaml"))
    shop_settings = dataclasses.replace(settings, shop=shop)
    run(shop_settings, "CREATE TABLE people (who TEXT)")
    run(shop_settings, "CREATE TABLE orders (id INTEGER, who TEXT, at DATETIME)")
    run(shop_settings, "INSERT INTO people VALUES ('u1')")
    for number in range(6):
        run(shop_settings, f"INSERT INTO orders VALUES ({number}, 'u1', '{day(number)} 12:00:00')")
    fetch(shop_settings, day(2))  # with the days before it
    for number in range(3, 6):
        fetch(shop_settings, day(number))
    return shop_settings


def day(number: int) -> dt.date:
    return FIRST + number * DAY


def run(shop: Settings, sql: str) -> None:
    with sqlite3.connect(Path(shop.paths.raw) / "shop.db") as connection:
        connection.execute(sql)


def fetch(shop: Settings, night: dt.date) -> None:
    raw = Path(shop.paths.raw)
    now = dt.datetime.combine(night + DAY, dt.time(), UTC)

    def no_spark() -> Any:
        raise AssertionError("SQLite needs no Spark")

    fetch_tables(
        shop_source(shop), Access(raw, {}, no_spark, raw), Asked(night, now, Zones(UTC, UTC))
    )


def kept(shop: Settings, dataset: str) -> list[int]:
    return [(of - FIRST).days for of in TableFolder(Path(shop.paths.raw), dataset).days()]


def expired(shop: Settings, until: int, tables_days: int = 0) -> int:
    retention = dataclasses.replace(shop.retention, tables_days=tables_days)
    settings = dataclasses.replace(shop, retention=retention)
    return expire_tables(settings, day(until), day(6))


def test_days_go_with_their_deliveries(shop: Settings) -> None:
    assert (kept(shop, "events"), kept(shop, "users")) == ([0, 1, 2, 3, 4, 5], [0, 2, 3, 4, 5])
    assert expire_tables(shop, None, day(6)) == 0
    assert expired(shop, 1, tables_days=30) == 0
    assert expire_tables(shop, day(1), day(6), dry_run=True) == 3
    assert kept(shop, "events") == [0, 1, 2, 3, 4, 5]
    assert expired(shop, 1) == 3
    # The newest fetch up to the last expired day stays: a later one begins behind it.
    assert expired(shop, 3) == 2
    assert (kept(shop, "events"), kept(shop, "users")) == ([3, 4, 5], [3, 4, 5])
    # The next fetch begins two days before midnight after the last one.
    assert expired(shop, 5) == 3
    assert (kept(shop, "events"), kept(shop, "users")) == ([4, 5], [5])

    run(shop, f"INSERT INTO orders VALUES (6, 'u1', '{day(6)} 12:00:00')")
    fetch(shop, day(6))
    files = TableFolder(Path(shop.paths.raw), "events").files(day(6))
    assert [row for file in files for row in pq.read_table(file)["id"].to_pylist()] == [6]
    assert kept(shop, "events") == [4, 5, 6]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _other_columns(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["at"]), path)


@pytest.mark.parametrize("damage", [_truncate, _other_columns, lambda path: path.write_bytes(b"")])
def test_a_day_of_which_nobody_can_tell_stays_and_is_named(
    shop: Settings, damage: Callable[[Path], Any], caplog: pytest.LogCaptureFixture
) -> None:
    events = TableFolder(Path(shop.paths.raw), "events")
    (file,) = events.files(day(1))
    damage(file)
    assert expired(shop, 2) == 2  # day 0 of both tables
    assert kept(shop, "events") == [1, 2, 3, 4, 5]
    assert f"{events.of(day(1))} stays" in caplog.text
    assert "remove it" in caplog.text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("watermark: at", "watermark: changed", "changed"),
        ("watermark: at", "watermark: who", "who of"),
        ("watermark: at, overlap: 2 days", "watermark: id, day: at, overlap: 3", "number"),
    ],
)
def test_with_another_watermark_no_day_goes(
    shop: Settings, old: str, new: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = Path(shop.shop.source)
    text = SOURCE.replace(old, new).replace("[id, who, at]", "[id, who, at, changed]")
    source.write_text(text)
    assert expired(shop, 3) == 2  # days 0 and 2 of the users, who have no watermark
    assert kept(shop, "events") == [0, 1, 2, 3, 4, 5]
    assert said in caplog.text
    assert "remove the folder" in caplog.text


@pytest.mark.parametrize(
    "record", ['{"watermark": ["at", "local"]}', '{"watermark": ["at", "local"], "next_from": "x"}']
)
def test_with_a_record_that_says_nothing_no_day_goes(
    shop: Settings, record: str, caplog: pytest.LogCaptureFixture
) -> None:
    events = TableFolder(Path(shop.paths.raw), "events")
    (events.of(day(5)) / RECORD).write_text(record)
    assert expired(shop, 3) == 2
    assert kept(shop, "events") == [0, 1, 2, 3, 4, 5]
    assert "remove the folder" in caplog.text


def test_a_dry_run_changes_nothing(shop: Settings) -> None:
    raw = Path(shop.paths.raw)
    folder = TableFolder(raw, "events")
    # A fetch that was killed before it had put anything in its place.
    exchange = {"night": str(day(5)), "days": [f"date={day(5)}"]}
    (folder.root / ".exchange.json").write_text(json.dumps(exchange))
    shutil.copytree(folder.of(day(5)), folder.aside / f"date={day(5)}")

    def state() -> dict[Path, tuple[int, int]]:
        return {
            path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (raw, *raw.rglob("*"))
        }

    before = state()
    assert expire_tables(shop, day(1), day(6), dry_run=True) == 3
    assert state() == before
    assert expire_tables(shop, day(1), day(6)) == 3
    assert not (folder.root / ".exchange.json").exists()
