"""Last night's lists in place of a night that was not made: marked, without who has withdrawn."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs import degrade as job
from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.errors import InputError
from pipeline.lake import Run, write_json
from pipeline.ledger import read_ledger
from pipeline.publishing.degrade import degrade
from pipeline.publishing.list_origin import is_degraded, lists_night
from pipeline.publishing.outdated import outdated_nights
from pipeline.publishing.query import run_query
from pipeline.publishing.show import show_user
from tests.lake_rows import user_id_of, write_again, write_rows
from tests.publishing.conftest import NIGHT, Night, tree

TOMORROW = NIGHT + dt.timedelta(days=1)
TONIGHT = Run(TOMORROW, "late")


@pytest.fixture
def before(night: Night) -> Night:
    """NIGHT is published; of TOMORROW only the users have come: bob has withdrawn."""
    night.publish()
    users = [row | {"consent": row["user_id"] != user_id_of("bob")} for row in night.users]
    write_rows(night.lake, "cleaned_users", TONIGHT, users)
    return night


def rows(night: Night, columns: str = "*") -> list[tuple[Any, ...]]:
    sql = f"SELECT {columns} FROM recommendations_latest ORDER BY user_id, rank"
    return list(run_query(night.lake, sql).rows)


def test_readers_get_last_nights_lists_marked_without_who_has_withdrawn(before: Night) -> None:
    what = "user_id, rank, item_id, score, n_items"
    expected = [row for row in rows(before, what) if row[0] != user_id_of("bob")]
    made = degrade(before.lake, TONIGHT, "deadline", "the night's time was up in clean")
    assert rows(before, what) == expected
    marks = {(str(TOMORROW), "last_night", "night_out_of_time")}
    assert set(rows(before, "run_date::VARCHAR, method, fallback_reason")) == marks
    until = TOMORROW + dt.timedelta(days=before.settings.generation.valid_days)
    assert set(rows(before, "valid_until")) == {(until,)}
    manifest = made.partition.manifest
    assert manifest["degraded"] == {"why": "deadline", "said": "the night's time was up in clean"}
    assert manifest["lists_of"] == str(NIGHT)
    [line] = [line for line in read_ledger(before.lake, TONIGHT) if line.stage == "degrade"]
    assert (line.rows_in, line.rows_out, line.removed) == (3, 2, {"consent_withdrawn": 1})
    assert made.report["users"] == made.partition.rows == 2


def test_the_files_keep_the_contract(before: Night) -> None:
    made = degrade(before.lake, TONIGHT, "failed", "")
    for file in made.partition.files:
        schema = pq.read_schema(file)
        wanted = arrow_schema(load_contract("recommendations"))
        assert [(f.name, f.type) for f in schema] == [(f.name, f.type) for f in wanted]


def test_who_has_no_entry_has_not_consented(before: Night) -> None:
    nobody: list[Any] = [{"user_id": user_id_of("zoe"), "consent": True, "source": "test"}]
    for date in (NIGHT, TOMORROW):
        write_rows(before.lake, "cleaned_users", Run(date, "other"), nobody)
    assert degrade(before.lake, TONIGHT, "failed", "").partition.rows == 0


def test_a_night_with_lists_of_its_own_is_left_alone(before: Night) -> None:
    earlier = tree(before.lake.root)
    report = degrade(before.lake, Run(NIGHT, "again"), "failed", "").report
    assert "kept" in report
    assert tree(before.lake.root) == earlier


def test_without_an_earlier_night_there_is_nothing_to_stand_in(night: Night) -> None:
    with pytest.raises(InputError, match=f"no night before {NIGHT}"):
        degrade(night.lake, night.run, "deadline", "")


def test_a_retry_changes_nothing(before: Night) -> None:
    degrade(before.lake, TONIGHT, "failed", "clean")
    once = tree(before.lake.root)
    degrade(before.lake, TONIGHT, "failed", "clean")
    assert tree(before.lake.root) == once


def test_the_night_itself_comes_in_their_place_once_it_is_made(before: Night) -> None:
    degrade(before.lake, TONIGHT, "failed", "clean")
    tonight = before.on(TOMORROW, TONIGHT.run_id)
    tonight.generate()
    tonight.publish()
    current = before.lake.require("recommendations", TOMORROW)
    assert not is_degraded(current)
    assert set(rows(before, "run_date, method = 'last_night'")) == {(TOMORROW, False)}


def test_two_nights_without_lists_of_their_own(before: Night) -> None:
    degrade(before.lake, TONIGHT, "deadline", "")
    after = Run(TOMORROW + dt.timedelta(days=1), "later")
    made = degrade(before.lake, after, "failed", "")
    assert lists_night(made.partition) == NIGHT
    assert set(rows(before, "fallback_reason")) == {("night_failed",)}


def test_what_is_shown_beside_the_lists_is_their_own_nights(before: Night) -> None:
    page = show_user(before.lake, user_id_of("ann"), None)
    degrade(before.lake, TONIGHT, "failed", "")
    shown = show_user(before.lake, user_id_of("ann"), None)
    assert shown.past == page.past
    assert shown.recommendation is not None
    assert shown.recommendation["method"] == "last_night"
    assert [late.run_date for late in outdated_nights(before.lake, 30)] == []


def test_an_old_night_does_not_move_what_readers_see(before: Night) -> None:
    newer = before.on(TOMORROW, "newer")
    newer.generate()
    newer.publish()
    past = before.on(NIGHT - dt.timedelta(days=2), "past")
    past.generate()
    past.publish()
    seen = rows(before)
    report = degrade(before.lake, Run(NIGHT - dt.timedelta(days=1), "r"), "failed", "").report
    assert report["latest"] is False
    assert rows(before) == seen


def test_the_job_says_what_stopped_the_night(before: Night) -> None:
    records = before.lake.records(TONIGHT)
    write_json(records / "wait_for_raw.json", {"status": "done", "started": "1"})
    write_json(records / "clean.json", {"status": "failed", "started": "2", "error": "no disk"})
    said = job.what_stopped(before.lake, TONIGHT, "failed")
    assert said == "the night failed in clean: no disk"
    write_json(records / "fine_tune.json", {"status": "running", "started": "3"})
    said = job.what_stopped(before.lake, TONIGHT, "deadline")
    assert said == "the night's time was up in fine_tune"
    assert job.what_stopped(before.lake, Run(TOMORROW, "x"), "failed") == "the night failed"


def test_who_has_withdrawn_since_the_night_is_left_out(before: Night) -> None:
    # A night of the past is made up for: bob's withdrawal was delivered after it.
    later = Run(TOMORROW + dt.timedelta(days=5), "later")
    gone = [row | {"consent": False} for row in before.users if row["user_id"] == user_id_of("bob")]
    write_rows(before.lake, "cleaned_users", later, gone)
    degraded = degrade(before.lake, TONIGHT, "failed", "")
    assert (degraded.partition.rows, degraded.withdrawn) == (2, 1)


def test_a_file_that_came_from_two_shards(before: Night) -> None:
    tonight = dataclasses.replace(before).on(TOMORROW, "r9")
    assert len(before.lake.require("recommendations", NIGHT).files) == 2
    assert len(degrade(tonight.lake, TONIGHT, "failed", "").partition.files) == 2


def test_lists_of_before_they_said_until_when_stand_in_all_the_same(night: Night) -> None:
    def without(file: Path, target: Path) -> None:
        table = pq.read_table(file).drop_columns(["spares", "valid_until"])
        pq.write_table(table, target)

    night.publish()
    old = write_again(night.lake, "recommendations", NIGHT, without)
    said = {key: fact for key, fact in old.manifest.items() if key not in ("spares", "valid_days")}
    write_json(old.path / "manifest.json", said)
    degrade(night.lake, TONIGHT, "failed", "")
    assert set(rows(night, "valid_until")) == {(TOMORROW + dt.timedelta(days=1),)}
    assert not list(run_query(night.lake, "FROM spares_latest").rows)
    # Every night's view: the old one has nulls.
    sql = "SELECT DISTINCT run_date, valid_until IS NULL FROM recommendations ORDER BY 1"
    assert list(run_query(night.lake, sql).rows) == [(NIGHT, True), (TOMORROW, False)]
