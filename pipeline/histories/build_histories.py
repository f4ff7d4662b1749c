"""Writing the histories of a night, and accounting for the acts and users that they are made of.

Reads the night's `acts` and `user_attributes` and, for unchanged users, the histories of the night
before. Writes `histories`, which the stage commits with the night's other datasets.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F

from pipeline.datasets import ACTS, HISTORIES, USER_ATTRIBUTES
from pipeline.errors import GateError
from pipeline.histories import history
from pipeline.histories.acts.build_acts import WrittenActs
from pipeline.histories.night import HistoryNight, row_of
from pipeline.histories.reused_histories import reusable_histories, with_reused
from pipeline.histories.sorted_files import write_sorted
from pipeline.ledger import LedgerLine

log = logging.getLogger("nightcart")


def write_histories(
    night: HistoryNight, acts: WrittenActs, attributes_path: Path, known_users: int
) -> tuple[list[LedgerLine], dict[str, int]]:
    """Write the histories in one pass; returns the ledger lines and the counts of the report.

    Args:
        night: the night.
        acts: its acts.
        attributes_path: the directory of its user attributes.
        known_users: how many users have attributes.

    Raises:
        GateError: nobody has an item event, or nobody active has consented.
    """
    files = night.files(night.acts)
    seen = {name: Observation(name) for name in ("events", "joined")}
    of_events = _event_histories(night, acts, files).observe(
        seen["events"], F.sum("n_events").alias("events"), F.sum(F.size("item_ids")).alias("kept")
    )
    joined = history.with_user_attributes(
        of_events, night.stored(USER_ATTRIBUTES, attributes_path)
    ).observe(seen["joined"], F.count("consent").alias("users"))
    frame = history.histories(joined, night.settings.seed)
    path = night.lake.begin(HISTORIES, night.run)
    users = write_sorted(frame, path, key="user_id", files=files)
    if not users:
        raise GateError(
            f"no user has an item event up to {night.date}: views, carts, purchases, returns and "
            "reviews count, searches alone do not. There is nobody to recommend to"
        )
    counts = _counts(night, path) | {"users": users}
    _require_somebody(night, counts)
    events = seen["events"].get
    with_history = int(seen["joined"].get["users"])
    increment = night.user_attributes
    read = (increment.before.rows if increment.before else 0) + sum(
        part.rows for part in increment.new["cleaned_users"]
    )
    lines = [
        night.line(
            HISTORIES,
            acts.counts.rows,
            counts["events"],
            after_the_night=acts.counts.after,
            search_not_an_item_event=acts.counts.searches,
            older_than_max_events=int(events["events"] - acts.counts.forgotten - events["kept"]),
        ),
        night.line(
            USER_ATTRIBUTES,
            read,
            with_history,
            superseded=read - known_users,
            without_item_events=known_users - with_history,
        ),
    ]
    return lines, counts


def _event_histories(night: HistoryNight, acts: WrittenActs, files: int) -> DataFrame:
    """The history of every user: built from tonight's acts, or reused for unchanged users."""
    chosen = night.settings.histories
    before = reusable_histories(night) if acts.copied is not None else None
    path = acts.for_histories if before is not None else acts.path
    built = history.event_histories(
        night.stored(ACTS, path),
        night=night.date,
        active_days=chosen.active_days,
        max_events=chosen.max_events,
        session_gap_minutes=chosen.session_gap_minutes,
        partitions=files,
        repeat_types=night.repeat_types,
    )
    if before is None or acts.copied is None:
        return built
    changed = acts.copied.changed_histories
    log.info("histories: %d users are updated, all others are reused", len(changed))
    return with_reused(built, before, changed)


def _counts(night: HistoryNight, path: Path) -> dict[str, int]:
    """Counts of the histories that were written."""
    named = ("active", "consent", "active AND consent", "holdout_index IS NOT NULL")
    written = night.stored(HISTORIES, path)
    sums = [F.count_if(F.expr(text)).alias(text) for text in named]
    sums += [
        F.coalesce(F.sum(F.size("item_ids")), F.lit(0)).alias("events"),
        F.coalesce(F.sum(_cancelled_purchases()), F.lit(0)).alias("cancelled"),
    ]
    return row_of(written.agg(*sums))


def _cancelled_purchases() -> Column:
    return F.size(F.filter("cancelled", lambda is_cancelled: is_cancelled))


def _require_somebody(night: HistoryNight, counts: dict[str, int]) -> None:
    if not counts["active AND consent"]:
        raise GateError(
            f"no user of {night.date} is active and has consented: {counts['users']} have events, "
            f"{counts['active']} of them within histories.active_days = "
            f"{night.settings.histories.active_days}, {counts['consent']} have consented "
            "(consent counts as refused where the users file does not say). Nobody may be written to"
        )
