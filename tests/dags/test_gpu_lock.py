"""One model at a time: the lock is the job's own, and goes with it however it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def locks(airflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from dags import gpu_lock

    monkeypatch.setenv(gpu_lock.LOCKS_VARIABLE, str(tmp_path / "locks"))
    monkeypatch.setattr(gpu_lock, "POLL_SECONDS", 0.01)
    return tmp_path / "locks"


def holder(descriptor: int) -> subprocess.Popen[bytes]:
    """A job that has inherited the lock and waits."""
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(descriptor,)
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_the_next_waits_until_the_job_that_holds_the_lock_has_ended(locks: Path) -> None:
    from dags.gpu_lock import gpu_lock

    with gpu_lock(1, pytest.fail) as (descriptor, environ):
        job = holder(descriptor)
    assert environ == {}  # one GPU needs no naming
    # The task has let go; its job lives on and still holds it.
    said: list[Path] = []

    def kill_it(directory: Path) -> None:
        said.append(directory)
        job.kill()
        job.wait()

    with gpu_lock(1, kill_it):
        assert job.returncode == -9
    assert said == [locks]


def test_several_gpus_are_given_one_each(locks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dags.gpu_lock import VISIBLE, gpu_lock

    monkeypatch.delenv(VISIBLE, raising=False)
    with gpu_lock(2, pytest.fail) as (_, first), gpu_lock(2, pytest.fail) as (_, second):
        assert (first, second) == ({VISIBLE: "0"}, {VISIBLE: "1"})
        monkeypatch.setenv(VISIBLE, "7")
    with gpu_lock(2, pytest.fail) as (_, own):
        assert own == {}, os.environ[VISIBLE]
