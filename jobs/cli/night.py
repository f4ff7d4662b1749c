"""One night in a child process: `airflow dags test` on the home's SQLite, followed by its events.

Airflow's own output is for experts and goes to a log file. What a person sees is made from the
events that `dags.job_operator` appends: started, running, line, ended. Stopping a night kills
Airflow first, because `dags test` takes an interrupt for a task failure and would retry.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import IO, Any

import psutil  # type: ignore[import-untyped]

from jobs.cli.airflow_home import airflow_environment
from jobs.cli.night_order import NightOrder
from pipeline.lake import storage_errors
from pipeline.night_dag import EVENTS_VARIABLE, NIGHT_DAG, STARTED_VARIABLE
from pipeline.night_jvm import JVM_VARIABLE, starting
from pipeline.settings import Settings, shop_timezone
from pipeline.settings_files import CONFIG_VARIABLE
from pipeline.spark_network import is_local
from pipeline.stages import BUILD_HISTORIES, WAIT_FOR_RAW, names_before, names_from

POLL_SECONDS = 0.2
STOP_SECONDS = 5.0

Event = dict[str, Any]


@dataclass
class Night:
    """A night that has been started."""

    run_date: date
    log: Path
    events_file: Path
    process: subprocess.Popen[bytes]
    jvm: subprocess.Popen[bytes] | None = None  # `jobs.night_jvm`, which ends with Airflow
    job_pids: set[int] = field(default_factory=set)

    def follow(self) -> Iterator[Event | None]:
        """Every event as it comes; none when there is no news. Ends when Airflow ends."""
        with self.events_file.open(encoding="utf-8") as file:
            pending = ""
            while True:
                over = self.process.poll() is not None
                while text := file.readline():
                    pending += text
                    if pending.endswith("\n"):
                        yield self._noted(json.loads(pending))
                        pending = ""
                if over:
                    return
                yield None
                time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End Airflow and whatever job it was running; nothing to do for a night that is over."""
        jobs = set(self.job_pids)
        if self.process.poll() is None:
            # Frozen first: it must not start the next job while its jobs are being counted.
            _signal_group(self.process.pid, signal.SIGSTOP)
            jobs |= {child.pid for child in psutil.Process(self.process.pid).children()}
            _signal_group(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in jobs:
                _signal_group(pid, number)
            deadline = time.monotonic() + STOP_SECONDS
            while any(_alive(pid) for pid in jobs) and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
        if self.jvm is not None:
            self.jvm.wait()

    def _noted(self, event: Event) -> Event:
        if event["state"] == "running":
            self.job_pids.add(event["pid"])
        elif event["state"] == "ended":
            self.job_pids.clear()
        return event


def start_night(
    settings: Settings,
    config: Path | None,
    order: NightOrder,
    lock: int,
    environ: Mapping[str, str],
) -> Night:
    """Start the DAG for one date.

    Args:
        config: the settings file, absolute; none for defaults.
        lock: descriptor of `night_lock`.
        environ: what Airflow and the jobs are to see, beside what is set here.

    Raises:
        StorageError: the log cannot be written.
    """
    home = Path(settings.paths.airflow)
    environment = airflow_environment(home, environ)
    environment.pop(CONFIG_VARIABLE, None)
    if config is not None:
        environment[CONFIG_VARIABLE] = str(config)
    stem = f"{order.run_date.isoformat()}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    log, events_file = home / "nights" / f"{stem}.log", home / "nights" / f"{stem}.events.jsonl"
    environment[EVENTS_VARIABLE] = str(events_file)
    environment[STARTED_VARIABLE] = datetime.now(UTC).isoformat()
    command = [sys.executable, "-m", "airflow", "dags", "test", NIGHT_DAG]
    conf = {
        "run_date": order.run_date.isoformat(),
        "wait_minutes": order.wait_minutes,
        "retrain": order.retrain,
        "wake_export": order.wake_export,
        "fetch_again": order.fetch_again,
    }
    command += [_logical_date(settings, order.run_date), "--conf", json.dumps(conf)]
    if order.from_stage is not None:
        done = "|".join(names_before(order.from_stage))
        command += ["--mark-success-pattern", done or "nothing"]
    held = [lock]
    with storage_errors(f"cannot write {log}"):
        log.parent.mkdir(parents=True, exist_ok=True)
        events_file.touch()
        with log.open("wb") as file, ExitStack() as stack:
            jvm = None
            if _shares_a_jvm(settings, order):
                jvm, ends_with_it = _start_jvm(home / "nights" / f"{stem}.jvm", environment, file)
                stack.callback(os.close, ends_with_it)
                held.append(ends_with_it)
            process = subprocess.Popen(  # noqa: S603  # our own argument list
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=held,
            )
    return Night(order.run_date, log, events_file, process, jvm)


def _shares_a_jvm(settings: Settings, order: NightOrder) -> bool:
    """Whether Spark stages follow each other on this machine."""
    here = is_local(settings.spark.master) and not settings.compute.spark_connection
    first = order.from_stage or WAIT_FOR_RAW
    return here and BUILD_HISTORIES in names_from(first)


def _start_jvm(
    file: Path, environment: dict[str, str], log: IO[bytes]
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the night's JVM; returns the process that holds it, and a descriptor.

    The JVM ends when every copy of the descriptor is closed.
    """
    environment[JVM_VARIABLE] = str(file)
    starting(file).touch()
    ends, ends_with_it = os.pipe()
    try:
        holder = subprocess.Popen(  # noqa: S603  # our own argument list
            [sys.executable, "-m", "jobs.night_jvm", str(file)],
            env=environment,
            stdin=ends,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        os.close(ends)
    return holder, ends_with_it


def _logical_date(settings: Settings, run_date: date) -> str:
    """The midnight that ends the night's day: a run triggered then has that day as interval."""
    midnight = datetime.combine(
        run_date + timedelta(days=1), clock_time.min, shop_timezone(settings)
    )
    return midnight.astimezone(UTC).isoformat()


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
