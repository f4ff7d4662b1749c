"""`JobOperator`: one Airflow task = one job process.

Runs `jobs.<module> --date D --run-id R [--config F] …` where `dags.compute` says, streams its
output line by line to the task's log, and turns its exit code into Airflow's verdict: 0 done; 65
(`pipeline.errors.DATA_ERROR`) failed for good, because the same input fails the same way; anything
else failed, worth a retry (`OutOfMemory`: with a smaller batch). The reason in the exception is the
job's own last line.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from dags import memory, time_left
from dags.compute import GPU_JOBS, Command, command, master_of_connection
from dags.gpu_lock import gpu_lock
from dags.job_process import JobProcess
from pipeline import night_jvm
from pipeline.errors import DATA_ERROR, NightcartError
from pipeline.file_modes import restrict
from pipeline.lake import Lake, Run, run_id_of
from pipeline.night_dag import EVENTS_VARIABLE
from pipeline.settings import Settings, load_settings
from pipeline.settings_files import CONFIG_VARIABLE
from pipeline.spark_scratch import scratch_root, sweep
from pipeline.stages import NAMES, Engine, names_from, stage_named


class OutOfMemory(AirflowException):  # type: ignore[misc]  # Airflow's types are not checked
    """The job ran out of memory; the retry gets half the batch."""


class JobOperator(BaseOperator):  # type: ignore[misc]  # Airflow's types are not checked
    """One job of one night.

    Args:
        job: module name below `jobs`.
        zone: the zone whose calendar day is the data interval.
        job_arguments: further arguments of the job; templated.
        in_time: whether the job must be done before the night's time is up (`dags.time_left`).
    """

    template_fields: Sequence[str] = ("job_arguments",)
    ui_color = "#e8f0e4"

    def __init__(
        self,
        *,
        job: str,
        zone: str,
        job_arguments: Sequence[str] = (),
        in_time: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.zone = zone
        self.job_arguments = list(job_arguments)
        self.in_time = in_time
        self._process = JobProcess()

    def execute(self, context: Context) -> None:
        """Run the job to its end.

        Raises:
            AirflowFailException: the data or the settings are at fault; no retry.
            OutOfMemory, AirflowException: anything else.
        """
        code, reason, out_of_memory = self.run_job(context)
        if code == DATA_ERROR:
            raise AirflowFailException(reason)
        if out_of_memory:
            raise OutOfMemory(reason)
        if code:
            raise AirflowException(reason)

    def run_job(self, context: Context, extra: Sequence[str] = ()) -> tuple[int, str, bool]:
        """Run the job once: its exit code, the reason of a failure, and whether memory ran out.

        Raises:
            AirflowFailException: the night's time is up, before the job or while it ran.
        """
        settings = self._settings(context)
        end = time_left.ends_at(context, settings) if self.in_time else None
        seconds = None if end is None else (end - datetime.now(UTC)).total_seconds()
        if end is not None and seconds is not None and seconds <= 0:
            raise AirflowFailException(time_left.in_words(end, settings))
        wanted = self._command(context, settings, extra)
        self.log.info("$ %s", " ".join(wanted.arguments))
        self._tell(context, state="started", command=wanted.arguments)
        lake, run = Lake(settings.paths.lake), self._run(context)
        kills, started = memory.kernel_kills(), time.monotonic()
        with ExitStack() as stack:
            locks: list[int] = []
            environ = dict(wanted.environ)
            if self.job in GPU_JOBS:
                lock = gpu_lock(settings.compute.gpus, self._say_waiting)
                descriptor, named = stack.enter_context(lock)
                locks.append(descriptor)
                environ |= named
            if smaller := memory.smaller_batch(lake, run, self.job, settings):
                self.log.warning("memory ran out before: this attempt runs with %s", smaller)
                environ |= smaller
            code, last_words = self._process.run(
                wanted.arguments,
                environ,
                started=lambda pid: self._tell(context, state="running", pid=pid),
                line=lambda text: self._say_line(context, text),
                held=locks,
                seconds=seconds,
            )
        if code or night_jvm.is_claimed(os.environ) or not _spark_follows(self.task_id):
            night_jvm.end(os.environ)
        sweep(scratch_root(lake))
        reason = _reason(code, last_words)
        if end is not None and self._process.out_of_time:
            code, reason = DATA_ERROR, time_left.in_words(end, settings)
        took = round(time.monotonic() - started, 1)
        self._tell(context, state="ended", code=code, reason=reason, seconds=took)
        out_of_memory = bool(code) and memory.ran_out(code, last_words, kills)
        if out_of_memory and self.job in memory.BATCHES:
            memory.note(lake, run, self.job)
        return code, reason, out_of_memory

    def command(self, context: Context) -> list[str]:
        """The process's argument list."""
        return self._command(context, self._settings(context), ()).arguments

    def on_kill(self) -> None:
        """End the job and everything it started."""
        self._process.end()

    def night_of(self, context: Context) -> date:
        """The night that the job is given."""
        return run_date_of(context, self.zone)

    def _run(self, context: Context) -> Run:
        return Run(self.night_of(context), run_id_of(context["dag_run"].run_id))

    def _command(self, context: Context, settings: Settings, extra: Sequence[str]) -> Command:
        run = self._run(context)
        arguments = ["--date", run.run_date.isoformat(), "--run-id", run.run_id]
        if config := config_of(context):
            arguments += ["--config", config]
        return command(
            self.job, [*arguments, *self.job_arguments, *extra], settings, master_of_connection
        )

    def _settings(self, context: Context) -> Settings:
        """The night's settings.

        Raises:
            AirflowFailException: they cannot be read; no retry can help.
        """
        return settings_of(context)

    def _say_line(self, context: Context, text: str) -> None:
        self.log.info("%s", text)
        self._tell(context, state="line", line=text)

    def _say_waiting(self, directory: Path) -> None:
        self.log.info(
            "another model is running on this machine: waiting for a lock in %s", directory
        )

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


def config_of(context: Context) -> str | None:
    """The settings file: the param, else `NIGHTCART_CONFIG`."""
    return context["params"].get("config") or os.environ.get(CONFIG_VARIABLE) or None


def settings_of(context: Context) -> Settings:
    """The night's settings.

    Raises:
        AirflowFailException: they cannot be read; no retry can help.
    """
    try:
        settings = load_settings(config_of(context), os.environ)
    except NightcartError as error:
        raise AirflowFailException(f"the settings cannot be read: {error}") from None
    restrict(settings.paths.group_readable)  # what the task itself writes, and its job
    return settings


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


def _spark_follows(task: str) -> bool:
    """Whether a later stage may go on in the night's JVM."""
    later = names_from(task)[1:] if task in NAMES else ()
    return any(stage_named(name).engine is Engine.SPARK for name in later)


def _reason(code: int, last_words: str) -> str:
    """Why the job failed, for a person; empty if it did not."""
    if code == 0:
        return ""
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (often: the machine ran out of memory)" if name == "SIGKILL" else ""
        return f"the job was ended by {name}{hint}; its last line was: {last_words or 'nothing'}"
    return last_words or f"the job ended with exit code {code} and said nothing"
