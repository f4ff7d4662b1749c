"""A running Airflow, as `nightcart backfill` and `nightcart redo` use it.

Found by the state directory of `nightcart server up`, or by an
`AIRFLOW__DATABASE__SQL_ALCHEMY_CONN` in the caller's own environment (a container, an installation
of one's own).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jobs.cli.airflow_home import ROOT
from jobs.server.airflow_command import run_airflow
from jobs.server.home import chosen_state, environment, load
from jobs.server.supervisor import SUPERVISOR, living
from pipeline.errors import InputError, StorageError
from pipeline.night_dag import NIGHT_DAG

DATABASE_VARIABLE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


@dataclass(frozen=True)
class AirflowRun:
    """One run of the nightly DAG."""

    run_date: date
    run_id: str
    state: str


@dataclass(frozen=True)
class Scheduler:
    """The environment that reaches it."""

    environ: Mapping[str, str]
    name: str

    def runs(self, first: date, last: date, zone: ZoneInfo) -> list[AirflowRun]:
        """The runs of a range of nights, newest of a night last.

        Raises:
            InputError: Airflow does not know the DAG, or it is paused and nothing would start.
        """
        dag, *found = self._ask("runs", _midnight(first, zone), _midnight(last, zone))
        if not dag["dag"]:
            raise InputError(f"{self.name} does not know the DAG {NIGHT_DAG} (yet)")
        if dag["paused"]:
            raise InputError(
                f"the DAG {NIGHT_DAG} is paused in {self.name}, so nothing would start; unpause it: "
                f"nightcart server airflow dags unpause -y {NIGHT_DAG}"
            )
        return [AirflowRun(_night(run["end"], zone), run["run_id"], run["state"]) for run in found]

    def follow(self, run_ids: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """Changes of state, `{run_id, task?, state}`, until every run has ended."""
        process = subprocess.Popen(  # noqa: S603  # our own list
            self._command("follow", *run_ids),
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            yield from map(json.loads, process.stdout)
        finally:
            process.terminate()
            process.wait()
        if process.returncode > 0:
            raise StorageError(f"{self.name} cannot be followed any more; the nights go on there")

    def clear(self, run_id: str, task_ids: Sequence[str]) -> None:
        """Clear exactly these tasks of one run; the scheduler then runs them again."""
        list(self._ask("clear", run_id, *task_ids))

    def backfill(self, first: date, last: date, zone: ZoneInfo, options: Sequence[str]) -> None:
        """`airflow backfill create`, one night at a time.

        Raises:
            StorageError: Airflow refused; its last words are in the message.
        """
        command = [sys.executable, "-m", "jobs.server.airflow_cli", "backfill", "create"]
        command += ["--dag-id", NIGHT_DAG]
        command += ["--from-date", _midnight(first, zone), "--to-date", _midnight(last, zone)]
        run_airflow([*command, "--max-active-runs", "1", *options], self.environ, self.name)

    def _ask(self, *words: str) -> list[dict[str, Any]]:
        said = run_airflow(self._command(*words), self.environ, self.name)
        return [json.loads(line) for line in said.splitlines() if line.startswith("{")]

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "jobs.server.airflow_runs", *words]


def find_scheduler(state: Path | None, environ: Mapping[str, str]) -> Scheduler | None:
    """The Airflow to use, or none: then nights run in this process."""
    directory = chosen_state(state, environ)
    server = load(directory)
    if server is not None and living(server, SUPERVISOR) is not None:
        return Scheduler(environment(directory, environ), f"the server in {directory}")
    if environ.get(DATABASE_VARIABLE):
        path = os.pathsep.join(filter(None, [str(ROOT), environ.get("PYTHONPATH", "")]))
        return Scheduler({**environ, "PYTHONPATH": path}, "this environment's Airflow")
    return None


def _midnight(run_date: date, zone: ZoneInfo) -> str:
    """When a night's day begins, in UTC: the run's logical date."""
    return datetime.combine(run_date, time.min, zone).astimezone(UTC).isoformat()


def _night(interval_end: str, zone: ZoneInfo) -> date:
    end = datetime.fromisoformat(interval_end).astimezone(UTC) - timedelta(microseconds=1)
    return end.astimezone(zone).date()
