"""Shards made by Spark's workers are the single process's, byte for byte, whoever is killed."""

from __future__ import annotations

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.errors import SettingsError, StorageError
from pipeline.generation import spark_shards
from pipeline.settings import load_settings
from tests.generation_shop import Shop, checksums, history, item, many_histories


def test_spark_is_the_single_process(shop: Shop, spark: SparkSession) -> None:
    alone = shop.generate("alone")
    on_spark = shop.with_settings("generation", runner="spark")
    made = on_spark.generate("spark")
    assert checksums(made) == checksums(alone)
    same = {"seconds": 0, "users_per_s": 0}
    assert made.report | same == alone.report | same


def test_what_one_runner_began_the_other_finishes(shop: Shop, spark: SparkSession) -> None:
    alone = shop.generate("alone")
    begun = shop.night("R")
    begun.shard_maker.make(1)
    before = begun.shards.path(begun.names[1]).stat().st_mtime_ns
    night = shop.with_settings("generation", runner="spark").night("R")
    spark_shards.make_on_spark(night.shard_maker, spark_shards.Progress("users", 30))
    assert all(night.shards.counts(name) is not None for name in night.names)
    assert night.shards.path(night.names[1]).stat().st_mtime_ns == before
    assert checksums(shop.generate("R")) == checksums(alone)


def test_a_worker_that_sees_another_lake_makes_nothing(shop: Shop) -> None:
    night = shop.night("R")
    job = spark_shards.WorkerJob(
        str(shop.lake.root), night.run, shop.settings, "of another lake", None
    )
    with pytest.raises(StorageError, match="finds other inputs"):
        spark_shards._make_one(job, 0)
    assert night.shards.counts(night.names[0]) is None


def test_a_shard_of_nobody_is_made_too(shop: Shop, spark: SparkSession) -> None:
    shop.put("histories", [history("a", [item(1)])])
    made = shop.with_settings("generation", runner="spark", shards=5).generate("spark")
    assert made.report["users"] == 1


def test_a_runner_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="must be 'process' or 'spark'"):
        load_settings(None, {"NIGHTCART_GENERATION__RUNNER": "cluster"})


def python_workers(jvm: int) -> list[int]:
    """The workers that Spark's daemon has forked."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    daemons = {pid for pid, parent in parents.items() if parent == jvm and _is_daemon(pid)}
    return [pid for pid, parent in parents.items() if parent in daemons]


def _is_daemon(pid: int) -> bool:
    with suppress(OSError):
        return b"pyspark.daemon" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 3, 9])
def test_a_killed_worker_is_said_and_a_rerun_gives_the_same(
    shop: Shop, spark: SparkSession, after: int
) -> None:
    """Workers are killed once so many of 16 shards are there; a local master then gives up."""
    shop.put("histories", many_histories(800, seed=3))
    shop = shop.with_settings("generation", shards=16)
    alone = checksums(shop.generate("alone"))
    on_spark = shop.with_settings("generation", runner="spark")
    night = on_spark.night("R")
    jvm = spark.sparkContext._gateway.proc.pid  # type: ignore[union-attr]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(night.generate)
        while not running.done():
            done = sum(night.shards.path(name).exists() for name in night.names)
            # Again and again: the first to be killed may be idle ones of an earlier test.
            for worker in python_workers(jvm) if done >= after else ():
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            time.sleep(0.001)
        error = running.exception()
    assert isinstance(error, StorageError)
    assert re.search(
        r"Spark's workers made \d+ of 16 shards and gave up: .*run the same", str(error)
    )
    left = [name for name in night.names if night.shards.counts(name) is None]
    assert left
    assert checksums(on_spark.generate("R")) == alone
