"""The JVM that a night's Spark stages share: who has it, and what ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.night_jvm import JVM_VARIABLE, NightJvm, claim, claimed, end, give_back, starting

SETTINGS = """\
[paths]
raw = "raw"
lake = "lake"
[spark]
master = "local[1]"
driver_memory = "512m"
quick_start = true
"""
# A job: opens a session as stages do, works, and says which JVM it has.
JOB = """
import os, signal, sys
from pipeline.settings import load_settings
from pipeline.spark_session import open_spark
memory = {"NIGHTCART_SPARK__DRIVER_MEMORY": sys.argv[2]} if len(sys.argv) > 2 else {}
spark = open_spark(load_settings(None, os.environ | memory).spark, "a job")
assert spark.range(1000).selectExpr("sum(id)").head()[0] == 499500
print(spark._jvm.java.lang.ProcessHandle.current().pid(), flush=True)
if sys.argv[1] == "dies":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def night(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a night's jobs, whose JVM is starting."""
    config, file = tmp_path / "nightcart.toml", tmp_path / "night.jvm"
    config.write_text(SETTINGS)
    environ = {**os.environ, JVM_VARIABLE: str(file), "NIGHTCART_CONFIG": str(config)}
    environ["NIGHTCART_SPARK__MASTER"] = "local[1]"
    environ["NIGHTCART_SPARK__QUICK_START"] = "true"
    environ["NIGHTCART_SPARK__DRIVER_MEMORY"] = "512m"
    starting(file).touch()
    holder = subprocess.Popen(
        [sys.executable, "-m", "jobs.night_jvm", str(file)], env=environ, stdin=subprocess.PIPE
    )
    yield environ
    assert holder.stdin is not None
    holder.stdin.close()
    assert holder.wait(30) == 0
    assert list(tmp_path.glob("night.*")) == []


def job(environ: dict[str, str], *arguments: str) -> tuple[int, int]:
    """Run a job; its exit code, and the process id of its JVM."""
    done = subprocess.run(
        [sys.executable, "-c", JOB, *arguments],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, int(done.stdout)


@pytest.mark.slow
def test_jobs_follow_each_other_in_one_jvm_and_one_that_dies_takes_it_along(
    night: dict[str, str],
) -> None:
    first, second = job(night, "ends"), job(night, "ends")
    assert first == second
    assert first[0] == 0
    # Other settings, another JVM; the night's stays for those who can use it.
    assert job(night, "ends", "600m")[1] != first[1]
    assert job(night, "dies") == (-signal.SIGKILL, first[1])
    shared = psutil.Process(first[1])
    code, own = job(night, "ends")
    assert code == 0
    assert own != first[1]
    assert not shared.is_running() or shared.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def jvm(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process that stands for a JVM, and the file that says where it is."""
    file = tmp_path / "night.jvm"
    process = subprocess.Popen(["sleep", "600"])
    NightJvm(25333, "secret", process.pid, "local[1] 1g").write(file)
    yield process, file
    process.kill()
    process.wait()


def test_the_address_is_for_its_user_alone(jvm: tuple[subprocess.Popen[bytes], Path]) -> None:
    assert jvm[1].stat().st_mode & 0o077 == 0


def test_one_job_at_a_time_has_it(jvm: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, file = jvm
    environ = {JVM_VARIABLE: str(file)}
    assert claim("local[1] 2g", environ) is None
    assert process.poll() is None
    found = claim("local[1] 1g", environ)
    assert found is not None
    assert found[0].pid == process.pid
    give_back(file)
    assert claim("local[1] 1g", environ) is not None
    # Whoever had it did not give it back: it is ended, and what it was doing with it.
    assert claim("local[1] 1g", environ) is None
    assert process.wait(10) == -signal.SIGKILL
    assert not file.exists()
    assert not claimed(file).exists()


def test_without_a_night_there_is_none() -> None:
    assert claim("local[1] 1g", {}) is None
    end({})
