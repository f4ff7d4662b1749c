"""A standalone cluster, a master and two workers, does what one process does, one killed or not.

The drivers are the jobs themselves, in processes of their own; here is only who starts the cluster,
who kills one of its workers in the middle (its executor with it, as a machine that is lost), and
the comparison with local runs.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pyarrow.dataset as ds
import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.night import clean_night
from pipeline.lake import Lake, Run
from pipeline.settings import load_settings
from pipeline.simulator.shop import simulate_shop
from pipeline.spark_network import CLUSTER, LOOPBACK, SECRET_VARIABLE
from tests.conftest import REPOSITORY
from tests.generation_shop import (
    N_ITEMS,
    NIGHT,
    Shop,
    catalogue_item,
    checksums,
    item,
    many_histories,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SECRET = "a secret of the tests"
DEPLOY = "org.apache.spark.deploy"
# As `spark.quick_start` has it in drivers: what a few rows need is compiled quickly, not well.
QUICK = "-XX:TieredStopAtLevel=1"


@dataclass
class Node:
    """A master or a worker: the leader of a process group that its executors are in too."""

    process: subprocess.Popen[bytes]
    log: Path
    scratch: Path

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Cluster:
    """Started by pip's pyspark, on the loopback interface."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.nodes: list[Node] = []
        with socket.socket() as free:
            free.bind((LOOPBACK, 0))
            port = free.getsockname()[1]
        self.url = f"spark://{LOOPBACK}:{port}"
        where = ["--host", LOOPBACK, "--webui-port", "0"]
        self._start("master", f"{DEPLOY}.master.Master", *where, "--port", str(port))
        self.wait_for("I have been elected leader", self.nodes[0])

    def add_worker(self) -> Node:
        name = f"worker-{len(self.nodes)}"
        size = ["--cores", "1", "--memory", "1g", "--work-dir", str(self.directory / name)]
        where = ["--host", LOOPBACK, "--webui-port", "0"]
        node = self._start(name, f"{DEPLOY}.worker.Worker", *where, *size, self.url)
        self.wait_for("Successfully registered with master", node)
        return node

    @property
    def workers(self) -> list[Node]:
        """Those that live."""
        return [node for node in self.nodes[1:] if node.process.poll() is None]

    def _start(self, name: str, *words: str) -> Node:
        spec = find_spec("pyspark")
        assert spec is not None
        assert spec.submodule_search_locations
        spark_class = Path(spec.submodule_search_locations[0]) / "bin" / "spark-class"
        scratch, log = self.directory / f"{name}-scratch", self.directory / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [str(spark_class), *words],
                stdout=out,
                stderr=out,
                start_new_session=True,
                env=os.environ
                | {
                    "SPARK_LOCAL_DIRS": str(scratch),
                    "SPARK_LOCAL_IP": LOOPBACK,
                    "JAVA_TOOL_OPTIONS": QUICK,  # of the executors, too
                    "SPARK_DAEMON_JAVA_OPTS": " ".join(f"-D{k}={v}" for k, v in CLUSTER.items()),
                    SECRET_VARIABLE: SECRET,
                },
            )
        node = Node(process, log, scratch)
        self.nodes.append(node)
        return node

    def wait_for(self, words: str, node: Node) -> None:
        until(lambda: words in node.log.read_text(), node.process)

    def stop(self) -> None:
        for node in reversed(self.nodes):
            node.kill()


def until(happens: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    """Look until something has happened; fail if the process ends before."""
    for _ in range(40_000):
        if happens():
            return
        assert process.poll() is None, f"it ended before, with {process.returncode}"
        time.sleep(0.01)
    pytest.fail("it did not happen in time")


def words_of(process: psutil.Process) -> list[str]:
    """Its arguments; none of one that has ended meanwhile, such as a worker of Python."""
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(running: Cluster) -> Cluster:
    """Two workers, whatever the test before has done to them."""
    while len(running.workers) < 2:
        running.add_worker()
    return running


@contextmanager
def job(
    name: str, run: Run, environ: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A job as a DAG would start it, its driver here and its executors the cluster's."""
    words = ["--date", run.run_date.isoformat(), "--run-id", run.run_id]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("NIGHTCART_", "PYSPARK_"))}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", f"jobs.{name}", *words],
            cwd=REPOSITORY,
            env=kept | environ | {"SPARK_LOCAL_IP": LOOPBACK, SECRET_VARIABLE: SECRET},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        # The JVM of a driver that lives on is in its group.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def finish(process: subprocess.Popen[bytes], log: Path) -> str:
    code = process.wait(timeout=400)
    said = log.read_text()
    assert code == 0, said[-3000:]
    return said


