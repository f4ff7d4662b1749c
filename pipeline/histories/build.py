"""Stage `build_histories`: the past of a night becomes `catalogue`, `histories`, `item_words`.

Reads the cleaned partitions delivered up to the night, nothing later. Writes the three datasets and
commits them together, after the checks: a night that cannot recommend to anybody, or has fewer
sellable items than a list needs, stops here and leaves no pointer moved.

The ledger says where every cleaned row went. Rows in are the writers' counts; rows out are counted
in the files written; what was removed is observed by Spark while it writes, in the same pass.
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from pipeline.errors import GateError, InputError
from pipeline.histories import history
from pipeline.histories.catalogue import catalogue_as_of, newest_complete
from pipeline.histories.item_words import item_words, standing_phrases
from pipeline.histories.past import file_count, past_rows, read_past, write_sorted
from pipeline.histories.review_phrases import extract_phrases
from pipeline.lake import Lake, Run
from pipeline.ledger import LedgerLine
from pipeline.reviews.unfair import FATE
from pipeline.settings import Settings

log = logging.getLogger("nightcart")

STAGE = "build_histories"
_INPUTS = ("cleaned_items", "cleaned_users", "cleaned_events", "cleaned_reviews")


@dataclass(frozen=True)
class Built:
    """What the stage did: its ledger lines and the figures people are shown."""

    ledger: list[LedgerLine]
    report: dict[str, Any]


@dataclass(frozen=True)
class _Night:
    spark: SparkSession
    lake: Lake
    run: Run
    settings: Settings
    rows: dict[str, int]  # cleaned rows of the whole past, by dataset, as their writers counted

    @property
    def date(self) -> dt.date:
        return self.run.run_date

    def past(self, name: str) -> DataFrame:
        return read_past(self.spark, self.lake, name, self.date)

    def files(self, *names: str) -> int:
        return file_count(
            sum(self.rows[name] for name in names), self.settings.spark.shuffle_partitions
        )

    def line(self, name: str, rows_out: int, **removed: int) -> LedgerLine:
        by_rule = {rule: n for rule, n in removed.items() if n}
        return LedgerLine(
            self.date, self.run.run_id, STAGE, name, self.rows[name], rows_out, {}, by_rule
        )


def build(spark: SparkSession, lake: Lake, run: Run, settings: Settings) -> Built:
    """Build and commit a night's three datasets.

    Raises:
        InputError: there is no item, or no event and no review, up to the night.
        GateError: too few sellable items, nobody with an item event, nobody active who consents.
    """
    rows = {name: past_rows(lake, name, run.run_date) for name in _INPUTS}
    night = _Night(spark, lake, run, settings, rows)
    _require_input(night)

    catalogue_path = lake.begin("catalogue", run)
    items = _write_catalogue(night, catalogue_path)
    sellable = _count(spark, catalogue_path, "sellable")["sellable"]
    _require_sellable(night, items, sellable)
    log.info("catalogue: %d items, %d sellable", items, sellable)

    histories_path = lake.begin("histories", run)
    lines, users = _write_histories(night, histories_path)
    counts = _count(
        spark,
        histories_path,
        "active",
        "consent",
        "active AND consent",
        "holdout_index IS NOT NULL",
    )
    _require_somebody(night, users, counts)
    log.info("histories: %d users, %d to be written to", users, counts["active AND consent"])

    item_word_rows, unfair = _write_item_words(night, catalogue_path)

    superseded = rows["cleaned_items"] - items
    lines = [*lines, night.line("cleaned_items", items, superseded=superseded)]
    for line in lines:
        line.check()
    lake.commit("catalogue", run, rows=items, sellable=sellable)
    lake.commit("item_words", run, rows=item_word_rows)
    lake.commit("histories", run, rows=users, to_recommend=counts["active AND consent"])
    report = {
        "items": items,
        "sellable": sellable,
        "users": users,
        "active": counts["active"],
        "consenting": counts["consent"],
        "active_consenting": counts["active AND consent"],
        "with_holdout": counts["holdout_index IS NOT NULL"],
        "item_words": item_word_rows,
        "reviews_left_out_of_item_words": unfair,
        "item_events": sum(line.rows_out for line in lines[:2]),
    }
    return Built(lines, report)


def _write_item_words(night: _Night, catalogue_path: Path) -> tuple[int, dict[str, int]]:
    """Take the phrases of new reviews, write the words; rows, and reviews left out by rule."""
    limits, tasks = night.settings.reviews, night.settings.spark.shuffle_partitions
    reviews = extract_phrases(night.spark, night.lake, night.run, tasks, limits)
    log.info("phrases: taken from %d reviews that no night had read", reviews)
    standing = standing_phrases(
        night.past("review_phrases"), night.past("retractions"), night.date, limits
    )
    left_out = standing.where(F.col(FATE).isNotNull()).groupBy(FATE)
    counts = left_out.agg(F.count_distinct("user_id", "review_id").alias("reviews")).collect()
    words = item_words(
        standing,
        night.spark.read.parquet(str(catalogue_path)),
        words_per_item=night.settings.histories.words_per_item,
    )
    path = night.lake.begin("item_words", night.run)
    files = night.files("cleaned_reviews")
    rows = write_sorted(words, path, key="item_id", files=files, order=["language"])
    return rows, {row[FATE]: row["reviews"] for row in sorted(counts)}


def _write_catalogue(night: _Night, path: Path) -> int:
    complete_on = newest_complete(night.lake.past("cleaned_items", night.date))
    frame = catalogue_as_of(night.past("cleaned_items"), complete_on)
    return write_sorted(frame, path, key="item_id", files=night.files("cleaned_items"))


def _write_histories(night: _Night, path: Path) -> tuple[list[LedgerLine], int]:
    """Write the histories in one pass and account for every row that went into them."""
    chosen = night.settings.histories
    files = night.files("cleaned_events", "cleaned_reviews")
    seen = {name: Observation(name) for name in ("read", "once", "kept", "joined")}
    is_rating, is_search = F.col("event_type") == "rating", F.col("event_type") == "search"
    all_acts, ratings = F.count(F.lit(1)).alias("acts"), F.count_if(is_rating).alias("ratings")

    acts = history.user_acts(
        night.past("cleaned_events"), night.past("cleaned_reviews"), night.date
    ).observe(seen["read"], all_acts, ratings)
    unique = history.without_repeats(acts, files).observe(
        seen["once"], all_acts, ratings, F.count_if(is_search).alias("searches")
    )
    pasts = history.pasts(
        unique,
        night=night.date,
        active_days=chosen.active_days,
        max_events=chosen.max_events,
        targets=chosen.target_event_types,
    )
    cut_ratings = F.col("n_ratings") - _kept_ratings()
    pasts = pasts.observe(
        seen["kept"],
        F.sum(cut_ratings).alias("ratings_cut"),
        F.sum(F.col("n_events") - F.size("item_ids") - cut_ratings).alias("events_cut"),
    )
    newest = history.newest_users(night.past("cleaned_users"))
    joined = history.with_users(pasts, newest).observe(
        seen["joined"], F.count("consent").alias("users")
    )
    frame = history.histories(joined, night.settings.seed)
    users = write_sorted(frame, path, key="user_id", files=files)
    if not users:
        raise GateError(
            f"no user has an item event up to {night.date}: views, carts, purchases, returns and "
            "reviews count, searches alone do not. There is nobody to recommend to"
        )
    figures = {
        f"{name}.{figure}": int(n)
        for name, observation in seen.items()
        for figure, n in observation.get.items()
    }
    return _history_ledger(night, path, figures, newest.count()), users


def _history_ledger(
    night: _Night, path: Path, seen: dict[str, int], shoppers: int
) -> list[LedgerLine]:
    """Where the cleaned events, reviews and users went; `seen` is what Spark observed."""
    written = night.spark.read.parquet(str(path)).agg(
        F.sum(F.size("item_ids")).alias("events"), F.sum(_kept_ratings()).alias("ratings")
    )
    out = _row(written)
    events_read = seen["read.acts"] - seen["read.ratings"]
    events_once = seen["once.acts"] - seen["once.ratings"]
    return [
        night.line(
            "cleaned_events",
            out["events"] - out["ratings"],
            after_the_night=night.rows["cleaned_events"] - events_read,
            delivered_again=events_read - events_once,
            search_not_an_item_event=seen["once.searches"],
            older_than_max_events=seen["kept.events_cut"],
        ),
        night.line(
            "cleaned_reviews",
            out["ratings"],
            after_the_night=night.rows["cleaned_reviews"] - seen["read.ratings"],
            delivered_again=seen["read.ratings"] - seen["once.ratings"],
            older_than_max_events=seen["kept.ratings_cut"],
        ),
        night.line(
            "cleaned_users",
            seen["joined.users"],
            superseded=night.rows["cleaned_users"] - shoppers,
            without_item_events=shoppers - seen["joined.users"],
        ),
    ]


def _kept_ratings() -> Column:
    return F.size(F.filter("event_types", lambda kind: kind == "rating"))


def _require_input(night: _Night) -> None:
    rows = night.rows
    if not rows["cleaned_items"]:
        raise InputError(
            f"no item in cleaned_items up to {night.date} in {night.lake.root}: a shop without a "
            "catalogue cannot recommend. Deliver the items, then run the date again"
        )
    if not rows["cleaned_events"] + rows["cleaned_reviews"]:
        raise GateError(
            f"no event and no review up to {night.date} in {night.lake.root}: there is nobody to "
            "recommend to. Deliver events or reviews, then run the date again"
        )


def _require_sellable(night: _Night, items: int, sellable: int) -> None:
    k = night.settings.generation.k
    if sellable < k:
        raise GateError(
            f"the catalogue of {night.date} has {sellable} sellable of {items} items, and a list "
            f"has generation.k = {k} distinct ones. Set generation.k to {max(sellable, 1)} or less, "
            "or deliver more items that are listed and in stock"
        )


def _require_somebody(night: _Night, users: int, counts: dict[str, int]) -> None:
    if not counts["active AND consent"]:
        raise GateError(
            f"no user of {night.date} is active and has consented: {users} have events, "
            f"{counts['active']} of them within histories.active_days = "
            f"{night.settings.histories.active_days}, {counts['consent']} have consented "
            "(consent counts as refused where the users file does not say). Nobody may be written to"
        )


def _count(spark: SparkSession, path: Path, *predicates: str) -> dict[str, int]:
    """How many rows of what was written fulfil each predicate."""
    frame = spark.read.parquet(str(path))
    return _row(frame.agg(*(F.count_if(F.expr(text)).alias(text) for text in predicates)))


def _row(frame: DataFrame) -> dict[str, int]:
    first = frame.first()
    assert first is not None, "an aggregate without groups has one row"
    return first.asDict()
