"""Shards made by Spark's workers: one task a shard, one model a worker process.

`mapInArrow` is given the numbers of the missing shards, one a partition. A worker process opens a
`ShardMaker` once, model included, and for each number makes the shard and commits it to the lake
itself, by the same code and the same atomic rename as the single process. So the files are equal
byte for byte, a task that Spark runs twice does no harm, and only the shards that a killed worker
was making are made again. The lake must be reachable by the same path from every worker, and this
package importable there.

Spark gives each task a GPU where there is one: `spark.task.resource.gpu.amount=1` (several Python
workers on one GPU would each load a model).

Gives up: the driver writes the sentences.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa
import torch

from pipeline.arrow_columns import numbers
from pipeline.encryption.keyring import use
from pipeline.error_words import in_words
from pipeline.errors import StorageError
from pipeline.generation.shard_maker import ShardMaker
from pipeline.lake import Lake, Run
from pipeline.progress import SECONDS_BETWEEN_LINES, Progress
from pipeline.settings import Settings
from pipeline.spark_scratch import scratch_root
from pipeline.spark_session import open_spark

log = logging.getLogger("nightcart")

_MADE = pa.schema([pa.field("name", pa.string()), pa.field("counts", pa.string())])


@dataclass(frozen=True)
class WorkerJob:
    """What a worker needs in order to open the same night as the driver."""

    root: str
    run: Run
    settings: Settings
    fingerprint: str
    deadline: dt.datetime | None


def make_on_spark(maker: ShardMaker, progress: Progress) -> None:
    """Have the workers make every shard that is missing.

    Raises:
        StorageError: Spark gave up (its own words follow), or a worker says that it committed a
            shard which is not in the lake.
    """
    missing = maker.missing()
    if not missing:
        return
    # Once, here: workers that found nothing would each go through all histories.
    maker.inputs.set_apart()
    settings = dataclasses.replace(maker.settings, origin={})
    job = WorkerJob(
        str(maker.lake.root), maker.run, settings, maker.inputs.fingerprint, maker.deadline
    )

    def make(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            for place in numbers(batch.column(0)):
                yield _make_one(job, missing[place])

    spark = open_spark(settings.spark, "generate", scratch_root(Lake(settings.paths.lake)))
    log.info("%s shards on %s", f"{len(missing):,}", spark.sparkContext.master)
    places = spark.range(0, len(missing), 1, len(missing))
    made = places.mapInArrow(make, "name string, counts string")
    for row in _collect(made, maker, missing, progress):
        if maker.shards.counts(row.name) != json.loads(row.counts):
            raise StorageError(
                f"a Spark worker made {row.name}, and {maker.shards.path(row.name)} is not what "
                "it made; every worker must see the lake at the same path (a shared file system)"
            )


def _collect(made: Any, maker: ShardMaker, missing: list[int], progress: Progress) -> list[Any]:
    """Wait for the workers; say how far they are."""
    unseen = [maker.names[n] for n in missing]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(made.collect)
        while not wait([running], timeout=SECONDS_BETWEEN_LINES).done:
            for name in unseen.copy():
                counts = maker.shards.counts(name)
                if counts is not None:
                    unseen.remove(name)
                    progress.add(counts["users"])
        error = running.exception()
    if error is None:
        return list(running.result())
    done = len(missing) - sum(maker.shards.counts(maker.names[n]) is None for n in missing)
    raise StorageError(
        f"Spark's workers made {done} of {len(missing)} shards and gave up: {_cause(error)}; run "
        "the same date again, which makes the others"
    ) from error


def _cause(error: BaseException) -> str:
    """What failed in a worker: an error of ours as it is, of another only what it is."""
    lines = [line.strip() for line in str(error).splitlines()]
    ours = [line for line in lines if line.startswith("pipeline.errors.")]
    return ours[-1].partition(": ")[2][:400] if ours else in_words(error)


def _make_one(job: WorkerJob, number: int) -> pa.RecordBatch:
    """In a worker: make one shard and return its counts."""
    maker = _open_maker(job)
    # A task that Spark runs again, after the first had committed, has nothing left to do.
    counts = maker.finished(number) or maker.make(number)
    made = {"name": maker.names[number], "counts": json.dumps(counts)}
    return pa.RecordBatch.from_pylist([made], schema=_MADE)


@lru_cache(maxsize=1)
def _open_maker(job: WorkerJob) -> ShardMaker:
    """The night as this worker process has opened it: its model is loaded once.

    Raises:
        StorageError: it is not the night that the driver sees.
    """
    use(job.settings)
    if job.settings.training.threads:
        torch.set_num_threads(job.settings.training.threads)
    maker = ShardMaker(Lake(job.root), job.run, job.settings, job.deadline)
    if maker.inputs.fingerprint != job.fingerprint:
        raise StorageError(
            f"this worker finds other inputs at {job.root} than the driver; every worker must "
            "see the same lake at the same path"
        )
    return maker