def test_generation_on_two_workers_one_of_them_killed(shop: Shop, cluster: Cluster) -> None:
    shop = shop.with_settings("generation", shards=24)
    shop.put("histories", many_histories(1500, seed=4))
    alone = checksums(shop.generate("alone"))
    night = shop.night("cluster")
    log = cluster.directory / "generate.log"
    environ = {
        "NIGHTCART_PATHS__LAKE": shop.settings.paths.lake,
        "NIGHTCART_SPARK__MASTER": cluster.url,
        "NIGHTCART_SPARK__DRIVER_MEMORY": "1g",
        "NIGHTCART_SPARK__QUICK_START": "true",
        "NIGHTCART_GENERATION__RUNNER": "spark",
        "NIGHTCART_GENERATION__SHARDS": "24",
        "NIGHTCART_GENERATION__K": "5",
    }
    with job("generate", night.run, environ, log) as generating:
        until(lambda: any(night.shards.path(name).exists() for name in night.names), generating)
        family = [me := psutil.Process(generating.pid), *me.children(recursive=True)]
        assert not any(SECRET in word for process in family for word in words_of(process))
        cluster.workers[0].kill()
        left = [name for name in night.names if night.shards.counts(name) is None]
        said = finish(generating, log)
    assert left, "the worker was killed after all was made"
    assert f"24 shards on {cluster.url}" in said
    made = shop.lake.current("generated", NIGHT)
    assert made is not None
    assert made.run_id == "cluster"
    assert [entry["sha256"] for entry in made.manifest["files"]] == alone


def test_cleaning_on_two_workers_one_of_them_killed(
    spark: SparkSession, tmp_path: Path, cluster: Cluster
) -> None:
    start = dt.date(2026, 1, 16)
    simulate_shop(tmp_path / "raw", users=60, items=30, days=2, seed=5, start_date=start)
    last = start + dt.timedelta(days=1)

    def environ(lake: str, **more: str) -> dict[str, str]:
        return {
            "NIGHTCART_PATHS__RAW": str(tmp_path / "raw"),
            "NIGHTCART_PATHS__LAKE": str(tmp_path / lake),
            "NIGHTCART_PRIVACY__KEY_FILE": str(tmp_path / "user_id.key"),
            "NIGHTCART_SPARK__SHUFFLE_PARTITIONS": "2",
        } | more

    local = Lake(tmp_path / "local")
    clean_night(spark, load_settings(None, environ("local")), local, Run(last, "R"))
    settings = {
        "NIGHTCART_SPARK__MASTER": cluster.url,
        "NIGHTCART_SPARK__DRIVER_MEMORY": "1g",
        "NIGHTCART_SPARK__QUICK_START": "true",
    }
    log = cluster.directory / "clean.log"
    lost = cluster.workers[0]
    with job("clean", Run(last, "R"), environ("spread", **settings), log) as cleaning:
        # Others have yet to read what it holds: that has to be computed again elsewhere.
        until(lambda: any(lost.scratch.rglob("shuffle_*.data")), cleaning)
        lost.kill()
        finish(cleaning, log)
    spread = Lake(tmp_path / "spread")
    names = ("cleaned_events", "cleaned_reviews", "cleaned_items", "cleaned_users", "quarantine")
    for name in (*names, "removed_events", "retractions"):
        assert local.dates(name) == spread.dates(name)
        assert rows(local, name) == rows(spread, name), name
    assert len(rows(spread, "cleaned_events")) > 100


def rows(lake: Lake, name: str) -> list[Any]:
    """All rows of a dataset, in an order of their own."""
    files = [str(file) for date in lake.dates(name) for file in lake.require(name, date).files]
    return sorted(map(repr, ds.dataset(files).to_table().to_pylist())) if files else []


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Forty items, a random champion."""
    settings = load_settings(None, {"NIGHTCART_PATHS__LAKE": str(tmp_path / "lake")})
    shop = Shop(Lake(settings.paths.lake), settings).with_settings("generation", k=5)
    shop.put("catalogue", [catalogue_item(item(n)) for n in range(N_ITEMS)])
    shop.put("item_words", [])
    shop.put_model()
    shop.put_champion()
    return shop
