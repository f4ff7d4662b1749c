"""Phrases are taken from each delivery's reviews once, whichever night comes first.

Reads `cleaned_reviews` of the deliveries up to the night that have no `review_phrases` yet, or whose
reviews were cleaned again since; writes a partition of `review_phrases` for each. Later nights read
those narrow rows and never the texts. The manifest names the directory of the reviews that a
partition was made from and the `FORMAT` of the extraction.
"""

from __future__ import annotations

from pyspark.sql import SparkSession

from pipeline.histories.by_delivery import write_by_delivery
from pipeline.histories.past import DELIVERED, read_deliveries
from pipeline.lake import Lake, Partition, Run
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
    rows = sum(part.rows for part in todo)
    tasks = max(1, min(most_tasks, rows // _REVIEWS_PER_TASK))
    by = DELIVERED if len(todo) >= tasks else "review_id"
    reviews = read_deliveries(spark, lake, "cleaned_reviews", todo).repartition(tasks, by)
    made = phrase_rows(reviews, DELIVERED, limits.copied_min_characters)
    days = {part.run_date: _made_from(part, limits) for part in todo}
    write_by_delivery(made, lake, run, name=NAME, days=days, order=("review_id", "phrase"))
    return rows


def _is_done(lake: Lake, reviews: Partition, limits: Reviews) -> bool:
    made = lake.current(NAME, reviews.run_date)
    if made is None:
        return not reviews.rows
    return made.manifest.get("made_from") == _made_from(reviews, limits)


def _made_from(reviews: Partition, limits: Reviews) -> list[str | int]:
    return [reviews.directory_id, FORMAT, limits.copied_min_characters]
