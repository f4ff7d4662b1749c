"""A simulated shop through cleaning: every planted fault, the lake, and the same night again."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.night import CleanedNight, clean_night
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import check_columns
from pipeline.histories.past import read_past
from pipeline.lake import Lake, Run
from pipeline.ledger import LedgerLine
from pipeline.pseudonym import pseudonym, read_or_make_key
from pipeline.settings import Settings, load_settings
from pipeline.simulator.faults import KINDS
from pipeline.simulator.shop import simulate_shop

START = dt.date(2026, 1, 16)
DAYS = 16
LAST = START + dt.timedelta(days=DAYS - 1)
DATASETS = ("events", "reviews", "items", "users")
BESIDE = ("quarantine", "removed_events", "retractions")
NAMES = (*(f"cleaned_{name}" for name in DATASETS), *BESIDE)


@dataclasses.dataclass(frozen=True)
class Shop:
    """A simulated shop that was cleaned in one pass."""

    settings: Settings
    lake: Lake
    night: CleanedNight
    faults: list[dict[str, str]]

    @property
    def own_lines(self) -> list[LedgerLine]:
        """What became of the deliveries' own rows."""
        return [line for line in self.night.lines if line.dataset in DATASETS]

    def rows(self, name: str, day: dt.date | None = None) -> list[dict]:
        """Rows of a dataset in the lake."""
        days = [day] if day else self.night.days
        delivered = (self.lake.current(name, date) for date in days)
        files = [str(file) for partition in delivered if partition for file in partition.files]
        return ds.dataset(files).to_table().to_pylist() if files else []


