"""Files that are overwritten: what a night keeps, delivers, and shows a backfilled date."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline import durable
from pipeline.cleaning.deliveries import take_snapshots
from pipeline.cleaning.deliveries.changed_days import changed_days
from pipeline.cleaning.deliveries.take_snapshots import Taking, copy_whole
from pipeline.cleaning.night import CleanedNight, clean_night
from pipeline.cleaning.rows.mapping import Calendar
from pipeline.encryption.keyring import SPARK_KEY, use
from pipeline.encryption.parquet_files import is_encrypted, read_table
from pipeline.erased import digest_of
from pipeline.erasure.kept_snapshots import kept_of, remove_kept
from pipeline.erasure.wanted import Wanted
from pipeline.errors import InputError
from pipeline.lake import Lake, Run
from pipeline.lake_key import key_file_of_lake
from pipeline.pseudonym import pseudonym, read_or_make_key
from pipeline.settings import Encryption, Settings
from pipeline.sources.delivered_files import missing_files
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.shop_source import shop_source
from pipeline.sources.snapshots import Snapshot, Snapshots
from tests.lake_rows import write_rows

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

    def take(self, day: Day, erased: frozenset[str] = frozenset()) -> list[str]:
        """As a night that is killed before it has cleaned anything."""
        run = Run(dt.date(2026, 3, day), f"killed-{day}")
        key = key_file_of_lake(self.lake, self.settings.privacy.key_file)
        taking = Taking(self.spark, self.settings, run, key, erased)
        return take_snapshots.take_snapshots(taking, shop_source(self.settings))

    def known(self, dataset: str, day: Day) -> dict[str, str]:
        """Stock of what may be sold, or who agrees, as known on a day."""
        found: dict[str, str] = {}
        key = read_or_make_key(self.settings.privacy.key_file)
        names = {pseudonym(f"u{n}", key): f"u{n}" for n in range(50)}
        for partition in self.lake.past(f"cleaned_{dataset}", dt.date(2026, 3, day)):
            for file in partition.files:
                for row in read_table(file).to_pylist():
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


@pytest.fixture
def encrypted(shop: Shop, tmp_path: Path) -> Iterator[Shop]:
    """The same shop, with encryption; the session is plain again afterwards."""
    key = Encryption(enabled=True, key_file=str(tmp_path / "lake.key"))
    shop.settings = dataclasses.replace(shop.settings, encryption=key)
    keyring = use(shop.settings)
    keyring.prepare()
    for name, value in keyring.spark_options().items():
        shop.spark.conf.set(name, value)
    yield shop
    shop.spark.conf.set(SPARK_KEY, "")


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

    kept = [path for path in Path(shop.settings.paths.snapshots).rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept if path.name != ".lock"} == {0o600}
    rows = [
        row for path in kept if path.suffix == ".parquet" for row in pq.read_table(path).to_pylist()
    ]
    assert {"u1", "u2"} <= {row.get("who") for row in rows}
    assert not any("Elm Street" in str(row) for row in rows), "no expression reads it"
    assert {path for path in kept if path.is_relative_to(shop.lake.root)} == set()


def test_what_is_kept_and_what_is_gone_are_encrypted(encrypted: Shop) -> None:
    """And an erasure finds its users there."""
    shop = encrypted
    shop.events(1, 2)
    shop.write()
    shop.take(1)
    shop.write({"i1": "5"}, {"u1": "Y"})
    shop.night(2)
    assert shop.known("items", 2) == {"i1": "5"}
    assert (shop.agree(1), shop.agree(2)) == ({"u1", "u2"}, {"u1"})

    root = Path(shop.settings.paths.snapshots)
    cleaned = [path for name in ("items", "users", "events") for path in files(shop, name)]
    assert {
        path for path in (*root.rglob("*.parquet"), *cleaned) if not is_encrypted(path)
    } == set()
    wanted = Wanted.of_ids(["u1"], read_or_make_key(shop.settings.privacy.key_file))
    found = kept_of(root, wanted)
    assert [sum(one.rows.values()) for one in found] == [1, 1]
    for one in found:
        with one.store.alone():
            remove_kept(one, wanted)
        assert all(is_encrypted(path) for path in one.snapshot.files)
    assert [one.store.named(one.snapshot.name).manifest["kept"] for one in found] == [2, 0]
    assert kept_of(root, wanted) == []


def files(shop: Shop, dataset: str) -> list[Path]:
    return [
        path
        for part in shop.lake.past(f"cleaned_{dataset}", dt.date(2026, 3, 31))
        for path in part.files
    ]


def test_each_date_sees_the_file_as_it_was(shop: Shop) -> None:
    """Random files, each kept by a night that died then; one night cleans all days from them."""
    rng = random.Random(14)
    days = range(3, 11)
    items: dict[Day, dict[str, str]] = {}
    users: dict[Day, dict[str, str]] = {}
    for day in days:
        # Unreadable stock has the item refused: what nobody knows is not sold.
        items[day] = {
            f"i{n}": rng.choice(["0", "5", "5", "9", "many"])
            for n in range(1, 9)
            if n == 1 or rng.random() < 0.7
        }
        users[day] = {
            f"u{n}": rng.choice("YN") for n in range(1, 9) if n == 1 or rng.random() < 0.7
        }
        if rng.random() < 0.3 and day > days[0]:
            items[day], users[day] = items[day - 1], users[day - 1]
        shop.write(items[day], users[day], seen=f"at {day}")
        shop.take(day)
    assert (
        len(shop.store("users").snapshots()) == len({str(users[day]) for day in days}) < len(days)
    )
    shop.events(*range(1, 11))
    (shop.store("items").root / "taking-2026-03-04").mkdir()  # a kill while it was copied
    night = shop.night(10)
    assert [day.day for day in night.days] == [*range(1, 11)]
    assert not shop.store("items").root.joinpath("taking-2026-03-04").exists()

    def sold(day: Day) -> dict[str, str]:
        return {sku: stock for sku, stock in items[day].items() if stock != "many"}

    def agree(day: Day) -> set[str]:
        return {user for user, answer in users[day].items() if answer == "Y"}

    for day in days:
        before = items[day - 1] if day > days[0] else items[day]  # the first is of an earlier day
        same = len(items[day].items() & before.items())
        assert counts(night, "items", day)[2].get("unchanged", 0) == same, day
        assert shop.known("items", day) == sold(day), day
        assert shop.agree(day) == agree(day), day
    # Days before the first snapshot are known from that one.
    assert shop.known("items", 1) == sold(3)
    assert shop.night(6).days == [dt.date(2026, 3, 6)]
    for day in days:
        assert (shop.known("items", day), shop.agree(day)) == (sold(day), agree(day)), day


def test_a_night_that_is_run_again_after_a_later_one_has_seen_its_file(shop: Shop) -> None:
    """No row is lost or delivered twice; what sees the same as before is not cleaned again."""
    path = Path(shop.settings.shop.source)
    once = "delivery: snapshot\n    required: false\n"
    path.write_text(SHOP.replace("delivery: snapshot\n", once))
    shop.events(1, 2, 3)
    shop.write()
    shop.night(1)
    for name in ("items.csv", "users.csv"):
        (shop.raw / name).unlink()
    shop.night(2)  # sees what the first night has kept
    shop.write(ITEMS | {"i2": "0"}, USERS | {"u2": "N"})
    assert [day.day for day in shop.night(1).days] == [1]
    assert (shop.known("items", 1), shop.agree(1)) == (ITEMS | {"i2": "0"}, {"u1"})

    shop.write()  # as the first time: the second day had been told so, and the third is not
    third = shop.night(3)
    assert [day.day for day in third.days] == [2, 3]
    assert counts(third, "items", 2) == (0, 0, {})
    assert counts(third, "items", 3) == (3, 1, {"unchanged": 2})
    assert [shop.known("items", day) for day in (2, 3)] == [ITEMS | {"i2": "0"}, ITEMS]
    assert [shop.agree(day) for day in (2, 3)] == [{"u1"}, {"u1", "u2"}]
    assert [day.day for day in shop.night(3).days] == [3]


def test_days_that_are_known_otherwise_now(shop: Shop) -> None:
    """By what they saw and were compared with, whatever is kept of it; written by hand."""
    users = shop.store("users")
    taken = iter(range(20))

    def take(day: Day, content: str) -> None:
        with users.alone():
            aside = users.begin(dt.date(2026, 3, day))
            raw = {"users.csv": {"sha256": content}}
            name = f"{dt.date(2026, 3, day)}.{next(taken)}"
            users.note(dt.date(2026, 3, day), users.put(aside, name, {"raw": raw, "rows": {}}), "r")

    def clean(day: Day, compared: str | None) -> None:
        of = dt.date(2026, 3, day)
        seen = users.as_of(of)
        assert seen is not None
        write_rows(
            shop.lake,
            "cleaned_users",
            Run(of, f"r{next(taken)}"),
            [],
            raw_files={},
            snapshot=seen.name,
            snapshot_content=seen.content,
            compared_with=content_of(compared),
        )

    def content_of(content: str | None) -> str | None:
        if content is None:
            return None
        return Snapshot(Path(), {"raw": {"users.csv": {"sha256": content}}}).content

    lost = set[dt.date]()

    def kept(days: Iterable[dt.date]) -> set[dt.date]:
        return {*days} - lost

    def again() -> list[Day]:
        days = tuple(dt.date(2026, 3, day) for day in range(1, 10))
        dataset = shop_source(shop.settings).datasets["users"]
        calendar = Calendar("UTC", days, exact=False)
        found = changed_days(shop.spark, shop.lake, dataset, shop.raw, calendar, without_lost=kept)
        return [day.day for day in found]

    take(3, "a")
    clean(2, None)  # sees the first one, of a later day
    clean(3, "a")
    clean(4, "a")
    take(5, "b")
    clean(5, "a")
    clean(6, "b")
    assert again() == []
    take(5, "b")  # the same bytes, without who was erased
    for path in sorted(users.root.glob("2026-03-05.*"))[:1]:
        shutil.rmtree(path)
    assert again() == []
    take(5, "c")
    assert again() == [5, 6]
    lost.add(dt.date(2026, 3, 6))  # it keeps what it saw
    assert again() == [5]
    lost.clear()
    clean(5, "a")
    assert again() == [6]
    clean(6, "c")
    # What the third saw is given up: it and all that saw it see the later one, the fifth is
    # delivered whole or by what differs, and the sixth is as it was.
    (users.root / "dates" / "2026-03-03.json").unlink()
    assert again() == [2, 3, 4]
    for day in (2, 3, 4):
        clean(day, None if day == 2 else "c")
    assert again() == []
    take(7, "d")
    clean(7, "c")
    take(8, "e")
    clean(8, "d")
    (users.root / "dates" / "2026-03-07.json").unlink()
    assert again() == [7, 8], "the eighth was compared with what the seventh does not see any more"


def test_what_is_kept_and_when_it_is_taken_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same content is kept once; an older night and another order of nights take nothing."""
    shop.write()
    assert shop.take(4) == []
    with monkeypatch.context() as patch:
        patch.setattr(take_snapshots, "_made", None)  # nothing is read by Spark
        assert shop.take(4) == []
        assert shop.take(5) == []
        (shop.raw / "users.csv").unlink()
        assert missing_files(shop_source(shop.settings), shop.raw, dt.date(2026, 3, 5)) == [
            "events_2026-03-05.csv"
        ]
        assert "users.csv" in missing_files(
            shop_source(shop.settings), shop.raw, dt.date(2026, 3, 6)
        )
        (warning, _) = shop.take(3)
        assert "the first snapshot is of 2026-03-04" in warning
    users = shop.store("users")
    assert users.said() == (
        "1 snapshot kept for 2 nights since 2026-03-04; the newest is of 2026-03-05, unchanged "
        "since 2026-03-04"
    )

    # Who was erased since is not kept again, though the file is as it was.
    shop.write()
    key = read_or_make_key(shop.settings.privacy.key_file)
    shop.take(6, frozenset({digest_of(pseudonym("u2", key), key)}))
    kept = users.on(dt.date(2026, 3, 6))
    assert kept is not None
    assert kept.manifest["erased"] == 1
    assert [row["who"] for path in kept.files for row in pq.read_table(path).to_pylist()] == [
        "u1",
        "u3",
    ]

    # The newest night reads a corrected file; one that is broken is refused, and nothing is kept.
    shop.write(ITEMS | {"i1": "7"})
    shop.take(6)
    assert [day.day for day in shop.store("items").dates()] == [4, 5, 6]
    (shop.raw / "items.csv").write_text("sku,name\ni1,Lamp\n")
    with pytest.raises(InputError, match=r"raw/items\.csv: column title"):
        shop.take(7)
    (shop.raw / "items.csv").write_text("sku,title,stock,seen\n")
    with pytest.raises(InputError, match="holds no row"):
        shop.take(7)
    assert [day.day for day in shop.store("items").dates()] == [4, 5, 6]


def test_a_file_that_is_written_while_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is copied again; one that never stands still stops the night."""
    path = tmp_path / "users.csv"
    path.write_text("old")
    left = 1
    copy = durable.copy

    def torn(source: Path, target: Path) -> None:
        nonlocal left
        copy(source, target)
        if left:
            left -= 1
            path.with_suffix(".new").write_text("new")  # of the same size
            path.with_suffix(".new").replace(path)

    monkeypatch.setattr(durable, "copy", torn)
    file = DeliveredFile("users.csv", path, None)
    (copied,) = copy_whole([file], tmp_path / "copies", pause_seconds=0.0)
    assert copied.path.read_text() == "new"
    left = 100
    with pytest.raises(InputError, match="written aside and renamed"):
        copy_whole([file], tmp_path / "copies", pause_seconds=0.0)
    left = 0
    path.unlink()
    with pytest.raises(InputError, match="is being written"):
        copy_whole([file], tmp_path / "copies", pause_seconds=0.0)
