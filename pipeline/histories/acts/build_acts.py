"""Writing `acts`: what a night must remember of each user's past.

Reads what has been delivered since the night that this one continues, and that night's `acts`.
Writes `acts`, which the stage commits with the night's other datasets. Spark reads only what was
delivered and the acts of users whose acts may change (`unchanged_users`); the acts of all others
are copied from file to file (`act_files`).
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from pipeline.datasets import ACTED, ACTS, CLEANED_EVENTS, CLEANED_REVIEWS, RETRACTIONS
from pipeline.histories.acts import act_log
from pipeline.histories.acts.act_files import (
    KEY,
    ActCounts,
    CopiedActs,
    find_copied_acts,
    write_acts_to_update,
    write_merged,
)
from pipeline.histories.night import HistoryNight, memory_of
from pipeline.histories.sorted_files import write_sorted
from pipeline.histories.unchanged_users import NightStep
from pipeline.ledger import LedgerLine

log = logging.getLogger("nightcart")

CUT_INTO = "cut_into"


@dataclass(frozen=True)
class WrittenActs:
    """The night's acts, written and not yet committed.

    `copied` is None where no acts were copied. `for_histories` has the acts of the users whose
    history is built anew, in `scratch_of` the night.
    """

    path: Path
    copied: CopiedActs | None
    for_histories: Path
    counts: ActCounts
    facts: dict[str, Any]
    line: LedgerLine


def scratch_of(night: HistoryNight) -> Path:
    """A directory that is deleted once the histories are written, or the attempt has failed."""
    return night.lake.work("acts", night.run)


def write_acts(night: HistoryNight) -> WrittenActs:
    """Write the acts, and account for what was remembered and delivered."""
    increment, files = night.acts, night.files(night.acts)
    scratch = scratch_of(night)
    shutil.rmtree(scratch, ignore_errors=True)
    known = increment.before.rows if increment.before else 0
    remembered, to_update = night.before(increment, ACTS), known
    copied = _copied(night, files)
    if copied is not None:
        to_update = write_acts_to_update(copied, scratch / "before")
        remembered = night.stored(ACTS, scratch / "before")
    updated, for_histories = scratch / "updated", scratch / "for_histories"
    for directory in (updated, for_histories):
        directory.mkdir(parents=True)
    delivered = sum(part.rows for name in ACTED for part in increment.new[name])
    removed = {}
    if read := to_update + delivered:
        removed = _write_updated(night, remembered, read, updated)
    path = night.lake.begin(ACTS, night.run)
    counts = write_merged(updated, copied, path, for_histories, files=files, night=night.date)
    line = night.line(ACTS, known + delivered, counts.rows, **removed)
    facts = increment.facts() | {CUT_INTO: files}
    return WrittenActs(path, copied, for_histories, counts, facts, line)


def _copied(night: HistoryNight, files: int) -> CopiedActs | None:
    """The acts to copy; none without a night before, or where files are cut in another number."""
    before = night.acts.before
    if before is None or before.manifest.get(CUT_INTO) != files:
        return None
    step = NightStep(
        memory_of(night.settings, before.run_date),
        night.memory(),
        night.settings.histories.active_days,
    )
    delivered = [part for parts in night.acts.new.values() for part in parts]
    copied = find_copied_acts(before, delivered, step)
    log.info("acts: %d users are updated, all others are copied", len(copied.changed_acts))
    return copied


def _write_updated(
    night: HistoryNight, remembered: DataFrame | None, read: int, directory: Path
) -> dict[str, int]:
    """Write the acts made of remembered and delivered ones; returns removed rows by rule.

    Args:
        night: the night.
        remembered: acts of the night before, if any.
        read: how many remembered and delivered acts there are; at least one.
        directory: empty.
    """
    increment, files = night.acts, night.files(night.acts)
    seen = {name: Observation(name) for name in ("standing", "kept")}
    n = F.count(F.lit(1)).alias("acts")
    known = act_log.delivered_acts(
        night.new(increment, CLEANED_EVENTS), night.new(increment, CLEANED_REVIEWS)
    )
    if remembered is not None:
        known = known.unionByName(act_log.remembered_acts(remembered))
    if any(part.rows for part in increment.new["retractions"]):
        retracted = act_log.retracted_acts(night.new(increment, RETRACTIONS))
        known = act_log.without_retracted(known, retracted)
    unique = act_log.without_repeats(known.observe(seen["standing"], n), files)
    marked = act_log.remember(unique, night.memory())
    marked = marked.observe(seen["kept"], n, F.count_if(~F.col("is_kept")).alias("forgotten"))
    frame = marked.where("is_kept").drop("is_kept")
    rows = write_sorted(frame, directory, key=KEY[0], files=files, order=KEY[1:])
    if not rows:
        # Any act that stands leaves a row. Spark observes nothing where there was no row.
        return {"retracted": read}
    standing = int(seen["standing"].get["acts"])
    return {
        "retracted": read - standing,
        "delivered_again": standing - int(seen["kept"].get["acts"]),
        "forgotten": int(seen["kept"].get["forgotten"]),
    }
