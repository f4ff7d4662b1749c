"""The operator, on real job processes: verdicts, streamed output, and no child left behind."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest


@pytest.fixture
def shop(airflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shop without raw files: `wait_for_raw` fails on it, or waits as long as it is told."""
    config = tmp_path / "shop.toml"
    config.write_text('[paths]\nraw = "raw"\nlake = "lake"\n[shop]\nsource = "simulator"\n')
    monkeypatch.setenv("NIGHTCART_CONFIG", str(config))
    return tmp_path


def operator(job: str = "wait_for_raw", arguments: tuple[str, ...] = ()) -> Any:
    from dags.job_operator import JobOperator

    return JobOperator(task_id=job, job=job, zone="UTC", job_arguments=arguments)


def context(**params: Any) -> Any:
    return {
        "params": params,
        "ti": SimpleNamespace(try_number=1),
        "dag_run": SimpleNamespace(
            run_id="manual__2026-03-02T00:00:00+00:00",
            data_interval_end=dt.datetime(2026, 3, 2, tzinfo=dt.UTC),
            run_after=dt.datetime(2026, 3, 2, tzinfo=dt.UTC),
        ),
    }


def test_exit_65_is_refused_a_retry_and_its_reason_is_the_jobs_own(
    shop: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    task = operator()
    with pytest.raises(AirflowFailException, match=r"failed: .*raw lacks .*2026-03-01"):
        task.execute(context())
    # The job's output is in the task's log, which without a task runner is the screen.
    assert "raw lacks" in capfd.readouterr().out


def test_a_job_is_ended_when_the_nights_time_is_up_and_none_begins_after_that(shop: Path) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with (shop / "shop.toml").open("a") as file:
        file.write("[night]\ndegrade_after_minutes = 1\n")
    task = operator(arguments=("--timeout-minutes", "60"))
    task.in_time = True
    now = dt.datetime.now(dt.UTC)
    said = context()
    said["dag_run"].start_date = now - dt.timedelta(seconds=54)
    with pytest.raises(AirflowFailException, match="time was up at .*degrade_after_minutes = 1"):
        task.execute(said)
    record = shop / "lake/runs/run_date=2026-03-01/run_id=manual__2026-03-02T00-00-00-00-00"
    assert json.loads((record / "wait_for_raw.json").read_text())["status"] == "running"
    said["dag_run"].start_date = now - dt.timedelta(seconds=61)
    (record / "wait_for_raw.json").unlink()
    with pytest.raises(AirflowFailException, match="time was up"):
        task.execute(said)
    assert not (record / "wait_for_raw.json").exists()


def test_another_failure_may_be_retried(shop: Path) -> None:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    (shop / "lake").write_text("not a directory")  # the run record cannot be written: 75
    with pytest.raises(AirflowException) as raised:
        operator().execute(context())
    assert not isinstance(raised.value, AirflowFailException)
    assert "lake" in str(raised.value)


def test_a_job_that_cannot_even_start_says_so(shop: Path) -> None:
    from airflow.sdk.exceptions import AirflowException

    with pytest.raises(AirflowException, match=r"No module named jobs\.no_such_job"):
        operator("no_such_job").execute(context())


def test_success_raises_nothing(shop: Path) -> None:
    (shop / "shop.yaml").write_text(
        "source: shop\ndescription: One file.\ndatasets:\n  events:\n    files: '{date}.csv'\n"
        "    format: csv\n    columns: [a]\n    map: {user_id: a}\n"
        "  items:\n    same_files_as: events\n    map: {item_id: a, title: a}\n"
        "  users:\n    same_files_as: events\n    map: {user_id: a, consent: \"'true'\"}\n"
    )
    config = shop / "other.toml"
    config.write_text('[paths]\nraw = "raw"\nlake = "lake"\n[shop]\nsource = "shop.yaml"\n')
    (shop / "raw").mkdir()
    (shop / "raw" / "2026-03-01.csv").write_text("a\n")
    operator().execute(context(config=str(config)))
    records = shop / "lake/runs/run_date=2026-03-01/run_id=manual__2026-03-02T00-00-00-00-00"
    assert json.loads((records / "wait_for_raw.json").read_text())["status"] == "done"


def test_command_is_a_list_with_date_run_id_and_config(shop: Path) -> None:
    command = operator(arguments=("--dataset", "a; rm -rf /")).command(context())
    assert command[1:3] == ["-m", "jobs.wait_for_raw"]
    assert command[command.index("--date") + 1] == "2026-03-01"
    assert command[command.index("--run-id") + 1] == "manual__2026-03-02T00-00-00-00-00"
    assert command[command.index("--config") + 1] == str(shop / "shop.toml")
    assert command[-1] == "a; rm -rf /"
    other = shop / "other.toml"
    other.write_text("")
    with_param = operator().command(context(config=str(other)))
    assert with_param[with_param.index("--config") + 1] == str(other)


@pytest.mark.parametrize("file", ["/dev/full", "/nowhere/events"])
def test_events_that_cannot_be_written_do_not_hide_the_jobs_verdict(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], file: str
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    monkeypatch.setenv("NIGHTCART_EVENTS", file)
    with pytest.raises(AirflowFailException, match=r"failed: .*raw lacks .*2026-03-01"):
        operator().execute(context())
    assert "was not told 'ended'" in capfd.readouterr().out


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Waits, without polling, for the operator's next event of a state."""
    pipe = tmp_path / "events"
    os.mkfifo(pipe)
    monkeypatch.setenv("NIGHTCART_EVENTS", str(pipe))
    # Open for both: a reader alone would see the end each time the operator closes the pipe.
    with os.fdopen(os.open(pipe, os.O_RDWR), encoding="utf-8") as file:

        def wait_for(state: str) -> Any:
            return next(event for event in map(json.loads, file) if event["state"] == state)

        yield wait_for


@pytest.mark.parametrize("ending", ["on_kill", "interrupt"])
def test_the_job_ends_with_its_task(shop: Path, events: Callable[[str], Any], ending: str) -> None:
    from airflow.sdk.exceptions import AirflowException

    task = operator(arguments=("--timeout-minutes", "60"))
    pids = []
    main_thread = threading.get_ident()

    def end_the_task() -> None:
        pids.append(events("running")["pid"])
        events("line")  # the job is up and waiting
        if ending == "on_kill":
            task.on_kill()
        else:
            signal.pthread_kill(main_thread, signal.SIGINT)

    killer = threading.Thread(target=end_the_task)
    killer.start()
    expected = AirflowException if ending == "on_kill" else KeyboardInterrupt
    with pytest.raises(expected):
        task.execute(context())
    killer.join()
    assert not psutil.pid_exists(pids[0])


def test_a_killed_jobs_reason_names_the_signal(shop: Path, events: Callable[[str], Any]) -> None:
    from airflow.sdk.exceptions import AirflowException

    task = operator(arguments=("--timeout-minutes", "60"))
    killer = threading.Thread(target=lambda: os.kill(events("running")["pid"], 9))
    killer.start()
    with pytest.raises(AirflowException, match="ended by SIGKILL .*memory"):
        task.execute(context())
    killer.join()
