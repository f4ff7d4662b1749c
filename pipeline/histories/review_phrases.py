"""Phrases are taken from each delivery's reviews once, whichever night comes first.

Reads `cleaned_reviews` of the deliveries up to the night that have no `review_phrases` yet, or whose
reviews were cleaned again since; writes a partition of `review_phrases` for each. Later nights read
those narrow rows and never the texts. The manifest names the directory of the reviews that a
partition was made from and the `FORMAT` of the extraction.
"""

from __future__ import annotations

import datetime as dt
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.histories.past import DELIVERED, read_deliveries
from pipeline.lake import Lake, Partition, Run, storage_errors
from pipeline.reviews.phrase_rows import phrase_rows
from pipeline.settings import Reviews

NAME = "review_phrases"
# Raise it when the same reviews come to mean other phrases: every delivery is then read again.
FORMAT = 1
# A worker reads 300 to 12,000 reviews a second; its models take half a second to load.
_REVIEWS_PER_TASK = 2_000


def extract_phrases(
    spark: SparkSession, lake: Lake, run: Run, most_tasks: int, limits: Reviews
) -> int:
    """Commit what is missing up to the night; return how many reviews were read for it."""
    todo = [
        part
        for part in lake.past("cleaned_reviews", run.run_date)
        if not _is_done(lake, part, limits)
    ]
    if not todo:
        return 0
    scratch = lake.work(NAME, run)
    rows = sum(part.rows for part in todo)
    tasks = max(1, min(most_tasks, rows // _REVIEWS_PER_TASK))
    by = DELIVERED if len(todo) >= tasks else "review_id"
    reviews = read_deliveries(spark, lake, "cleaned_reviews", todo).repartition(tasks, by)
    rows_made = phrase_rows(reviews, DELIVERED, limits.copied_min_characters)
    made = rows_made.sortWithinPartitions(DELIVERED, "review_id", "phrase")
    with storage_errors(f"cannot write {scratch}"):
        shutil.rmtree(scratch, ignore_errors=True)
        made.withColumn("day", F.col(DELIVERED)).drop(DELIVERED).write.partitionBy("day").parquet(
            str(scratch)
        )
    # A commit is mostly waiting for the disk, and a dump has thousands of deliveries.
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda part: _commit(lake, run, part, scratch, limits), todo))
    shutil.rmtree(scratch, ignore_errors=True)
    return rows


def _is_done(lake: Lake, reviews: Partition, limits: Reviews) -> bool:
    made = lake.current(NAME, reviews.run_date)
    if made is None:
        return not reviews.rows
    return made.manifest.get("made_from") == _made_from(reviews, limits)


def _made_from(reviews: Partition, limits: Reviews) -> list[str | int]:
    return [reviews.directory_id, FORMAT, limits.copied_min_characters]


def _commit(lake: Lake, run: Run, reviews: Partition, scratch: Path, limits: Reviews) -> None:
    day: dt.date = reviews.run_date
    directory = lake.begin(NAME, Run(day, run.run_id))
    files = sorted((scratch / f"day={day.isoformat()}").glob("part-*.parquet"))
    with storage_errors(f"cannot write {directory}"):
        for number, file in enumerate(files):
            shutil.move(file, directory / f"part-{number:05d}.parquet")
        if not files:
            empty = arrow_schema(load_contract(NAME)).empty_table()
            pq.write_table(empty, directory / "part-00000.parquet")
        rows = sum(pq.read_metadata(file).num_rows for file in directory.glob("*.parquet"))
    lake.commit(NAME, Run(day, run.run_id), rows=rows, made_from=_made_from(reviews, limits))
