"""Writing a dataset that is made once of each delivery: one partition for its day."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.encryption.keyring import PLAIN, SPARK_KEY
from pipeline.encryption.parquet_files import row_count, write_table
from pipeline.histories.past import DELIVERED
from pipeline.lake import Lake, Run, storage_errors
from pipeline.lineage import Lineage


def write_by_delivery(
    frame: DataFrame,
    lake: Lake,
    run: Run,
    *,
    name: str,
    days: Mapping[dt.date, Lineage],
    order: Sequence[str],
) -> None:
    """Commit a partition for each of some delivery days; a day without a row gets an empty one.

    Args:
        frame: the contract's columns and the delivery day, no row of any other day; a day's rows
            that are to be in one file are in one task.
        days: what each day's partition is made from.
        order: of the rows of a day.
    """
    scratch = lake.work(name, run)
    with storage_errors(f"cannot write {scratch}"):
        shutil.rmtree(scratch, ignore_errors=True)
        rows = frame.sortWithinPartitions(DELIVERED, *order).withColumn("day", F.col(DELIVERED))
        written = rows.drop(DELIVERED).write.partitionBy("day")
        if name in PLAIN:
            written = written.option(SPARK_KEY, "")
        written.parquet(str(scratch))

    def commit(day: dt.date) -> None:
        _commit(lake, name, Run(day, run.run_id), scratch / f"day={day.isoformat()}", days[day])

    # A commit is mostly waiting for the disk, and a dump has thousands of deliveries.
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(commit, days))
    shutil.rmtree(scratch, ignore_errors=True)


def _commit(lake: Lake, name: str, run: Run, made: Path, lineage: Lineage) -> None:
    directory = lake.begin(name, run)
    files = sorted(made.glob("part-*.parquet"))
    with storage_errors(f"cannot write {directory}"):
        for number, file in enumerate(files):
            shutil.move(file, directory / f"part-{number:05d}.parquet")
        if not files:
            empty = arrow_schema(load_contract(name)).empty_table()
            (pq.write_table if name in PLAIN else write_table)(
                empty, directory / "part-00000.parquet"
            )
        rows = sum(row_count(file) for file in directory.glob("*.parquet"))
    lake.commit(name, run, rows=rows, **lineage.facts())
