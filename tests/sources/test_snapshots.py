"""What is kept of overwritten files: which date sees what, what expires, what is not as written."""

from __future__ import annotations

import dataclasses
import datetime as dt
import multiprocessing
import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ContractError, DamagedError, SettingsError
from pipeline.settings import Settings
from pipeline.sources.shop_source import expire_snapshots, shop_source
from pipeline.sources.snapshots import Snapshot, Snapshots
from pipeline.sources.source_yaml import parse_source

YAML = """
source: shop
description: A shop.
datasets:
  events:
    files: "events_{date}.csv"
    format: csv
    columns: [at, who, sku]
    map: {event_time: at, event_type: "'purchase'", user_id: who, item_id: sku}
  items:
    files: "items.csv"
    format: csv
    delivery: snapshot
    columns: [sku, title]
    map: {item_id: sku, title: title}
"""


def day(number: int) -> dt.date:
    return dt.date(2026, 3, number)


def take(store: Snapshots, date: dt.date, *rows: str, name: str = "") -> Snapshot:
    """As a night does, with rows that have one column."""
    with store.alone():
        aside = store.begin(date)
        (aside / "kept").mkdir()
        pq.write_table(pa.table({"who": list(rows)}), aside / "kept" / "rows-00000.parquet")
        made = {"rows": {"users.csv": len(rows)}, "kept": len(rows), "erased": 0}
        snapshot = store.put(aside / "kept", name or f"{date}.{rows[0]}", made)
        store.note(date, snapshot, "run")
    return snapshot


@pytest.fixture
def store(tmp_path: Path) -> Snapshots:
    """Taken on the 3rd, the 5th and the 6th; on the 6th the file was as on the 5th."""
    store = Snapshots(tmp_path / "snapshots", "users")
    take(store, day(3), "a")
    take(store, day(5), "b")
    with store.alone():
        store.note(day(6), store.named(f"{day(5)}.b"), "run")
    return store


def test_a_date_sees_the_newest_snapshot_up_to_it(store: Snapshots) -> None:
    seen = {number: store.as_of(day(number)) for number in range(1, 9)}
    names = {number: snapshot.name[-1] for number, snapshot in seen.items() if snapshot}
    assert names == {1: "a", 2: "a", 3: "a", 4: "a", 5: "b", 6: "b", 7: "b", 8: "b"}
    assert [store.sees_kept(day(number)) for number in (1, 5, 6, 7)] == [True, True, True, False]
    assert Snapshots(store.root.parent, "items").as_of(day(3)) is None
    assert Snapshots(store.root.parent, "items").said() == ""
    assert store.said().startswith("2 snapshots kept for 3 nights since 2026-03-03; ")


def test_what_expires_leaves_what_the_next_day_is_compared_with(
    store: Snapshots, settings: Settings
) -> None:
    paths = dataclasses.replace(settings.paths, snapshots=str(store.root.parent))
    settings = dataclasses.replace(settings, paths=paths)
    assert expire_snapshots(settings, None) == 0
    assert expire_snapshots(settings, day(4)) == 0
    assert expire_snapshots(settings, day(5), dry_run=True) == 1
    assert len(store.snapshots()) == 2
    assert expire_snapshots(settings, day(5)) == 1
    assert (store.dates(), [path.name[-1] for path in store.snapshots()]) == (
        [day(5), day(6)],
        ["b"],
    )


def test_a_snapshot_whose_night_was_run_again_goes_after_two_days(store: Snapshots) -> None:
    take(store, day(6), "c")
    take(store, day(6), "d")
    with store.alone():
        assert [path.name[-1] for path in store.snapshots()] == ["a", "b", "c", "d"]
    old = time.time() - 3 * 24 * 3600
    for path in store.snapshots():
        os.utime(path / "snapshot.json", (old, old))
    with store.alone():
        assert [path.name[-1] for path in store.snapshots()] == ["a", "b", "d"]


