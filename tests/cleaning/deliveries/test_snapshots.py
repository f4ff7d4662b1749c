"""Files that are overwritten: what a night keeps, delivers, and shows a backfilled date."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import random
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.deliveries import take_snapshots
from pipeline.cleaning.night import CleanedNight, clean_night
from pipeline.errors import InputError
from pipeline.lake import Lake, Run
from pipeline.pseudonym import pseudonym, read_or_make_key
from pipeline.settings import Settings
from pipeline.sources.shop_source import shop_source
from pipeline.sources.snapshots import Snapshots

SHOP = """
source: shop
description: A shop whose catalogue and customers are one file each.
datasets:
  events:
    files: "events_{date}.csv"
    format: csv
    columns: [who, sku, at]
    map: {event_time: at, event_type: "'purchase'", user_id: who, item_id: sku}
  items:
    files: "items.csv"
    format: csv
    delivery: snapshot
    columns: [sku, title, stock, seen]
    map: {item_id: sku, title: title, stock: stock}
  users:
    files: "users.csv"
    format: csv
    delivery: snapshot
    columns: [who, agrees, street]
    map: {user_id: who, consent: "agrees = 'Y'"}
"""
ITEMS = {"i1": "5", "i2": "5", "i3": "5"}
USERS = {"u1": "Y", "u2": "Y", "u3": "N"}

Day = int
State = Mapping[str, str]


class Shop:
    """A shop in March 2026; nights are its days."""

    def __init__(self, spark: SparkSession, settings: Settings, root: Path) -> None:
        (root / "shop.yaml").write_text(SHOP)
        shop = dataclasses.replace(settings.shop, source=str(root / "shop.yaml"))
        self.spark, self.settings = spark, dataclasses.replace(settings, shop=shop)
        self.raw, self.lake = Path(settings.paths.raw), Lake(settings.paths.lake)
        self.raw.mkdir()

    def events(self, *days: Day) -> None:
        for day in days:
            of = dt.date(2026, 3, day)
            file = self.raw / f"events_{of}.csv"
            file.write_text(f"who,sku,at\nu1,i1,{of} 10:00:00\n")

    def write(self, items: State = ITEMS, users: State = USERS, seen: str = "") -> None:
        rows = [f"{sku},Lamp {sku},{stock},{seen}" for sku, stock in items.items()]
        (self.raw / "items.csv").write_text("\n".join(["sku,title,stock,seen", *rows]) + "\n")
        rows = [f"{who},{agrees},Elm Street {who}" for who, agrees in users.items()]
        (self.raw / "users.csv").write_text("\n".join(["who,agrees,street", *rows]) + "\n")

    def night(self, day: Day) -> CleanedNight:
        run = Run(dt.date(2026, 3, day), f"night-{day}")
        return clean_night(self.spark, self.settings, self.lake, run)

    def store(self, dataset: str) -> Snapshots:
        return shop_source(self.settings).datasets[dataset].snapshots

    def known(self, dataset: str, day: Day) -> dict[str, str]:
        """Stock of what may be sold, or who agrees, as known on a day."""
        found: dict[str, str] = {}
        key = read_or_make_key(self.settings.privacy.key_file)
        names = {pseudonym(f"u{n}", key): f"u{n}" for n in range(50)}
        for partition in self.lake.past(f"cleaned_{dataset}", dt.date(2026, 3, day)):
            for file in partition.files:
                for row in pq.ParquetFile(file).read().to_pylist():
                    if dataset == "users":
                        found[names[row["user_id"]]] = "Y" if row["consent"] else "N"
                    elif row["listed"]:
                        found[row["item_id"]] = str(row["stock"])
                    else:
                        found.pop(row["item_id"], None)
        return found

    def agree(self, day: Day) -> set[str]:
        return {user for user, agrees in self.known("users", day).items() if agrees == "Y"}


@pytest.fixture
def shop(spark: SparkSession, settings: Settings, tmp_path: Path) -> Shop:
    return Shop(spark, settings, tmp_path)


def counts(night: CleanedNight, dataset: str, day: Day) -> tuple[int, int, dict[str, int]]:
    (line,) = [
        line
        for line in night.lines
        if line.dataset == dataset and line.run_date == dt.date(2026, 3, day)
    ]
    line.check()
    return line.rows_in, line.rows_out, dict(line.removed)


def test_what_changed_is_what_the_night_delivered(shop: Shop) -> None:
    """Same size, same number of rows; past days are not cleaned again; a past date sees its own."""
    shop.events(1, 2, 3)
    shop.write()
    first = shop.night(2)
    assert first.days == [dt.date(2026, 3, 1), dt.date(2026, 3, 2)]
    assert counts(first, "items", 1) == (3, 3, {})
    assert counts(first, "items", 2) == (3, 0, {"unchanged": 3})

    sizes = [(shop.raw / name).stat().st_size for name in ("items.csv", "users.csv")]
    shop.write(ITEMS | {"i2": "0"}, USERS | {"u2": "N"})
    assert [(shop.raw / name).stat().st_size for name in ("items.csv", "users.csv")] == sizes
    second = shop.night(3)
    assert second.days == [dt.date(2026, 3, 3)]
    assert counts(second, "items", 3) == (3, 1, {"unchanged": 2})
    assert counts(second, "users", 3) == (3, 1, {"unchanged": 2})
    assert second.snapshots == {
        "items": "0 new, 1 changed, 0 gone",
        "users": "0 new, 1 changed, 0 gone",
    }
    assert shop.known("items", 3) == ITEMS | {"i2": "0"}
    assert shop.agree(3) == {"u1"}
    assert shop.agree(2) == {"u1", "u2"}

    shop.write({}, {})  # tonight's file is not looked at by a past night
    again = shop.night(2)
    assert again.days == [dt.date(2026, 3, 2)]
    assert shop.known("items", 2) == ITEMS
    assert not again.warnings
