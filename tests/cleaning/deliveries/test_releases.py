"""Refused rows are released after a fix: into their day, once, and the ledger balances again."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning import commit_days
from pipeline.cleaning.deliveries.refused_rows import RefusedFilter, refusals
from pipeline.cleaning.deliveries.releases import mark, marked_days, plan_release
from pipeline.cleaning.night import clean_night
from pipeline.errors import StorageError
from pipeline.lake import Lake, Run
from pipeline.settings import Settings
from pipeline.sources.source_yaml import load_source
from tests.lake_rows import given_ids, read_rows

FIRST, SECOND = dt.date(2026, 3, 1), dt.date(2026, 3, 2)
SHOP = """
source: shop
description: A shop whose tracker and catalogue have faults that are put right later.
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
"""
FIXED = SHOP + "    event_types: {hover: view}\n"
EVENTS = {"a": ("view", "i1"), "b": ("hover", "i1"), "c": ("hover", "i9"), "d": ("view", "i9")}


@pytest.fixture
def shop(settings: Settings, tmp_path: Path) -> Settings:
    """Two days; what item i9 is, only the second one's catalogue says."""
    raw = Path(settings.paths.raw)
    raw.mkdir()
    (tmp_path / "shop.yaml").write_text(SHOP)
    for day, items in ((FIRST, ("i1",)), (SECOND, ("i1", "i9"))):
        lines = [f"{sku},Lamp" for sku in items]
        (raw / f"items_{day}.csv").write_text("\n".join(["sku,title", *lines]))
        _write_events(raw, day, EVENTS if day == FIRST else {"z": ("view", "i1")})
    return dataclasses.replace(
        settings, shop=dataclasses.replace(settings.shop, source=str(tmp_path / "shop.yaml"))
    )


def _write_events(raw: Path, day: dt.date, events: dict[str, tuple[str, str]]) -> None:
    lines = [
        f"{n},{day} 1{k}:00:00,{what},u1,{sku}" for k, (n, (what, sku)) in enumerate(events.items())
    ]
    (raw / f"events_{day}.csv").write_text("\n".join(["n,at,what,who,sku", *lines]))


def _reasons(lake: Lake) -> Counter[str]:
    return Counter({found.reason: found.rows for found in refusals(lake, RefusedFilter())})


def _ids(lake: Lake, day: dt.date) -> list[str]:
    rows = read_rows(lake, "cleaned_events", day)
    return sorted(given_ids(rows, "event_id", lake.root.parent / "user_id.key", "abcdz"))


def _release(lake: Lake, shop: Settings, reason: str) -> None:
    found = refusals(lake, RefusedFilter(reason=reason))
    plan = plan_release(lake, shop.paths.raw, load_source(shop.shop.source), found)
    assert [*plan.days] == [FIRST]
    mark(lake, plan)


def test_rows_that_pass_after_a_fix_land_in_their_day_once(
    spark: SparkSession, shop: Settings, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source is put right, a night dies on the way: no row is lost, and none comes twice.

    The second day's catalogue has the item that the first one's lacked, and takes its rows in.
    """
    clean_night(spark, shop, lake, Run(SECOND, "one"))
    assert _reasons(lake) == {"event_type_unknown_value": 2, "item_unknown": 1}
    assert (_ids(lake, FIRST), _ids(lake, SECOND)) == (["a"], ["d", "z"])

    (tmp_path / "shop.yaml").write_text(FIXED)
    _release(lake, shop, "event_type_unknown_value")
    with monkeypatch.context() as broken:
        broken.setattr(commit_days, "_close_dataset", _full_disk)
        with pytest.raises(StorageError):
            clean_night(spark, shop, lake, Run(SECOND, "dies"))
    source = load_source(shop.shop.source)
    assert [*marked_days(lake, shop.paths.raw, source, [FIRST, SECOND])] == [FIRST]
    night = clean_night(spark, shop, lake, Run(SECOND, "two"))
    assert night.days == [FIRST, SECOND]
    assert (_ids(lake, FIRST), _ids(lake, SECOND)) == (["a", "b"], ["c", "d", "z"])
    assert _reasons(lake) == {"item_unknown": 2}
    for line in night.lines:
        line.check()
    (line,) = (x for x in night.lines if (x.dataset, x.run_date) == ("events", FIRST))
    assert (line.rows_in, line.rows_out, line.quarantined) == (4, 2, {"item_unknown": 2})
    assert clean_night(spark, shop, lake, Run(SECOND, "spent")).days == [SECOND]


def _full_disk(*_: object) -> None:
    raise StorageError("no room")


def test_a_day_whose_raw_files_are_gone_is_left_as_it_is(
    spark: SparkSession, shop: Settings, lake: Lake
) -> None:
    """It is named, not marked; and a mark made before the files went does not stop a night."""
    clean_night(spark, shop, lake, Run(SECOND, "one"))
    found = refusals(lake, RefusedFilter(reason="item_unknown"))
    _release(lake, shop, "item_unknown")
    Path(shop.paths.raw, f"events_{FIRST}.csv").unlink()
    plan = plan_release(lake, shop.paths.raw, load_source(shop.shop.source), found)
    assert (plan.days, plan.gone) == ({}, {FIRST: f"events_{FIRST}.csv"})
    assert clean_night(spark, shop, lake, Run(SECOND, "two")).days == [SECOND]
    assert _reasons(lake)["item_unknown"] == 1
