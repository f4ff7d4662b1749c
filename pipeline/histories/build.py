"""Stage `build_histories`: the deliveries since the last night become what the next stages read.

Three datasets continue from night to night: `acts` (what must be remembered of each user),
`catalogue` and `user_attributes`. Each is made from its partition of an earlier night and the
deliveries since, or from the whole past, with the same rows (`increment.py` says when). `histories`
are made from the night's `acts` and `user_attributes`, or reused from the night before for users
who are unchanged. `item_words` are made from the phrases of the past's reviews. `catalogue_changes`
and `review_phrases` get one partition a delivery, once.

Nothing delivered after the night is read. The night's datasets are committed together, after the
checks: a night that cannot recommend to anybody, or has fewer sellable items than a list needs,
stops here and leaves no pointer moved.

The ledger accounts for every row that was remembered or delivered. Rows in are the writers' counts;
rows out are counted in the files written; removed rows are observed by Spark while it writes, in
the same pass.
"""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.datasets import (
    ACTED,
    ACTS,
    CATALOGUE,
    CLEANED_ITEMS,
    HISTORIES,
    ITEM_WORDS,
    RETRACTIONS,
    REVIEW_PHRASES,
    USER_ATTRIBUTES,
)
from pipeline.errors import GateError, InputError
from pipeline.histories.acts.build_acts import scratch_of, write_acts
from pipeline.histories.build_histories import write_histories
from pipeline.histories.build_user_attributes import write_user_attributes
from pipeline.histories.catalogue.build_catalogue import write_catalogue
from pipeline.histories.item_words import item_words, standing_phrases
from pipeline.histories.night import HistoryNight, history_night
from pipeline.histories.past import read_past
from pipeline.histories.reused_histories import lineage_of_histories
from pipeline.histories.review_phrases import extract_phrases
from pipeline.histories.sorted_files import write_sorted
from pipeline.lake import Lake, Run
from pipeline.ledger import LedgerLine
from pipeline.reviews.unfair import UNFAIR_RULE
from pipeline.settings import Settings

log = logging.getLogger("nightcart")


@dataclass(frozen=True)
class Built:
    """What the stage did: its ledger lines, and the report for the stage's record."""

    ledger: list[LedgerLine]
    report: dict[str, Any]


def build(
    spark: SparkSession, lake: Lake, run: Run, settings: Settings, *, rebuild: bool = False
) -> Built:
    """Build and commit a night's datasets.

    Args:
        rebuild: from the whole past, although an earlier night could be gone on from.

    Raises:
        InputError: there is no item, or no event and no review, up to the night.
        GateError: too few sellable items, nobody with an item event, nobody active who consents.
    """
    night = history_night(spark, lake, run, settings, rebuild=rebuild)
    _require_input(night)
    # Side by side: while Spark plans one, which keeps one core busy, rows of the others are made.
    with ThreadPoolExecutor() as pool:
        catalogues = pool.submit(write_catalogue, night)
        attributes = pool.submit(write_user_attributes, night)
        acts_log = pool.submit(write_acts, night)
        try:
            catalogue = catalogues.result()
            items_words = pool.submit(_write_item_words, night, catalogue.path)
            acts, (attributes_path, known_users) = acts_log.result(), attributes.result()
            lines, counts = write_histories(night, acts, attributes_path, known_users)
            words, unfair = items_words.result()
        finally:
            wait([acts_log])
            shutil.rmtree(scratch_of(night), ignore_errors=True)

    lake.commit(CATALOGUE, run, **catalogue.facts)
    lake.commit(ITEM_WORDS, run, rows=words)
    facts = night.user_attributes.facts()
    made_of = {
        USER_ATTRIBUTES: lake.commit(USER_ATTRIBUTES, run, rows=known_users, **facts),
        ACTS: lake.commit(ACTS, run, rows=acts.counts.rows, **acts.facts),
    }
    to_recommend = counts["active AND consent"]
    lake.commit(
        HISTORIES,
        run,
        rows=counts["users"],
        to_recommend=to_recommend,
        **lineage_of_histories(night, made_of).facts(),
    )
    log.info("histories: %d users, %d to be written to", counts["users"], to_recommend)
    report = {
        "built": night.built(),
        "items": catalogue.items,
        "sellable": catalogue.sellable,
        "item_changes": catalogue.changes,
        "users": counts["users"],
        "active": counts["active"],
        "consenting": counts["consent"],
        "active_consenting": to_recommend,
        "with_holdout": counts["holdout_index IS NOT NULL"],
        "item_words": words,
        "reviews_left_out_of_item_words": unfair,
        "item_events": lines[0].rows_out,
        "cancelled_purchases": counts["cancelled"],
        **({"warnings": catalogue.warnings} if catalogue.warnings else {}),
    }
    return Built([acts.line, *lines, catalogue.line], report)


def _write_item_words(night: HistoryNight, catalogue_path: Path) -> tuple[int, dict[str, int]]:
    """Extract phrases of new reviews, write the words; returns rows, and unfair reviews by rule."""
    limits, tasks = night.settings.reviews, night.settings.spark.shuffle_partitions
    reviews = extract_phrases(night.spark, night.lake, night.run, tasks, limits)
    log.info("phrases: extracted from %d reviews that no night had read", reviews)

    def past(name: str) -> DataFrame:
        return read_past(night.spark, night.lake, name, night.date)

    standing = standing_phrases(past(REVIEW_PHRASES), past(RETRACTIONS), night.date, limits)
    left_out = standing.where(F.col(UNFAIR_RULE).isNotNull()).groupBy(UNFAIR_RULE)
    counts = left_out.agg(F.count_distinct("user_id", "review_id").alias("reviews")).collect()
    words = item_words(
        standing,
        night.stored(CATALOGUE, catalogue_path),
        words_per_item=night.settings.histories.words_per_item,
    )
    path = night.lake.begin(ITEM_WORDS, night.run)
    rows = write_sorted(
        words, path, key="item_id", files=night.files(night.catalogue), order=["language"]
    )
    return rows, {row[UNFAIR_RULE]: row["reviews"] for row in sorted(counts)}


def _require_input(night: HistoryNight) -> None:
    if not night.catalogue.rows(CLEANED_ITEMS):
        raise InputError(
            f"no item in cleaned_items up to {night.date} in {night.lake.root}: a shop without a "
            "catalogue cannot recommend. Deliver the items, then run the date again"
        )
    if not sum(night.acts.rows(name) for name in ACTED):
        raise GateError(
            f"no event and no review up to {night.date} in {night.lake.root}: there is nobody to "
            "recommend to. Deliver events or reviews, then run the date again"
        )
