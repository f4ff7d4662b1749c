"""Raw input that no night can be made of: one clear message, and nothing committed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.night import clean_night
from pipeline.errors import GateError, InputError, NightcartError, SettingsError, StorageError
from pipeline.lake import Lake, Run
from pipeline.ledger import read_ledger
from pipeline.settings import Settings
from pipeline.sources.source import DATASETS

DAY = dt.date(2026, 3, 1)
NIGHT = Run(DAY, "night")
EVENT = {
    "event_id": "e1",
    "ts": "2026-03-01T10:00:00+00:00",
    "type": "view",
    "user": "u1",
    "item": "i1",
    "session": "s1",
    "qty": None,
    "price": 9.5,
}
ITEMS = "sku,title,brand,category,price,stock,listed\n"


@pytest.fixture
def delivery(settings: Settings) -> Path:
    """A day's folder of the simulated shop's layout, small and good."""
    folder = Path(settings.paths.raw) / f"date={DAY}"
    _deliver(folder, DAY)
    return folder


def _deliver(folder: Path, day: dt.date) -> None:
    folder.mkdir(parents=True)
    acts = ({**EVENT, "event_id": f"{day.day}-{n}", "ts": f"{day}T1{n}:00:00Z"} for n in range(5))
    _events(folder, *acts)
    (folder / "items.csv").write_text(f"{ITEMS}i1,Lamp,Brand,Home,9.5,3,true\n")


def _events(folder: Path, *events: dict) -> None:
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


def _without(column: str) -> Callable[[Path], object]:
    event = {key: value for key, value in EVENT.items() if key != column}
    return lambda folder: _events(folder, event)


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a missing file": (
        lambda folder: (folder / "events.jsonl").unlink(),
        r"not delivered: .*date=2026-03-01/events\.jsonl .* does not exist",
    ),
    "an empty day": (
        lambda folder: (folder / "events.jsonl").write_text("\n \n"),
        r"date=2026-03-01/events\.jsonl holds no row",
    ),
    "a catalogue without rows": (
        lambda folder: (folder / "items.csv").write_text(ITEMS),
        r"date=2026-03-01/items\.csv holds no row",
    ),
    "a catalogue without a good row": (
        lambda folder: (folder / "items.csv").write_text(f"{ITEMS},Lamp,,,9.5,3,true\n"),
        r"the catalogue is empty: .*items\.csv gave not one item .*item_id_missing",
    ),
    "an empty file": (
        lambda folder: (folder / "items.csv").write_text(""),
        r"items\.csv is empty: it has not even the header sku,title",
    ),
    "an error page": (
        lambda folder: (folder / "events.jsonl").write_text("<!DOCTYPE html><html>502</html>"),
        r"events\.jsonl is HTML .* expects jsonl",
    ),
    "a binary file": (
        lambda folder: (folder / "items.csv").write_bytes(b"sku\x00\x01\x02" * 50),
        r"items\.csv is binary.* expects csv",
    ),
    "an Excel workbook": (
        lambda folder: (folder / "items.csv").write_bytes(b"PK\x03\x04" + bytes(range(200))),
        r"items\.csv is a ZIP archive \(or an Excel workbook\)",
    ),
    "one JSON array": (
        lambda folder: (folder / "events.jsonl").write_text(json.dumps([EVENT])),
        r"events\.jsonl is one JSON array; write one object per line",
    ),
    "CSV where JSON Lines should be": (
        lambda folder: (folder / "events.jsonl").write_text("a,b\n1,2\n3,4\n"),
        r"events\.jsonl: 3 of 3 lines cannot be read as jsonl",
    ),
    "another encoding": (
        lambda folder: (folder / "items.csv").write_bytes(
            f"{ITEMS}i1,Café,,,1,1,1".encode("cp1252")
        ),
        r"items\.csv is not utf-8 text: .*options: encoding",
    ),
    "a column missing": (
        lambda folder: (folder / "items.csv").write_text("sku,title\ni1,Lamp\n"),
        r"items\.csv: column brand, category, price, stock, listed is missing",
    ),
    "a column extra": (
        lambda folder: (folder / "items.csv").write_text("colour," + ITEMS),
        r"items\.csv: column 'colour' is not expected",
    ),
    "columns in another order": (
        lambda folder: (folder / "items.csv").write_text(
            "title,sku,brand,category,price,stock,listed\n"
        ),
        r"items\.csv: columns are in another order",
    ),
    "a key missing": (
        _without("session"),
        r"events\.jsonl: key session is missing from every line",
    ),
    "a key extra": (
        lambda folder: _events(folder, EVENT, {**EVENT, "event_id": "e2", "colour": "red"}),
        r"events\.jsonl: key 'colour' is not expected",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_clear_message_and_nothing_committed(
    spark: SparkSession, settings: Settings, lake: Lake, delivery: Path, case: str
) -> None:
    """The file is named, and the row or the column, and the lake has nothing of the day."""
    spoil, message = CASES[case]
    spoil(delivery)
    with pytest.raises(InputError, match=message):
        clean_night(spark, settings, lake, NIGHT)
    assert not list(Path(settings.paths.lake).rglob("current.json"))


def test_a_day_that_is_mostly_refused_stops_the_night(
    spark: SparkSession, settings: Settings, lake: Lake, delivery: Path
) -> None:
    """The gate names the top reasons."""
    good = [{**EVENT, "event_id": f"g{n}"} for n in range(20)]
    bad = [{**EVENT, "event_id": f"b{n}", "type": "hover"} for n in range(40)]
    _events(delivery, *good, *bad)
    with pytest.raises(GateError, match="40 of 60 rows .* event_type_unknown_value 40"):
        clean_night(spark, settings, lake, NIGHT)
    assert not list(Path(settings.paths.lake).rglob("current.json"))


def test_a_lake_that_cannot_be_written(
    spark: SparkSession, settings: Settings, delivery: Path
) -> None:
    """A file stands where the lake should be."""
    Path(settings.paths.lake).write_text("not a directory")
    with pytest.raises(StorageError, match=r"cannot read .*key\.json: Not a directory"):
        clean_night(spark, settings, Lake(settings.paths.lake), NIGHT)


def test_yesterday_stays_when_today_is_refused(
    spark: SparkSession, settings: Settings, lake: Lake, delivery: Path
) -> None:
    """A good day, then one with a broken header; then the same day, compressed and put right."""
    clean_night(spark, settings, lake, NIGHT)
    before = {name: lake.require(name, DAY).manifest for name in ("cleaned_events", "quarantine")}
    assert before["cleaned_events"]["rows"] == 5
    tomorrow = DAY + dt.timedelta(days=1)
    folder = delivery.with_name(f"date={tomorrow}")
    _deliver(folder, tomorrow)
    (folder / "items.csv").write_text("sku;title\n")
    with pytest.raises(NightcartError):
        clean_night(spark, settings, lake, Run(tomorrow, "night"))
    assert {name: lake.require(name, DAY).manifest for name in before} == before
    assert lake.dates("cleaned_events") == [DAY]
    (folder / "items.csv").unlink()
    with gzip.open(folder / "items.csv.gz", "wt") as file:
        file.write(f"{ITEMS}i1,Lamp,Brand,Home,9.5,3,true\n")
    night = clean_night(spark, settings, lake, Run(tomorrow, "night"))
    assert night.days == [tomorrow]
    assert lake.require("cleaned_events", tomorrow).rows == 5


def test_a_gap_in_the_past_names_its_remedy(
    spark: SparkSession, settings: Settings, lake: Lake, delivery: Path
) -> None:
    """Which the setting is; a date that is none is refused."""
    tomorrow = DAY + dt.timedelta(days=1)
    _deliver(delivery.with_name(f"date={tomorrow}"), tomorrow)
    run = Run(tomorrow, "night")
    remedy = 'cleaning.first_day = "2026-03-02"'
    (delivery / "items.csv").write_text(ITEMS)
    with pytest.raises(InputError, match=remedy):
        clean_night(spark, settings, lake, run)
    (delivery / "items.csv").unlink()
    with pytest.raises(InputError, match=remedy):
        clean_night(spark, settings, lake, run)
    assert clean_night(spark, _from(settings, "2026-03-02"), lake, run).days == [tomorrow]
    with pytest.raises(SettingsError, match="cleaning.first_day must be a date"):
        clean_night(spark, _from(settings, "2 March"), lake, run)


def _from(settings: Settings, first_day: str) -> Settings:
    cleaning = dataclasses.replace(settings.cleaning, first_day=first_day)
    return dataclasses.replace(settings, cleaning=cleaning)


def test_what_comes_late_for_a_past_day_is_taken_in(
    spark: SparkSession, settings: Settings, lake: Lake, delivery: Path
) -> None:
    """As if it had been there in time: an optional file, an amended one, a catalogue's item."""
    days = [DAY + dt.timedelta(days=n) for n in range(3)]
    folders = [delivery.with_name(f"date={day}") for day in days]
    for folder, day in zip(folders[1:], days[1:], strict=True):
        _deliver(folder, day)
    known_and_not = ({**EVENT, "event_id": f"f{n}", "item": f"i{n}"} for n in (1, 2))
    _events(folders[1], *(event | {"ts": f"{days[1]}T10:00:00Z"} for event in known_and_not))
    clean_night(spark, settings, lake, Run(days[1], "night"))
    assert lake.require("cleaned_events", days[1]).rows == 1
    (folders[0] / "users.csv").write_text("user,consent,lang,country\nu1,false,en,DE\n")
    assert clean_night(spark, settings, lake, Run(days[2], "late-users")).days == [DAY, days[2]]
    assert lake.require("cleaned_users", DAY).rows == 1
    (folders[0] / "items.csv").write_text(f"{ITEMS}i1,Lamp,,,9.5,3,true\ni2,Bed,,,9.5,3,true\n")
    night = clean_night(spark, settings, lake, Run(days[2], "late-item"))
    assert night.days == days
    assert lake.require("cleaned_events", days[1]).rows == 2
    fresh = Lake(lake.root.with_name("fresh lake"))
    clean_night(spark, settings, fresh, Run(days[2], "bulk"))
    for name in (*(f"cleaned_{name}" for name in DATASETS), "quarantine"):
        for day in days:
            found, expected = lake.require(name, day), fresh.require(name, day)
            assert found.manifest["files"] == expected.manifest["files"]
    with gzip.open(folders[0] / "events.jsonl.gz", "wb") as file:
        file.write((folders[0] / "events.jsonl").read_bytes())
    for path in (folders[0] / "events.jsonl", folders[1] / "items.csv"):
        path.unlink()  # compressed to save space; cleared up
    assert clean_night(spark, settings, lake, Run(days[2], "tidied")).days == [days[2]]


def test_a_retry_keeps_the_ledger_of_the_days_that_it_finds_done(
    spark: SparkSession, settings: Settings, lake: Lake, delivery: Path
) -> None:
    """A first night of two days is cut off between them; the ledger is whole then and after."""
    tomorrow = DAY + dt.timedelta(days=1)
    _deliver(delivery.with_name(f"date={tomorrow}"), tomorrow)
    run = Run(tomorrow, "night")
    obstacle = lake.date_directory("cleaned_items", tomorrow)
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("where the second day's directory should be")
    with pytest.raises(StorageError):
        clean_night(spark, settings, lake, run)
    assert lake.dates("cleaned_items") == [DAY]
    both = {(day, name) for day in (DAY, tomorrow) for name in DATASETS}
    assert {(line.run_date, line.dataset) for line in read_ledger(lake, run)} == both
    obstacle.unlink()
    assert clean_night(spark, settings, lake, run).days == [tomorrow]
    lines = read_ledger(lake, run)
    assert sorted((line.run_date, line.dataset) for line in lines) == sorted(both)
    for line in lines:
        assert lake.require(f"cleaned_{line.dataset}", line.run_date).rows == line.rows_out
