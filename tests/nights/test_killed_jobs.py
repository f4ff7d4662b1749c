"""A task killed outright while its job works: nothing is left of it, and the rerun gives the same.

Each job is started as a task starts it, by a process that holds a `JobProcess`, and that process is
killed with SIGKILL at random moments of the job's processor time. Then the same run is run again.
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.lake import Lake
from pipeline.simulator.shop import simulate_shop
from pipeline.stages import stage_named

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REPOSITORY = Path(__file__).resolve().parents[2]
NIGHT = dt.date(2026, 3, 1)
RUN_ID = "tonight"
KILLS = 2
GONE_SECONDS = 30.0

CONFIG = """\
[paths]
raw = "raw"
lake = "lake"
[privacy]
key_file = "user_id.key"
[spark]
master = "local[1]"
driver_memory = "1g"
shuffle_partitions = 1
quick_start = true
[histories]
max_events = 20
[model]
n_layer = 1
n_head = 1
n_embd = 16
n_positions = 64
text_vocab_size = 300
[training]
max_epochs = 3
text_epochs = 0
min_users = 5
min_target_events = 2
checkpoint_seconds = 0
[generation]
k = 3
shards = 3
"""

# What `dags.job_operator` does, without an Airflow around it.
TASK = """
import sys
from dags.job_process import JobProcess
say = lambda what: print(what, flush=True)
code, words = JobProcess().run(sys.argv[1:], {}, started=say, line=lambda text: None)
print(words)
raise SystemExit(code)
"""
CLEANED = ("cleaned_events", "cleaned_items", "cleaned_users", "cleaned_reviews", "quarantine")


class Task:
    """A task process and the job below it."""

    def __init__(self, home: Path, job: str) -> None:
        words = ["--date", NIGHT.isoformat(), "--run-id", RUN_ID]
        words += ["--config", str(home / "nightcart.toml")]
        self.process = subprocess.Popen(
            [sys.executable, "-c", TASK, sys.executable, "-m", f"jobs.{job}", *words],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.job = psutil.Process(int(self.process.stdout.readline()))

    def family(self) -> list[psutil.Process]:
        try:
            return [self.job, *self.job.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu_seconds(self) -> float:
        used = 0.0
        for process in self.family():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used += times.user + times.system
        return used

    def finish(self) -> float:
        """To its end, which must be a good one; the most processor seconds it was seen to have."""
        most = 0.0
        while self.process.poll() is None:
            most = max(most, self.cpu_seconds())
            time.sleep(0.02)
        assert self.process.stdout is not None
        assert self.process.returncode == 0, self.process.stdout.read()
        return most

    def kill_at(self, cpu_seconds: float) -> bool:
        """Kill the task when its job has used so much; false if it ended before that."""
        while self.cpu_seconds() < cpu_seconds:
            if self.process.poll() is not None:
                return False
            time.sleep(0.005)
        family = self.family()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        # The job was never signalled by us: it goes with its task, and what it started with it.
        _, alive = psutil.wait_procs(family, timeout=GONE_SECONDS)
        assert not alive, "the job of a killed task goes on"
        return True


def interrupted(home: Path, job: str, calm_cpu_seconds: float, seed: int) -> None:
    """Kill a job at random moments, then run it to its end."""
    rng = np.random.default_rng(seed)
    kills = 0
    for _ in range(3 * KILLS):
        kills += Task(home, job).kill_at(calm_cpu_seconds * rng.uniform(0.1, 0.95))
        if kills == KILLS:
            break
    assert kills == KILLS
    Task(home, job).finish()
    # Rows that the killed ones spilt are gone with them.
    spilt = home / "lake" / "work" / "spark"
    assert not spilt.exists() or list(spilt.iterdir()) == []


def committed(home: Path, *names: str) -> dict[str, Any]:
    """The files that readers are given: names, bytes, SHA-256, by dataset and date."""
    lake = Lake(home / "lake")
    found = {}
    for name in names:
        for date in lake.dates(name):
            found[f"{name} {date}"] = lake.require(name, date).manifest["files"]
    assert found, f"no {names} in {home}"
    return found


def rows(home: Path, *names: str) -> dict[str, pa.Table]:
    """The rows of every file, in their order.

    Not its bytes: Spark's Parquet writer lists a column's encodings in the order of a set of enums,
    which is another one in each Java process.
    """
    lake = Lake(home / "lake")
    found = {}
    for name in names:
        for date in lake.dates(name):
            partition = lake.require(name, date)
            for path in partition.files:
                key = f"{name} {date} {path.relative_to(partition.path)}"
                found[key] = pq.ParquetFile(path).read()
    assert found
    return found


def advance(home: Path, *stages: str) -> None:
    """Run stages of the night in this process, undisturbed."""
    common = ["--config", str(home / "nightcart.toml")]
    common += ["--date", NIGHT.isoformat(), "--run-id", RUN_ID]
    for name in stages:
        stage = stage_named(name)
        main = importlib.import_module(f"jobs.{stage.job}").main
        assert main([*common, *stage.arguments]) == 0, name


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Path:
    """`delivered`, and the night undisturbed as far as `built`, `trained`, `made`, `published`."""
    homes = tmp_path_factory.mktemp("killed")
    shop = homes / "delivered"
    first = NIGHT - dt.timedelta(days=2)
    simulate_shop(shop / "raw", users=60, items=20, days=3, seed=7, start_date=first)
    (shop / "nightcart.toml").write_text(CONFIG)
    (shop / "user_id.key").write_text("00" * 32)
    (shop / "user_id.key").chmod(0o600)
    before = shop
    for name, stages in (
        ("built", ("clean", "build_histories")),
        ("trained", ("fine_tune", "evaluate")),
        ("made", ("generate",)),
        ("published", ("publish",)),
    ):
        before = Path(shutil.copytree(before, homes / name))
        advance(before, *stages)
    return homes


@pytest.fixture
def two(homes: Path, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """The shop as it is before a stage, twice: one for a calm run, one to be disturbed."""
    calm, disturbed = (
        Path(shutil.copytree(homes / request.param, tmp_path / name)) for name in ("calm", "hit")
    )
    return calm, disturbed


@pytest.mark.parametrize("two", ["delivered"], indirect=True)
def test_clean(two: tuple[Path, Path]) -> None:
    calm, hit = two
    seconds = Task(calm, "clean").finish()
    interrupted(hit, "clean", seconds, seed=1)
    ours, theirs = rows(hit, *CLEANED), rows(calm, *CLEANED)
    assert ours.keys() == theirs.keys()
    for name, table in theirs.items():
        assert ours[name].equals(table), name


@pytest.mark.parametrize("two", ["built"], indirect=True)
def test_fine_tune(two: tuple[Path, Path]) -> None:
    calm, hit = two
    seconds = Task(calm, "fine_tune").finish()
    interrupted(hit, "fine_tune", seconds, seed=2)
    ours, theirs = (
        {entry["path"]: entry["sha256"] for entry in files}
        for home in (hit, calm)
        for files in committed(home, "models").values()
    )
    assert ours["model.safetensors"] == theirs["model.safetensors"]
    assert ours.keys() == theirs.keys()


@pytest.mark.parametrize("two", ["trained"], indirect=True)
def test_generate(two: tuple[Path, Path], homes: Path) -> None:
    calm, hit = two
    seconds = Task(calm, "generate").finish()
    interrupted(hit, "generate", seconds, seed=3)
    # The process's bytes are those of the undisturbed night, too.
    expected = committed(homes / "made", "generated")
    assert committed(hit, "generated") == committed(calm, "generated") == expected


@pytest.mark.parametrize("two", ["made"], indirect=True)
def test_publish(two: tuple[Path, Path], homes: Path) -> None:
    calm, hit = two
    seconds = Task(calm, "publish").finish()
    interrupted(hit, "publish", seconds, seed=4)
    expected = committed(homes / "published", "recommendations")
    assert committed(hit, "recommendations") == committed(calm, "recommendations") == expected
    latest = json.loads((hit / "lake/recommendations/latest.json").read_text())
    assert latest.pop("seal")
    assert latest == {"run_date": NIGHT.isoformat(), "run_id": RUN_ID}
