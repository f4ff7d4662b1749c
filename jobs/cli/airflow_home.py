"""The AIRFLOW_HOME of `nightcart run`: its environment, its set-up, its lock.

Writes below `paths.airflow`: Airflow's SQLite database, `nights/*.log`, `night.lock`. It is set
up once per Airflow version with Airflow's own commands (`db migrate`, `pools set`), and is
nobody else's: an AIRFLOW_HOME or AIRFLOW__… of the caller's is not used, so that a night on a
laptop can never reach a production database.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

from pipeline.errors import StorageError
from pipeline.lake import storage_errors

ROOT = Path(__file__).resolve().parents[2]  # holds pipeline, jobs, dags, schemas
DAGS = ROOT / "dags"
POOL = ("gpu", "1", "One model at a time.")
RETRY_SECONDS = 5  # somebody is watching; a scheduler keeps Airflow's own five minutes


def airflow_environment(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment that makes any `airflow` command work on this home."""
    kept = {name: value for name, value in environ.items() if not name.startswith("AIRFLOW_")}
    python_path = [str(ROOT), *filter(None, kept.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(python_path)),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": str(RETRY_SECONDS),
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "GX_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
    }


def prepare(home: Path, environ: Mapping[str, str]) -> None:
    """Make the database and the pool, if this Airflow version has not done so here.

    Raises:
        StorageError: the directory cannot be written, or Airflow refused; its log is named.
    """
    ready = home / f".ready-{version('apache-airflow')}"
    if ready.exists():
        return
    log = home / "set_up.log"
    with storage_errors(f"cannot set up Airflow in {home}"):
        home.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as file:
            for command in (["db", "migrate"], ["pools", "set", *POOL]):
                _airflow(command, home, environ, file)
        ready.touch()


def _airflow(command: list[str], home: Path, environ: Mapping[str, str], log: TextIO) -> None:
    finished = subprocess.run(  # noqa: S603  # our own argument list
        [sys.executable, "-m", "airflow", *command],
        env=airflow_environment(home, environ),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if finished.returncode:
        raise StorageError(
            f"`airflow {' '.join(command)}` failed with exit code {finished.returncode}; "
            f"its output is in {log.name}"
        )


@contextmanager
def night_lock(home: Path) -> Iterator[int]:
    """Hold the home for one night; yields a descriptor that a child must inherit.

    The lock goes when the last process that holds the descriptor has ended, so a night that
    outlives a killed `nightcart` still keeps others out.

    Raises:
        StorageError: another night is running here.
    """
    path = home / "night.lock"
    with storage_errors(f"cannot lock {path}"):
        home.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(
                f"another night is running on {home}; wait for it to end, or give this one "
                "another `paths.airflow`"
            ) from None
        yield file.fileno()
