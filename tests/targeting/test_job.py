"""The stage as a whole: what of it stops a night, and what the lists are published without."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from jobs.target import target
from pipeline.datasets import CATALOGUE_CHANGES, SIMILAR_ITEMS, TRIGGERS
from pipeline.errors import QuietListError, StorageError
from pipeline.lake import Lake, Run
from pipeline.ledger import read_ledger
from pipeline.stage import Report, Stage
from pipeline.stages import TARGET
from tests.targeting.conftest import NIGHT, Shop, act, day

RUN = Run(NIGHT, "one")


def run_target(shop: Shop) -> Report:
    shop.lake.records(RUN).mkdir(parents=True, exist_ok=True)
    return target(Stage(TARGET, RUN, shop.settings, shop.lake), argparse.Namespace())


def filled(shop: Shop) -> Shop:
    shop.put("a")
    shop.put("b")
    shop.does(act("ann", "cart", "a", 1))
    shop.fill(RUN)
    return shop


def test_damage_that_only_triggers_meet_leaves_the_lists_of_items(shop: Shop) -> None:
    filled(shop)
    for file in shop.lake.require(CATALOGUE_CHANGES, day(60)).paths:
        file.write_bytes(b"")
    report = run_target(shop)
    (warning,) = report["warnings"]
    assert "no triggers were made" in warning
    assert f"redo --date {NIGHT} --from target" in warning
    assert shop.lake.require(TRIGGERS, NIGHT).rows == 0
    assert shop.lake.require(SIMILAR_ITEMS, NIGHT).rows == 2
    lines = {line.dataset: line.check() for line in read_ledger(shop.lake, RUN)}
    assert lines["histories"].removed == {"fault": 1}


def test_a_fault_of_both_is_two_warnings_and_no_value(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(shop)

    def faulty(*_: object, **__: object) -> None:
        raise RuntimeError("no such column 'ann@example.com'")

    for module in ("triggers", "item_lists"):
        monkeypatch.setattr(f"pipeline.targeting.{module}.acts_of", faulty)
    report = run_target(shop)
    assert len(report["warnings"]) == 2
    assert "ann@example.com" not in str(report)
    assert report["triggers"] == report["items"]["similar_items"] == 0


def test_a_night_whose_triggers_were_not_made_is_not_gone_on_from(shop: Shop) -> None:
    """What became cheaper in it is a price drop of the next night."""
    shop.put("a", price=8.0)
    shop.does(act("ann", "view", "a", 5))
    shop.publish(shop.make(day(2)))
    shop.publish(shop.with_triggers(kinds=()).make(day(1)))
    assert shop.make().report["compared_with"] == str(day(2))


def test_a_quiet_list_that_is_not_there_stops(shop: Shop, tmp_path: Path) -> None:
    shop = filled(shop.with_triggers(quiet_list=str(tmp_path / "none.txt")))
    with pytest.raises(QuietListError):
        run_target(shop)


def test_a_disk_that_refuses_stops_so_that_it_is_tried_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(shop)

    def refuse(*_: object) -> None:
        raise StorageError("cannot write: no space left")

    monkeypatch.setattr(Lake, "begin", refuse)
    with pytest.raises(StorageError):
        run_target(shop)
