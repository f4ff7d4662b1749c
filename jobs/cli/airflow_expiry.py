"""Airflow's own logs and runs that are too old: those of `nightcart run`, and of the server.

Its logs are files and are removed here. Its database is cleaned by its own command, `airflow db
clean`, which keeps the newest run of each DAG. A task may not reach that database, so the task
`expire` of the DAG leaves both to `nightcart expire`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.cli.airflow_home import airflow_environment
from jobs.server.airflow_command import run_airflow
from jobs.server.home import chosen_state, environment, load
from jobs.server.supervisor import SUPERVISOR, living
from pipeline.lake import storage_errors
from pipeline.settings import Settings

_LOGS = ("logs", "nights")


@dataclass(frozen=True)
class AirflowHome:
    """An AIRFLOW_HOME; `environ` is none where its database does not answer now."""

    path: Path
    environ: Mapping[str, str] | None


def airflow_homes(settings: Settings, state: Path | None) -> list[AirflowHome]:
    """The homes that are there.

    Args:
        settings: name that of `nightcart run`.
        state: the server's state directory; by default as `nightcart server` finds it.
    """
    homes = []
    mine = Path(settings.paths.airflow)
    if (mine / "airflow.db").exists():
        homes.append(AirflowHome(mine, airflow_environment(mine, os.environ)))
    directory = chosen_state(state, os.environ)
    server = load(directory)
    if server is not None:
        answers = living(server, SUPERVISOR) is not None
        environ = environment(directory, os.environ) if answers else None
        homes.append(AirflowHome(server.airflow, environ))
    return homes


def old_logs(home: AirflowHome, first: dt.date) -> list[Path]:
    """Its log files that were last written before a day (UTC)."""
    since = dt.datetime.combine(first, dt.time(), dt.UTC).timestamp()
    return [
        path
        for name in _LOGS
        for path in sorted((home.path / name).rglob("*"))
        if path.is_file() and not path.is_symlink() and path.stat().st_mtime < since
    ]


def remove_logs(home: AirflowHome, logs: list[Path]) -> None:
    """Remove files, and the directories that are empty then.

    Raises:
        StorageError: one cannot be removed.
    """
    with storage_errors(f"cannot remove the logs of Airflow in {home.path}"):
        for path in logs:
            path.unlink(missing_ok=True)
    for directory in _deepest_first(home):
        with contextlib.suppress(OSError):  # it is not empty
            directory.rmdir()


def clean_database(home: AirflowHome, first: dt.date) -> None:
    """Have Airflow remove what ended before a day (UTC) from its database.

    Raises:
        StorageError: Airflow refuses; its last words are in the message.
    """
    assert home.environ is not None
    command = [sys.executable, "-m", "jobs.server.airflow_cli", "db", "clean", "--yes"]
    command += ["--skip-archive", "--clean-before-timestamp", f"{first.isoformat()}T00:00:00+00:00"]
    run_airflow(command, home.environ, f"Airflow in {home.path}")


def _deepest_first(home: AirflowHome) -> Iterator[Path]:
    for name in _LOGS:
        directories = [path for path in (home.path / name).rglob("*") if path.is_dir()]
        yield from sorted(directories, reverse=True)
