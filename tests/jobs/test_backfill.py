"""`nightcart backfill` and `redo` without a scheduler: what they plan, refuse and start."""

from __future__ import annotations

import argparse
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.lake import Lake, Run
from tests.jobs.conftest import Nightcart
from tests.lake_rows import point_latest

FIRST, SECOND, THIRD = (dt.date(2026, 3, day) for day in (1, 2, 3))
RANGE = ("--from", "2026-03-01", "--to", "2026-03-03", "--in-process")


def ran(shop: Path, night: dt.date, run_id: str = "r1", **stages: str) -> None:
    """A run's records: stage -> status."""
    for number, (stage, status) in enumerate(stages.items()):
        path = Lake(shop / "lake").records(Run(night, run_id)) / f"{stage}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        started = f"2026-03-05T00:00:{number:02d}+00:00"
        path.write_text(json.dumps({"stage": stage, "status": status, "started": started}))


def publish(shop: Path, night: dt.date) -> None:
    lake, run = Lake(shop / "lake"), Run(night, "r1")
    (lake.begin("recommendations", run) / "part-0.parquet").write_text("")
    lake.close("recommendations", run, rows=7)
    point_latest(lake, "recommendations", run)


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The nights that would be run in this process; the second fails."""
    given: list[Any] = []

    def run_night(settings: Any, config: Any, order: Any, environ: Any) -> int:
        given.append(order)
        return int(order.run_date == SECOND)

    monkeypatch.setattr("jobs.cli.run.run_night", run_night)
    return given


def test_a_dry_run_says_what_is_done_with_each_date_and_does_nothing(
    shop: Path, nightcart: Nightcart, orders: list[Any]
) -> None:
    publish(shop, FIRST)
    ran(shop, SECOND, clean="failed")
    code, said, _ = nightcart("backfill", *RANGE, "--dry-run")
    assert code == 0
    first, second, third = (
        next(line for line in said.splitlines() if f"  {night}  " in line)
        for night in (FIRST, SECOND, THIRD)
    )
    assert "skipped: has run before (success)" in first
    assert "published: 7 shoppers" in first
    assert "skipped: has run before (failed); --reprocess failed" in second
    assert "run" in third
    assert "lacks date=2026-03-03/events.jsonl" in said
    assert "readers see the night of 2026-03-01" in said
    assert orders == []


@pytest.mark.parametrize(
    ("reprocess", "nights"),
    [("none", [THIRD]), ("failed", [SECOND, THIRD]), ("completed", [FIRST, SECOND, THIRD])],
)
def test_what_is_run_again_is_what_was_asked_for(
    shop: Path, nightcart: Nightcart, orders: list[Any], reprocess: str, nights: list[dt.date]
) -> None:
    publish(shop, FIRST)
    ran(shop, SECOND, clean="failed")
    code, said, _ = nightcart("backfill", *RANGE, "--reprocess", reprocess, "--retrain", "weekly")
    assert [order.run_date for order in orders] == nights
    assert {order.retrain for order in orders} == {"weekly"}
    assert code == int(SECOND in nights)  # the one that fails does not keep the next from running
    assert ("1 of" in said) is (SECOND in nights)


def test_backwards(shop: Path, nightcart: Nightcart, orders: list[Any]) -> None:
    assert nightcart("backfill", *RANGE, "--reverse")[0] == 1
    assert [order.run_date for order in orders] == [THIRD, SECOND, FIRST]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--from", "2026-03-02", "--to", "2026-03-01"), "is after"),
        ((*RANGE, "--wait-minutes", "-1"), "at least 0"),
        ((*RANGE, "--retrain", "monthly"), "invalid choice: 'monthly'"),
        ((*RANGE, "--wake-export", "yes"), "invalid choice: 'yes'"),
        ((*RANGE, "--reprocess", "all"), "invalid choice: 'all'"),
        (("--from", "March", "--to", "2026-03-01"), "not a date"),
    ],
)
def test_nonsense_is_refused(
    shop: Path, nightcart: Nightcart, words: tuple[str, ...], expected: str
) -> None:
    code, _, refused = nightcart("backfill", *words)
    assert code != 0
    assert expected in refused


def test_the_command_and_the_form_take_the_same_params(shop: Path, dag_params: Any) -> None:
    from jobs.cli.backfill import add_parser

    commands = argparse.ArgumentParser().add_subparsers()
    add_parser(commands)
    choices = {action.dest: action.choices for action in commands.choices["backfill"]._actions}
    retrain, wake = ("per_night", "weekly", "never"), ("newest", "always", "never")
    assert tuple(dag_params.get_param("retrain").schema["enum"]) == choices["retrain"] == retrain
    assert tuple(dag_params.get_param("wake_export").schema["enum"]) == choices["wake_export"]
    assert choices["wake_export"] == wake


@pytest.fixture
def dag_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    from dags.nightly_recommendations import PARAMS

    class Params:
        get_param = staticmethod(PARAMS.__getitem__)

    return Params


# -- redo ------------------------------------------------------------------------------------


def test_redo_goes_on_from_the_stage_that_failed(
    shop: Path, nightcart: Nightcart, orders: list[Any]
) -> None:
    ran(shop, FIRST, wait_for_raw="done", clean="done", validate_cleaned="failed", report="done")
    assert nightcart("redo", "--date", "2026-03-01", "--in-process")[0] == 0
    assert [(order.run_date, order.from_stage) for order in orders] == [(FIRST, "validate_cleaned")]


def test_redo_of_a_night_that_trained_nothing_does_not_train(
    shop: Path, nightcart: Nightcart, orders: list[Any]
) -> None:
    before = ("wait_for_raw", "clean", "validate_cleaned", "build_histories", "validate_histories")
    ran(shop, FIRST, **dict.fromkeys((*before, "evaluate"), "done"), generate="running")
    assert nightcart("redo", "--date", "2026-03-01", "--in-process")[0] == 0
    assert orders[0].from_stage == "generate"


def test_redo_says_which_later_nights_stand_on_the_old_one(
    shop: Path, nightcart: Nightcart, orders: list[Any]
) -> None:
    ran(shop, FIRST, clean="done")
    publish(shop, THIRD)
    redo = ("redo", "--date", "2026-03-01", "--in-process")
    _, said, _ = nightcart(*redo, "--from", "clean")
    assert "backfill --from 2026-03-03 --to 2026-03-03 --reprocess completed" in said
    _, said, _ = nightcart(*redo, "--from", "generate")
    assert "later nights" not in said  # new lists change nothing that a later night reads


def test_redo_after_generating_keeps_the_run(
    shop: Path, nightcart: Nightcart, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs.cli import redo

    commands: list[list[str]] = []

    class Done:
        returncode = 0

    monkeypatch.setattr(
        redo.subprocess, "run", lambda command, check: commands.append(command) or Done()
    )
    ran(shop, FIRST, "r7", generate="done", publish="failed")
    code, _, _ = nightcart("redo", "--date", "2026-03-01", "--in-process", "--from", "publish")
    assert code == 0
    assert [command[2] for command in commands] == ["jobs.publish", "jobs.report"]
    assert all(command[command.index("--run-id") + 1] == "r7" for command in commands)


def test_a_night_that_waits_for_its_files_has_not_failed(shop: Path, nightcart: Nightcart) -> None:
    from jobs import wait_for_raw

    look = ("--date", "2026-03-01", "--run-id", "r1", "--config", "nightcart.toml")
    assert wait_for_raw.main([*look, "--look-again-until", "04:00"]) == 75
    said = " ".join(nightcart("status")[1].split())
    assert "not yet: waiting," in said
    assert wait_for_raw.main([*look, "--waited-minutes", "240"]) == 65
    said = " ".join(nightcart("status")[1].split())
    assert "no: wait_for_raw failed" in said
    assert "(waited 240 min)" in said


def stand_in(shop: Path, night: dt.date) -> None:
    lake, run = Lake(shop / "lake"), Run(night, "r1")
    (lake.begin("recommendations", run) / "part-0.parquet").write_text("")
    why = {"why": "deadline", "said": "the night's time was up in clean"}
    lake.close("recommendations", run, rows=7, lists_of=str(FIRST), degraded=why)
    point_latest(lake, "recommendations", run)


def test_a_night_with_another_nights_lists_has_failed_and_status_says_whose_they_are(
    shop: Path, nightcart: Nightcart, orders: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.cli.stage_records.fallback_share", lambda _: 1.0)
    publish(shop, FIRST)
    ran(shop, SECOND, wait_for_raw="done", clean="running")
    stand_in(shop, SECOND)
    nightcart("backfill", *RANGE, "--reprocess", "failed")
    assert [order.run_date for order in orders] == [SECOND, THIRD]
    said = " ".join(nightcart("status")[1].split())
    assert "no: the lists of 2026-03-01 stand in: clean: it was ended" in said
