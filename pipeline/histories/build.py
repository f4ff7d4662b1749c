"""Stage `build_histories`: what was delivered since the last night becomes what the next ones need.

Three datasets are carried from night to night: `acts` (what must be remembered of each user),
`catalogue` and `shoppers`. Each is made from its own of an earlier night and the deliveries since,
or, where there is none to go on from, from the whole past, with the same rows (`increment.py` says
when). `histories` are made from the night's `acts` and `shoppers`, or carried from the night before
where they say the same; `item_words` from the phrases of the past's reviews. `catalogue_changes` and `review_phrases` get a partition a delivery, once.

Nothing delivered after the night is read. The night's datasets are committed together, after the
checks: a night that cannot recommend to anybody, or has fewer sellable items than a list needs,
stops here and leaves no pointer moved.

The ledger says where every row went that was remembered or delivered. Rows in are the writers'
counts; rows out are counted in the files written; what was removed is observed by Spark while it
writes, in the same pass.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from pipeline.errors import GateError, InputError
from pipeline.histories import history
from pipeline.histories.build_acts import WrittenActs, scratch_of, write_acts
from pipeline.histories.build_catalogue import write_catalogue
from pipeline.histories.carried_pasts import PASTS_FROM, pasts_before, pasts_from, with_quiet
from pipeline.histories.item_words import item_words, standing_phrases
from pipeline.histories.night import ACTED, STAGE, HistoryNight, history_night, row_of
from pipeline.histories.past import directories_read, read_past, write_sorted
from pipeline.histories.review_phrases import extract_phrases
from pipeline.histories.shoppers import shoppers_as_of
from pipeline.lake import Lake, Run
from pipeline.ledger import LedgerLine
from pipeline.reviews.unfair import FATE
from pipeline.settings import Settings

__all__ = ["STAGE", "Built", "build"]

log = logging.getLogger("nightcart")


@dataclass(frozen=True)
class Built:
    """What the stage did: its ledger lines and the figures people are shown."""

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
    catalogue = write_catalogue(night)
    try:
        acts = write_acts(night)
        shoppers_path, shoppers = _write_shoppers(night)
        lines, counts = _write_histories(night, acts, shoppers_path, shoppers)
    finally:
        shutil.rmtree(scratch_of(night), ignore_errors=True)
    words, unfair = _write_item_words(night, catalogue.path)

    lake.commit("catalogue", run, **catalogue.facts)
    lake.commit("item_words", run, rows=words)
    lake.commit("shoppers", run, rows=shoppers, **night.shoppers.facts())
    lake.commit("acts", run, rows=acts.counts.rows, **acts.facts)
    to_recommend = counts["active AND consent"]
    lake.commit(
        "histories",
        run,
        rows=counts["users"],
        to_recommend=to_recommend,
        read=directories_read(lake, run.run_date),
        **{PASTS_FROM: pasts_from(night, acts.directory_id)},
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
    }
    return Built([acts.line, *lines, catalogue.line], report)


def _write_shoppers(night: HistoryNight) -> tuple[Path, int]:
    path, files = night.lake.begin("shoppers", night.run), night.files(night.shoppers)
    frame = shoppers_as_of(
        night.new(night.shoppers, "cleaned_users"), night.before(night.shoppers, "shoppers"), files
    )
    return path, write_sorted(frame, path, key="user_id", files=files)


def _write_histories(
    night: HistoryNight, acts: WrittenActs, shoppers_path: Path, shoppers: int
) -> tuple[list[LedgerLine], dict[str, int]]:
    """Write the histories in one pass; where acts and shoppers went, and figures."""
    files = night.files(night.acts)
    seen = {name: Observation(name) for name in ("pasts", "joined")}
    pasts = _pasts(night, acts, files).observe(
        seen["pasts"], F.sum("n_events").alias("events"), F.sum(F.size("item_ids")).alias("kept")
    )
    joined = history.with_users(pasts, night.stored("shoppers", shoppers_path)).observe(
        seen["joined"], F.count("consent").alias("users")
    )
    frame = history.histories(joined, night.settings.seed)
    path = night.lake.begin("histories", night.run)
    users = write_sorted(frame, path, key="user_id", files=files)
    if not users:
        raise GateError(
            f"no user has an item event up to {night.date}: views, carts, purchases, returns and "
            "reviews count, searches alone do not. There is nobody to recommend to"
        )
    counts = _figures(night, path) | {"users": users}
    _require_somebody(night, counts)
    made = seen["pasts"].get
    with_past = int(seen["joined"].get["users"])
    increment = night.shoppers
    said = (increment.before.rows if increment.before else 0) + sum(
        part.rows for part in increment.new["cleaned_users"]
    )
    lines = [
        night.line(
            "histories",
            acts.counts.rows,
            counts["events"],
            after_the_night=acts.counts.after,
            search_not_an_item_event=acts.counts.searches,
            older_than_max_events=int(made["events"] - acts.counts.forgotten - made["kept"]),
        ),
        night.line(
            "shoppers",
            said,
            with_past,
            superseded=said - shoppers,
            without_item_events=shoppers - with_past,
        ),
    ]
    return lines, counts


def _pasts(night: HistoryNight, acts: WrittenActs, files: int) -> DataFrame:
    """Everybody's past: from tonight's acts, or as it was for those of whom nothing changes."""
    chosen = night.settings.histories
    before = pasts_before(night) if acts.copied is not None else None
    of_whom = acts.of_retold if before is not None else acts.path
    pasts = history.pasts(
        night.stored("acts", of_whom),
        night=night.date,
        active_days=chosen.active_days,
        max_events=chosen.max_events,
        session_gap_minutes=chosen.session_gap_minutes,
        partitions=files,
    )
    if before is None or acts.copied is None:
        return pasts
    log.info("histories: of %d users told anew", len(acts.copied.retold))
    return with_quiet(pasts, before, acts.copied.retold)


def _figures(night: HistoryNight, path: Path) -> dict[str, int]:
    """Figures of the histories that were written."""
    named = ("active", "consent", "active AND consent", "holdout_index IS NOT NULL")
    written = night.stored("histories", path)
    sums = [F.count_if(F.expr(text)).alias(text) for text in named]
    sums += [
        F.coalesce(F.sum(F.size("item_ids")), F.lit(0)).alias("events"),
        F.coalesce(F.sum(_cancelled_purchases()), F.lit(0)).alias("cancelled"),
    ]
    return row_of(written.agg(*sums))


def _cancelled_purchases() -> Column:
    return F.size(F.filter("cancelled", lambda is_cancelled: is_cancelled))


def _write_item_words(night: HistoryNight, catalogue_path: Path) -> tuple[int, dict[str, int]]:
    """Take the phrases of new reviews, write the words; rows, and reviews left out by rule."""
    limits, tasks = night.settings.reviews, night.settings.spark.shuffle_partitions
    reviews = extract_phrases(night.spark, night.lake, night.run, tasks, limits)
    log.info("phrases: taken from %d reviews that no night had read", reviews)

    def past(name: str) -> DataFrame:
        return read_past(night.spark, night.lake, name, night.date)

    standing = standing_phrases(past("review_phrases"), past("retractions"), night.date, limits)
    left_out = standing.where(F.col(FATE).isNotNull()).groupBy(FATE)
    counts = left_out.agg(F.count_distinct("user_id", "review_id").alias("reviews")).collect()
    words = item_words(
        standing,
        night.stored("catalogue", catalogue_path),
        words_per_item=night.settings.histories.words_per_item,
    )
    path = night.lake.begin("item_words", night.run)
    rows = write_sorted(
        words, path, key="item_id", files=night.files(night.catalogue), order=["language"]
    )
    return rows, {row[FATE]: row["reviews"] for row in sorted(counts)}


def _require_input(night: HistoryNight) -> None:
    if not night.catalogue.rows("cleaned_items"):
        raise InputError(
            f"no item in cleaned_items up to {night.date} in {night.lake.root}: a shop without a "
            "catalogue cannot recommend. Deliver the items, then run the date again"
        )
    if not sum(night.acts.rows(name) for name in ACTED):
        raise GateError(
            f"no event and no review up to {night.date} in {night.lake.root}: there is nobody to "
            "recommend to. Deliver events or reviews, then run the date again"
        )


def _require_somebody(night: HistoryNight, counts: dict[str, int]) -> None:
    if not counts["active AND consent"]:
        raise GateError(
            f"no user of {night.date} is active and has consented: {counts['users']} have events, "
            f"{counts['active']} of them within histories.active_days = "
            f"{night.settings.histories.active_days}, {counts['consent']} have consented "
            "(consent counts as refused where the users file does not say). Nobody may be written to"
        )
