"""A job ends with the task that started it, even when that is killed outright."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

TASK = """
import sys
from dags.job_process import JobProcess
job = [sys.executable, "-c", "import sys, time; print('up', flush=True); time.sleep(600)"]
JobProcess().run(job, {}, started=lambda pid: print(pid, flush=True),
                 line=lambda text: print(text, flush=True))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can bind a process to its parent")
def test_a_job_ends_when_its_task_is_killed_outright(airflow_home: Path) -> None:
    task = subprocess.Popen(
        [sys.executable, "-c", TASK],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert task.stdout is not None
    job = psutil.Process(int(task.stdout.readline()))
    assert task.stdout.readline() == "up\n"
    task.send_signal(signal.SIGKILL)
    task.wait()
    gone, _ = psutil.wait_procs([job], timeout=30)
    assert gone == [job]


def test_a_job_whose_task_is_gone_before_it_starts_does_not_start(tmp_path: Path) -> None:
    from dags.job_process import BINDER

    started = tmp_path / "started"
    nobody = str(os.getppid())  # not the parent of what is started here
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(BINDER), nobody, "touch", str(started)], check=False
    )
    assert done.returncode == 128 + signal.SIGKILL
    assert not started.exists()


def test_threads_of_a_job_wait_asleep_unless_the_environment_says_otherwise(
    airflow_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dags.job_process import job_environment

    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert job_environment({})["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert job_environment({})["OMP_WAIT_POLICY"] == "ACTIVE"
