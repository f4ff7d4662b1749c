"""Shards made by Spark's workers: one task a shard, one model a worker process.

`mapInArrow` is given the numbers of the missing shards, one a partition. A worker process opens
the night once, model included, and for each number makes the shard and commits it to the lake
itself, by the same code and the same atomic rename as the single process: what comes out is equal
byte for byte, a task that Spark runs twice does no harm, and of a killed worker only the shards it
was at are made again. The lake must be reachable by the same path from every worker, and this
package importable there.

A GPU for each task, where there is one, is Spark's business: `spark.task.resource.gpu.amount=1`
(several Python workers on one GPU would each load a model).

Gives up: sentences are written by the driver.
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
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch

from pipeline.errors import StorageError
from pipeline.generation.columns import numbers
from pipeline.generation.progress import SECONDS_BETWEEN_LINES, Progress
from pipeline.lake import Lake, Run
from pipeline.settings import Settings
from pipeline.spark_session import open_spark

if TYPE_CHECKING:
    from pipeline.generation.night import Night

log = logging.getLogger("nightcart")

_MADE = pa.schema([pa.field("name", pa.string()), pa.field("counts", pa.string())])


@dataclass(frozen=True)
class _Told:
    """What a worker is told of the night."""

    root: str
    run: Run
    settings: Settings
    inputs: str
    deadline: dt.datetime | None


def make_on_spark(night: Night, progress: Progress) -> None:
    """Have the workers make every shard that is missing.

    Raises:
        StorageError: Spark gave up (its own words follow), or a worker says that it committed a
            shard which is not in the lake.
    """
    missing = [n for n, name in enumerate(night.names) if night.made(name) is None]
    if not missing:
        return
    # Once, here: workers that found nothing would each go through all histories.
    night.inputs.set_apart()
    settings = dataclasses.replace(night.settings, origin={})
    told = _Told(
        str(night.lake.root), night.run, settings, night.inputs.fingerprint, night.deadline
    )

    def make(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            for place in numbers(batch.column(0)):
                yield _make_one(told, missing[place])

    spark = open_spark(settings.spark, "generate")
    log.info("%s shards on %s", f"{len(missing):,}", spark.sparkContext.master)
    places = spark.range(0, len(missing), 1, len(missing))
    made = places.mapInArrow(make, "name string, counts string")
    for row in _collect(made, night, missing, progress):
        if night.shards.counts(row.name) != json.loads(row.counts):
            raise StorageError(
                f"a Spark worker made {row.name}, and {night.shards.path(row.name)} is not what "
                "it made; every worker must see the lake at the same path (a shared file system)"
            )


def _collect(made: Any, night: Night, missing: list[int], progress: Progress) -> list[Any]:
    """Wait for the workers; say how far they are."""
    unseen = [night.names[n] for n in missing]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(made.collect)
        while not wait([running], timeout=SECONDS_BETWEEN_LINES).done:
            for name in unseen.copy():
                said = night.shards.counts(name)
                if said is not None:
                    unseen.remove(name)
                    progress.add(said["users"])
        error = running.exception()
    if error is None:
        return list(running.result())
    done = len(missing) - sum(night.shards.counts(night.names[n]) is None for n in missing)
    raise StorageError(
        f"Spark's workers made {done} of {len(missing)} shards and gave up: {_cause(error)}; run "
        "the same date again, which makes the others"
    ) from error


def _cause(error: BaseException) -> str:
    """The last line that says what failed in a worker."""
    lines = [line.strip() for line in str(error).splitlines()]
    errors = [line for line in lines if "Error: " in line or "Exception: " in line]
    return (errors or [line for line in lines if line] or [type(error).__name__])[-1][:400]


def _make_one(told: _Told, number: int) -> pa.RecordBatch:
    """In a worker: make one shard and say what it counted."""
    night = _night(told)
    # A task that Spark runs again, after the first had committed, has nothing left to do.
    said = night.made(night.names[number]) or night.make_shard(number)
    made = {"name": night.names[number], "counts": json.dumps(said)}
    return pa.RecordBatch.from_pylist([made], schema=_MADE)


@lru_cache(maxsize=1)
def _night(told: _Told) -> Night:
    """The night as this worker process has opened it: its model is loaded once.

    Raises:
        StorageError: it is not the night that the driver sees.
    """
    from pipeline.generation.night import Night

    if told.settings.training.threads:
        torch.set_num_threads(told.settings.training.threads)
    night = Night(Lake(told.root), told.run, told.settings, told.deadline)
    if night.inputs.fingerprint != told.inputs:
        raise StorageError(
            f"this worker finds other inputs at {told.root} than the driver; every worker must "
            "see the same lake at the same path"
        )
    return night
