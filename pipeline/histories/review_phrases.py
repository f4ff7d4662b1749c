"""Phrases are taken from each delivery's reviews once, whichever night comes first.

Reads `cleaned_reviews` of the deliveries up to the night that have no `review_phrases` yet, or
whose reviews were cleaned again since; writes a partition of `review_phrases` for each. Later
nights read those narrow rows and never the texts. The lineage of a partition names the directory of
the reviews and the code of the extraction: where that changes, the reviews are read again.
"""

from __future__ import annotations

from functools import cache

from pyspark.sql import SparkSession

from pipeline.code_digest import SPARK_SESSION, code_digest
from pipeline.datasets import CLEANED_REVIEWS, REVIEW_PHRASES
from pipeline.histories.by_delivery import write_by_delivery
from pipeline.histories.past import DELIVERED, read_deliveries
from pipeline.lake import Lake, Partition, Run
from pipeline.lineage import Lineage, inputs_of, lineage_of
from pipeline.reviews.phrase_rows import phrase_rows
from pipeline.settings import Reviews

# A worker reads 300 to 12,000 reviews a second; its models take half a second to load.
_REVIEWS_PER_TASK = 2_000


def extract_phrases(
    spark: SparkSession, lake: Lake, run: Run, most_tasks: int, limits: Reviews
) -> int:
    """Commit what is missing up to the night; return how many reviews were read for it."""
    todo = [
        part
        for part in lake.past(CLEANED_REVIEWS, run.run_date)
        if not _is_done(lake, part, limits)
    ]
    if not todo:
        return 0
    rows = sum(part.rows for part in todo)
    tasks = max(1, min(most_tasks, rows // _REVIEWS_PER_TASK))
    by = DELIVERED if len(todo) >= tasks else "review_id"
    reviews = read_deliveries(spark, lake, CLEANED_REVIEWS, todo).repartition(tasks, by)
    made = phrase_rows(reviews, DELIVERED, limits.copied_min_characters)
    days = {part.run_date: _lineage(part, limits) for part in todo}
    write_by_delivery(
        made, lake, run, name=REVIEW_PHRASES, days=days, order=("review_id", "phrase")
    )
    return rows


def _is_done(lake: Lake, reviews: Partition, limits: Reviews) -> bool:
    made = lake.whole(REVIEW_PHRASES, reviews.run_date)
    if made is None:
        return not reviews.rows and not lake.is_pointed(REVIEW_PHRASES, reviews.run_date)
    return lineage_of(made) == _lineage(reviews, limits)


def _lineage(reviews: Partition, limits: Reviews) -> Lineage:
    settings = {"reviews.copied_min_characters": limits.copied_min_characters}
    return Lineage(inputs_of({CLEANED_REVIEWS: reviews}), _code(), settings)


@cache
def _code() -> str:
    return code_digest("pipeline.reviews.phrase_rows", SPARK_SESSION)