@pytest.fixture(scope="module")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Sixteen days with twelve times the usual dirt, so that every kind of fault occurs."""
    root = tmp_path_factory.mktemp("shop")
    settings = load_settings(
        None,
        {
            "NIGHTCART_PATHS__RAW": str(root / "raw"),
            "NIGHTCART_PATHS__LAKE": str(root / "lake"),
            "NIGHTCART_PRIVACY__KEY_FILE": str(root / "user_id.key"),
            "NIGHTCART_SPARK__SHUFFLE_PARTITIONS": "2",
        },
    )
    simulate_shop(
        root / "raw", users=400, items=100, days=DAYS, seed=5, start_date=START, dirt=12.0
    )
    lake = Lake(root / "lake")
    night = clean_night(spark, settings, lake, Run(LAST, "bulk"))
    faults = [
        json.loads(line)
        for file in sorted((root / "raw/_truth/faults").iterdir())
        for line in file.read_text("utf-8").splitlines()
    ]
    yield Shop(settings, lake, night, faults)
    shutil.rmtree(root)


def test_every_planted_fault_is_caught_and_nothing_else(shop: Shop) -> None:
    """Per day, file and reason: as many rows refused or removed as were planted, to the row."""
    planted = Counter(
        (fault["day"], fault["file"].split(".")[0], fault["reason"])
        for fault in shop.faults
        if fault["expected"] != "keep"
    )
    found = Counter[tuple[str, str, str]]()
    for line in shop.own_lines:
        for reason, rows in {**line.quarantined, **line.removed}.items():
            found[line.run_date.isoformat(), line.dataset, reason] += rows
    assert found == planted
    assert {(fault["file"], fault["kind"]) for fault in shop.faults} == {
        (kind.file, kind.name) for kind in KINDS
    }


def test_every_row_names_its_source(shop: Shop) -> None:
    """Also one that came late, and one that a rule took out."""
    for name in ("cleaned_events", "cleaned_reviews", "cleaned_items", "removed_events"):
        assert {row["source"] for row in shop.rows(name)} == {"simulator"}, name


def test_it_is_the_planted_rows_that_are_refused(shop: Shop) -> None:
    """Each refused row lies in quarantine, under its reason, with the hash of its own id."""
    key = read_or_make_key(shop.settings.privacy.key_file)
    keys = {"events": "event_id", "reviews": "review_id", "items": "sku"}
    refused = Counter(
        (row["dataset"], row["reason"], json.loads(row["raw"])[keys[row["dataset"]]])
        for row in shop.rows("quarantine")
        if row["reason"] != "unreadable_line" and row["dataset"] in keys
    )
    planted = Counter(
        (
            fault["file"].split(".")[0],
            fault["reason"],
            fault["id"] if fault["file"] == "items.csv" else pseudonym(fault["id"], key),
        )
        for fault in shop.faults
        if fault["expected"] == "quarantine"
        and fault["reason"] != "unreadable_line"
        and fault["file"] != "users.csv"
    )
    assert refused == planted


def test_what_must_not_survive_does_not_and_its_row_does(shop: Shop) -> None:
    """E-mail addresses, phones, cards and markup are gone from rows that are kept."""
    key = read_or_make_key(shop.settings.privacy.key_file)
    texts = {row["event_id"]: row["query"] or "" for row in shop.rows("cleaned_events")} | {
        row["review_id"]: f"{row['title']} {row['text']}" for row in shop.rows("cleaned_reviews")
    }
    kept = [
        fault
        for fault in shop.faults
        if fault["expected"] == "keep" and fault["file"] in ("events.jsonl", "reviews.jsonl")
    ]
    assert kept
    for fault in kept:
        row_id = pseudonym(fault["id"], key)
        if fault["kind"] == "late" and row_id not in texts:
            pytest.fail(f"late event {fault['id']} was lost")
        if fault["needle"]:
            assert fault["needle"] not in texts[row_id]


def test_no_retailer_id_is_in_the_lake(shop: Shop) -> None:
    """Of a user, event, review or visit: not in a column, in quarantine, in an unreadable line."""
    key = read_or_make_key(shop.settings.privacy.key_file)
    raw = Path(shop.settings.paths.raw)
    users = set(pq.read_table(raw / "_truth/users.parquet")["user"].to_pylist())
    assert {row["user_id"] for row in shop.rows("cleaned_users")} <= {
        pseudonym(user, key) for user in users
    }
    given = users | set(
        re.findall(
            r'"(?:event_id|review_id|session|user)": *"([^"]+)"',
            "".join(file.read_text("utf-8") for file in raw.glob("date=*/*.jsonl")),
        )
    )
    assert len(given) > len(users) + 100
    for name in NAMES:
        for row in shop.rows(name):
            words = set(re.split(r"[^\w.-]+", json.dumps(row, default=str)))
            assert not words & given


def test_the_ledger_balances_and_matches_the_lake(shop: Shop) -> None:
    """One line per dataset and day, each the rows of its partition but for restored ones."""
    assert all(line.unaccounted == 0 for line in shop.night.lines)
    assert len(shop.own_lines) == len(DATASETS) * DAYS
    for line in shop.own_lines:
        partition = shop.lake.require(f"cleaned_{line.dataset}", line.run_date)
        assert partition.rows == line.rows_out + partition.manifest.get("restored", 0)
        assert sum(pq.read_metadata(file).num_rows for file in partition.files) == partition.rows
    read = Counter[tuple[str, str]]()
    raw = Path(shop.settings.paths.raw)
    for file in raw.glob("date=*/*"):
        lines = len([line for line in file.read_text("utf-8").splitlines() if line.strip()])
        day, dataset = file.parent.name.removeprefix("date="), file.stem
        read[day, dataset] = lines - (file.suffix == ".csv")
    assert {
        (line.run_date.isoformat(), line.dataset): line.rows_in for line in shop.own_lines
    } == dict(read)


def test_what_is_written_has_its_contract(shop: Shop, spark: SparkSession) -> None:
    """Columns, types and keys."""
    for name in NAMES:
        newest = shop.lake.past(name, LAST)[-1:]
        # No day's outcomes need change here; tests/cleaning/late/test_late_nights.py has some.
        assert newest or name == "retractions"
        if not newest:
            continue
        contract = load_contract(name)
        frame = spark.read.parquet(*map(str, newest[0].files))
        check_columns(frame, contract)
        if contract.key:
            assert frame.select(*contract.key).distinct().count() == frame.count()


def test_rows_lie_in_the_partition_of_their_own_day(shop: Shop, spark: SparkSession) -> None:
    """Of the delivery that brought them; the manifest says which came late; readers see all."""
    late_in_all = 0
    for name, column in (("cleaned_events", "event_date"), ("cleaned_reviews", "review_date")):
        found = Counter[tuple[dt.date, dt.date]]()
        for day in shop.night.days:
            partition = shop.lake.require(name, day)
            for file in partition.files:
                dates = pq.ParquetFile(file).read(columns=[column])[column].to_pylist()
                assert {f"{column}={date}" for date in dates} <= {file.parent.name}
                found.update((day, date) for date in dates)
            late = {own.isoformat(): n for (at, own), n in found.items() if at == day != own}
            assert partition.manifest["late"] == late
            late_in_all += sum(late.values())
        past = read_past(spark, shop.lake, name, LAST)
        assert past.columns == [*load_contract(name).column_names, "run_date"]
        read = past.groupBy("run_date", column).count().collect()
        taken_back = Counter[dt.date](
            row["event_date"]
            for row in shop.rows("retractions")
            if row["dataset"] == name.removeprefix("cleaned_")
        )
        seen = Counter[dt.date]()
        for row in read:
            assert row["count"] <= found[row["run_date"], row[column]]
            seen[row[column]] += row["count"]
        for (_, own), rows in found.items():
            seen[own] -= rows
        assert -seen == taken_back
    planted = [fault for fault in shop.faults if fault["kind"] == "late"]
    assert 0 < late_in_all <= len(planted)


def test_days_one_by_one_and_the_night_again_give_the_same_bytes(
    shop: Shop, spark: SparkSession, tmp_path: Path
) -> None:
    """Bulk == day by day, rerun == first run: equal file names and checksums."""
    paths = dataclasses.replace(shop.settings.paths, lake=str(tmp_path / "lake"))
    settings = dataclasses.replace(shop.settings, paths=paths)
    lake = Lake(tmp_path / "lake")
    nights = [LAST - dt.timedelta(days=1), LAST]
    cleaned = [clean_night(spark, settings, lake, Run(day, "one")) for day in nights]
    assert [len(night.days) for night in cleaned] == [DAYS - 1, 1]
    assert _bytes(lake) == _bytes(shop.lake)
    clean_night(spark, settings, lake, Run(LAST, "again"))
    assert lake.require("cleaned_events", LAST).run_id == "again"
    assert _bytes(lake) == _bytes(shop.lake)


def _bytes(lake: Lake) -> dict[str, list[dict]]:
    return {
        f"{name} {day}": lake.require(name, day).manifest["files"]
        for name in NAMES
        for day in lake.dates(name)
    }
