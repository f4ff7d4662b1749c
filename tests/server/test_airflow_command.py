"""Airflow's commands through a database that is busy: SQLite beside a scheduler."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from jobs.server import airflow_command
from jobs.server.airflow_command import run_airflow
from pipeline.errors import StorageError

LOCKED = "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database is locked"
FOOTER = "[SQL: UPDATE dag_run]\n(Background on this error at: https://sqlalche.me/e/21/e3q8)"
# Refused as often as there are words left in the file, with the first of them.
SCRIPT = """
import pathlib, sys
path = pathlib.Path(sys.argv[1])
first, *rest = path.read_text().split("|")
path.write_text("|".join(rest) or "-")
if first != "-":
    sys.exit(first)
print("made")
"""


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_command, "PAUSE_SECONDS", 0.0)


def run(tmp_path: Path, *refusals: str) -> str:
    path = tmp_path / "refusals"
    path.write_text("|".join([*refusals, "-"]))
    return run_airflow([sys.executable, "-c", SCRIPT, str(path)], os.environ, "this Airflow")


def test_a_busy_database_is_asked_again_and_a_backfill_left_behind_is_waited_for(
    tmp_path: Path,
) -> None:
    assert run(tmp_path, LOCKED, "AlreadyRunningBackfill: Another backfill", LOCKED) == "made\n"


def test_another_refusal_is_final_and_its_own_words_are_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such table: dag_run$"):
        run(tmp_path, "OperationalError: no such table: dag_run\n[SQL: SELECT 1]\n(Background on")


def test_a_backfill_that_has_just_ended_is_waited_for_and_one_that_goes_on_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = "AlreadyRunningBackfill: Another backfill"
    assert run(tmp_path, another, another) == "made\n"
    monkeypatch.setattr(airflow_command, "CLOSING_SECONDS", 0.0)
    with pytest.raises(StorageError, match=f"this Airflow refused: {another}"):
        run(tmp_path, another, another)


def test_patience_ends_with_the_error_and_not_with_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airflow_command, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(StorageError, match="database is locked$"):
        run(tmp_path, f"{LOCKED}\n{FOOTER}", LOCKED)