def test_what_is_not_as_it_was_written_is_named(store: Snapshots) -> None:
    assert list(store.faults()) == []
    rows = store.root / f"{day(3)}.a" / "rows-00000.parquet"
    rows.write_bytes(rows.read_bytes()[:-1] + b"x")
    (fault,) = store.faults()
    assert f"{rows} is not what was written" in fault
    rows.unlink()
    (fault,) = store.faults()
    assert f"{rows} is missing" in fault
    manifest = rows.with_name("snapshot.json")
    manifest.write_text(manifest.read_text().replace('"kept": 1', '"kept": 2'))
    assert all("snapshot.json" in fault for fault in store.faults())
    with pytest.raises(DamagedError, match="and those nights read the one before"):
        store.as_of(day(4))


def _hold(root: str, entered: multiprocessing.synchronize.Event) -> None:
    with Snapshots(root, "users").alone():
        (Path(root) / "users" / "taking-2026-03-09").mkdir()
        entered.set()
        time.sleep(1)
        (Path(root) / "users" / "taking-2026-03-09").rmdir()


def test_two_nights_at_once_take_one_after_the_other(store: Snapshots) -> None:
    """The second finds nothing half done, and would remove it if the first had been killed."""
    context = multiprocessing.get_context("spawn")
    entered = context.Event()
    other = context.Process(target=_hold, args=(str(store.root.parent), entered))
    other.start()
    assert entered.wait(60)
    with store.alone():
        assert list(store.root.glob("taking-*")) == []
    other.join()
    assert other.exitcode == 0


@pytest.mark.parametrize(
    ("message", "old", "new"),
    [
        ("a snapshot has no {date}", '"items.csv"', '"items_{date}.csv"'),
        (
            "delivery: snapshot is for items and users",
            '"events_{date}.csv"\n',
            '"events.csv"\n    delivery: snapshot\n',
        ),
        (
            "row_time: the rows of a snapshot",
            "delivery: snapshot",
            "delivery: snapshot\n    row_time: sku",
        ),
        ("(a snapshot always is)", "delivery: snapshot", "delivery: snapshot\n    complete: true"),
        ("in a file that is overwritten delivery: snapshot", "    delivery: snapshot\n", ""),
        ("expected one of daily, dump, snapshot", "delivery: snapshot", "delivery: snap"),
    ],
)
def test_what_a_snapshot_cannot_be_is_refused(message: str, old: str, new: str) -> None:
    assert old in YAML
    with pytest.raises(ContractError) as caught:
        parse_source(YAML.replace(old, new), "shop.yaml")
    assert message in str(caught.value)


def test_a_dump_that_nothing_dates_is_a_snapshot() -> None:
    """It used to belong to the first day as a whole, which was cleaned again with each change."""
    dump = parse_source(YAML.replace("delivery: snapshot", "delivery: dump"), "shop.yaml")
    assert dump.datasets["items"] == parse_source(YAML, "shop.yaml").datasets["items"]
    dated = YAML.replace("delivery: snapshot", "delivery: dump\n    row_time: title")
    assert parse_source(dated, "shop.yaml").datasets["items"].delivery == "dump"


@pytest.mark.parametrize("place", ["lake/kept", "lake", "raw", "."])
def test_snapshots_lie_neither_in_the_lake_nor_among_the_files(
    settings: Settings, tmp_path: Path, place: str
) -> None:
    (tmp_path / "shop.yaml").write_text(YAML)
    shop = dataclasses.replace(settings.shop, source=str(tmp_path / "shop.yaml"))
    assert settings.paths.snapshots == f"{settings.paths.lake}-snapshots"
    shop_source(dataclasses.replace(settings, shop=shop))
    paths = dataclasses.replace(settings.paths, snapshots=str(tmp_path / place))
    with pytest.raises(SettingsError, match="they must lie apart"):
        shop_source(dataclasses.replace(settings, shop=shop, paths=paths))
