"""`JobOperator`: one Airflow task = one job process.

Runs `python -m jobs.<module> --date D --run-id R [--config F] …` (an argument list, never a shell
string) in a process group of its own, streams its output line by line to the task's log, and
turns its exit code into Airflow's verdict: 0 done; 65 (`pipeline.errors.DATA_ERROR`) failed for
good, because the same input fails the same way; anything else failed, worth a retry.
The reason in the exception is the job's own last line.

Whatever ends the task (kill, time-out, interrupt) ends the whole process group. Gives up: a
SIGKILL of the task itself cannot be caught, so its job lives on until it next needs something;
jobs commit by rename, so a second attempt beside it does no harm.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

import pipeline
from pipeline.errors import DATA_ERROR
from pipeline.lake import run_id_of
from pipeline.settings_files import CONFIG_VARIABLE

# A file that `nightcart run` follows; unset under a scheduler, which has its own interface.
EVENTS_VARIABLE = "NIGHTCART_EVENTS"

# `pipeline.stage.run_stage` ends a failed job with "<stage> <date> failed: <error>".
FAILED = " failed: "

# Airflow escalates from SIGTERM to SIGKILL after 5 s; the job must be gone before that.
TERMINATION_GRACE_SECONDS = 3.0


class JobOperator(BaseOperator):  # type: ignore[misc]  # Airflow's types are not checked
    """One job of one night.

    Args:
        job: module name below `jobs`.
        zone: the zone whose calendar day is the data interval.
        job_arguments: further arguments of the job; templated.
    """

    template_fields: Sequence[str] = ("job_arguments",)
    ui_color = "#e8f0e4"

    def __init__(
        self, *, job: str, zone: str, job_arguments: Sequence[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.zone = zone
        self.job_arguments = list(job_arguments)
        self._process: subprocess.Popen[str] | None = None
        self._ended = threading.Event()

    def execute(self, context: Context) -> None:
        """Run the job to its end.

        Raises:
            AirflowFailException: the data or the settings are at fault; no retry.
            AirflowException: anything else.
        """
        command = self.command(context)
        self.log.info("$ %s", " ".join(command))
        self._tell(context, state="started", command=command)
        started = time.monotonic()
        code, last_words = self._run(command, context)
        reason = _reason(code, last_words)
        seconds = round(time.monotonic() - started, 1)
        self._tell(context, state="ended", code=code, reason=reason, seconds=seconds)
        if code == DATA_ERROR:
            raise AirflowFailException(reason)
        if code:
            raise AirflowException(reason)

    def command(self, context: Context) -> list[str]:
        """The process's argument list."""
        command = [sys.executable, "-m", f"jobs.{self.job}"]
        command += ["--date", run_date_of(context, self.zone).isoformat()]
        command += ["--run-id", run_id_of(context["dag_run"].run_id)]
        config = context["params"].get("config") or os.environ.get(CONFIG_VARIABLE)
        if config:
            command += ["--config", config]
        return command + self.job_arguments

    def on_kill(self) -> None:
        """End the job and everything it started."""
        self._end_group()

    def _run(self, command: list[str], context: Context) -> tuple[int, str]:
        self._ended.clear()
        process = subprocess.Popen(  # noqa: S603  # the list above; no shell reads it
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=_job_environment(),
            start_new_session=True,
        )
        self._process = process
        self._tell(context, state="running", pid=process.pid)
        # Reads end when the last holder of the pipe closes it. A grandchild that outlives the
        # job would keep the task waiting for ever, so the group goes when the job goes.
        threading.Thread(target=self._reap, args=(process,), daemon=True).start()
        last_words = ""
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if text := line.rstrip():
                    # What a dying JVM says after the job's verdict must not hide it.
                    if FAILED in text or FAILED not in last_words:
                        last_words = text
                    self.log.info("%s", text)
                    self._tell(context, state="line", line=text)
            self._ended.wait()
        finally:
            self._end_group()
        return process.returncode, last_words

    def _reap(self, process: subprocess.Popen[str]) -> None:
        process.wait()
        _signal_group(process.pid, signal.SIGKILL)
        self._ended.set()

    def _end_group(self) -> None:
        if self._process is None or self._ended.is_set():
            return
        _signal_group(self._process.pid, signal.SIGTERM)
        if not self._ended.wait(TERMINATION_GRACE_SECONDS):
            _signal_group(self._process.pid, signal.SIGKILL)
            self._ended.wait(TERMINATION_GRACE_SECONDS)

    def _tell(self, context: Context, **facts: Any) -> None:
        """Append one event for `nightcart run`, if it is listening.

        Nothing depends on it: what cannot be told (a full disk) must not hide the job's verdict.
        """
        path = os.environ.get(EVENTS_VARIABLE)
        if not path:
            return
        event = {
            "task": self.task_id,
            "run_id": run_id_of(context["dag_run"].run_id),
            "attempt": context["ti"].try_number,
            **facts,
        }
        try:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(json.dumps(event, ensure_ascii=False) + "\n")
        except OSError as error:
            self.log.warning("`nightcart run` was not told %r: %s", facts["state"], error)


def run_date_of(context: Context, zone: str) -> date:
    """The night: the `run_date` param, else the last day of the data interval in the shop's zone.

    The end counts, not the start: where clocks skip midnight (Cairo, Beirut) Airflow 3.3 gives a
    manual run an empty interval whose start already lies in the next day. A run triggered
    without a logical date has no interval; it means the last day that was over by then.
    """
    override = context["params"].get("run_date")
    if override:
        return date.fromisoformat(override)
    run = context["dag_run"]
    end: datetime | None = run.data_interval_end
    if end is not None:
        # In UTC first: arithmetic on a zoned time is on its wall clock.
        return (end.astimezone(UTC) - timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).date()
    triggered: datetime = run.run_after
    return triggered.astimezone(ZoneInfo(zone)).date() - timedelta(days=1)


def _reason(code: int, last_words: str) -> str:
    """Why the job failed, for a person; empty if it did not."""
    if code == 0:
        return ""
    if code < 0:
        name = signal.Signals(-code).name
        memory = " (often: the machine ran out of memory)" if name == "SIGKILL" else ""
        return f"the job was ended by {name}{memory}; its last line was: {last_words or 'nothing'}"
    return last_words or f"the job ended with exit code {code} and said nothing"


def _job_environment() -> dict[str, str]:
    """The task's environment, with this code importable and every line sent at once."""
    root = str(Path(pipeline.__file__).resolve().parent.parent)
    path = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
        "PYTHONUNBUFFERED": "1",
    }


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        # Nobody is left in the group; macOS says "not permitted" when only a zombie is.
        return
