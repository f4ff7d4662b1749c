"""Past days that are cleaned again: raw files with other bytes, and days that are damaged."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import shutil
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline import intact
from pipeline.cleaning.deliveries.changed_days import changed_days
from pipeline.cleaning.deliveries.delivery_days import days_to_clean
from pipeline.cleaning.deliveries.raw_files import RawFiles, raw_facts
from pipeline.cleaning.night import clean_night
from pipeline.cleaning.rows.mapping import Calendar
from pipeline.errors import DamagedError
from pipeline.lake import Lake, Run
from pipeline.settings import Settings
from pipeline.sources.source import Source
from pipeline.sources.source_yaml import load_source
from tests.lake_rows import read_rows, write_rows

FIRST, SECOND = dt.date(2026, 3, 1), dt.date(2026, 3, 2)
CALENDAR = Calendar("UTC", (FIRST, SECOND), exact=False)
SHOP = """
source: shop
description: A shop that corrects what it has delivered.
datasets:
  items:
    files: "items_{date}.csv"
    format: csv
    columns: [sku, title]
    map: {item_id: sku, title: title}
  events:
    files: "events_{date}.csv"
    format: csv
    columns: [n, at, what, who, sku]
    map: {event_id: n, event_time: at, event_type: what, user_id: who, item_id: sku}
  users:
    files: "users_{date}.csv"
    format: csv
    columns: [who, agrees]
    map: {user_id: who, consent: "agrees = 'yes'"}
"""


@pytest.fixture
def shop(settings: Settings, tmp_path: Path) -> Settings:
    """Two days of one shopper, who agrees."""
    raw = Path(settings.paths.raw)
    raw.mkdir()
    (tmp_path / "shop.yaml").write_text(SHOP)
    for day in (FIRST, SECOND):
        (raw / f"items_{day}.csv").write_text("sku,title\ni1,Lamp\n")
        event = f"n{day:%d},{day} 10:00:00,view,u1,i1"
        (raw / f"events_{day}.csv").write_text(f"n,at,what,who,sku\n{event}\n")
        (raw / f"users_{day}.csv").write_text("who,agrees\nu1,yes\n")
    return dataclasses.replace(
        settings, shop=dataclasses.replace(settings.shop, source=str(tmp_path / "shop.yaml"))
    )


@pytest.fixture
def source(shop: Settings) -> Source:
    return load_source(shop.shop.source)


def cleaned(shop: Settings, source: Source, lake: Lake) -> None:
    """As if FIRST had been cleaned, without a row."""
    for name, dataset in source.datasets.items():
        files = [file for file in dataset.pattern.files(shop.paths.raw) if file.date == FIRST]
        write_rows(lake, f"cleaned_{name}", Run(FIRST, "r"), [], raw_files=raw_facts(files))
    write_rows(lake, "quarantine", Run(FIRST, "r"), [])


def again(shop: Settings, source: Source, lake: Lake, name: str = "users") -> list[dt.date]:
    session: SparkSession = None  # type: ignore[assignment]  # only dumps are read by it
    return changed_days(session, lake, source.datasets[name], shop.paths.raw, CALENDAR)


def correct(shop: Settings, *, keep_time: bool = False) -> None:
    """`yes` becomes `no `: the same size."""
    file = Path(shop.paths.raw) / f"users_{FIRST}.csv"
    before = file.stat()
    file.write_text("who,agrees\nu1,no \n")
    if keep_time:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size


def test_what_is_as_it_was_is_not_read(
    shop: Settings, source: Source, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleaned(shop, source, lake)
    monkeypatch.setattr("pipeline.cleaning.deliveries.raw_files.file_sha256", None)
    assert again(shop, source, lake) == []


@pytest.mark.parametrize("keep_time", [False, True])
def test_a_correction_that_keeps_the_size_is_noticed(
    shop: Settings, source: Source, lake: Lake, keep_time: bool
) -> None:
    cleaned(shop, source, lake)
    correct(shop, keep_time=keep_time)
    assert again(shop, source, lake) == [FIRST]
    assert again(shop, source, lake, "events") == []


def test_a_copy_changes_nothing_and_is_hashed_once(
    shop: Settings, source: Source, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleaned(shop, source, lake)
    for file in Path(shop.paths.raw).iterdir():
        shutil.copy(file, file.with_suffix(".new"))
        file.with_suffix(".new").replace(file)
    assert all(again(shop, source, lake, name) == [] for name in source.datasets)
    monkeypatch.setattr("pipeline.cleaning.deliveries.raw_files.file_sha256", None)
    assert all(again(shop, source, lake, name) == [] for name in source.datasets)


def test_of_older_manifests_the_size_counts(shop: Settings, source: Source, lake: Lake) -> None:
    (file,) = [
        file
        for file in source.datasets["users"].pattern.files(shop.paths.raw)
        if file.date == FIRST
    ]
    with RawFiles(lake) as raw_files:
        assert raw_files.is_same(file, file.path.stat().st_size)
        assert not raw_files.is_same(file, 1)


@pytest.mark.parametrize("name", ["cleaned_users", "quarantine", "retractions"])
def test_a_damaged_day_is_to_be_cleaned(
    shop: Settings, source: Source, lake: Lake, name: str
) -> None:
    cleaned(shop, source, lake)
    write_rows(lake, "retractions", Run(FIRST, "r"), [])
    session: SparkSession = None  # type: ignore[assignment]
    assert days_to_clean(session, lake, source, shop.paths.raw, CALENDAR) == [SECOND]
    lake.require(name, FIRST).paths[0].write_bytes(b"")
    assert days_to_clean(session, lake, source, shop.paths.raw, CALENDAR) == [FIRST, SECOND]


def test_damaged_and_corrected_days_are_clean_after_the_next_night(
    shop: Settings, lake: Lake, spark: SparkSession
) -> None:
    clean_night(spark, shop, lake, Run(FIRST, "one"))
    files = {
        name: lake.require(name, FIRST).paths[0]
        for name in ("cleaned_events", "cleaned_items", "cleaned_users")
    }
    expected = read_rows(lake, "cleaned_events", FIRST)
    files["cleaned_items"].write_bytes(b"")  # what a power cut leaves
    content = bytearray(files["cleaned_events"].read_bytes())
    content[len(content) // 2] ^= 1  # what a disk does
    files["cleaned_events"].write_bytes(content)
    intact.forget_checked()
    for name in ("cleaned_events", "cleaned_items"):
        with pytest.raises(DamagedError, match=f"{name} of {FIRST} .*--from clean"):
            _ = lake.require(name, FIRST).files
    correct(shop)
    night = clean_night(spark, shop, lake, Run(SECOND, "two"))
    assert night.days == [FIRST, SECOND]
    assert read_rows(lake, "cleaned_events", FIRST) == expected
    assert len(read_rows(lake, "cleaned_items", FIRST)) == 1
    assert [row["consent"] for row in read_rows(lake, "cleaned_users", FIRST)] == [False]
