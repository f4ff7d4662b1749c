"""Writing what a night must remember of each user's past.

Reads what has been delivered since the night that is gone on from, and that night's `acts`. Writes
`acts`, which the stage commits with the night's other datasets. Spark sees only what was delivered
and the acts of users of whom something may change (`quiet_users`); those of all others are copied
from file to file (`acts_files`).
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from pipeline.histories import acts
from pipeline.histories.acts_files import (
    KEY,
    ActCounts,
    Copied,
    what_is_copied,
    write_judged,
    write_merged,
)
from pipeline.histories.night import ACTED, HistoryNight, memory_of
from pipeline.histories.past import write_sorted
from pipeline.histories.quiet_users import Passage
from pipeline.ledger import LedgerLine

log = logging.getLogger("nightcart")

CUT_INTO = "cut_into"


@dataclass(frozen=True)
class WrittenActs:
    """The night's acts, written and not yet committed.

    `copied` is what was not made anew, none where everybody was judged; `of_retold` are the acts
    of those whose past is told anew, in `scratch_of` the night.
    """

    path: Path
    copied: Copied | None
    of_retold: Path
    counts: ActCounts
    facts: dict[str, Any]
    line: LedgerLine

    @property
    def directory_id(self) -> str:
        """What pointers will call the partition."""
        return self.path.name.removeprefix("run_id=")


def scratch_of(night: HistoryNight) -> Path:
    """What can go once the histories are written, or the attempt has failed."""
    return night.lake.work("acts", night.run)


def write_acts(night: HistoryNight) -> WrittenActs:
    """Write the acts, and account for what was remembered and delivered."""
    increment, files = night.acts, night.files(night.acts)
    scratch = scratch_of(night)
    shutil.rmtree(scratch, ignore_errors=True)
    known = increment.before.rows if increment.before else 0
    remembered, to_judge = night.before(increment, "acts"), known
    copied = _copied(night, files)
    if copied is not None:
        to_judge = write_judged(copied, scratch / "before")
        remembered = night.stored("acts", scratch / "before")
    judged, retold = scratch / "judged", scratch / "retold"
    for directory in (judged, retold):
        directory.mkdir(parents=True)
    delivered = sum(part.rows for name in ACTED for part in increment.new[name])
    removed = {}
    if read := to_judge + delivered:
        removed = _write_judged(night, remembered, read, judged)
    path = night.lake.begin("acts", night.run)
    counts = write_merged(judged, copied, path, retold, files=files, night=night.date)
    line = night.line("acts", known + delivered, counts.rows, **removed)
    facts = increment.facts() | {CUT_INTO: files}
    return WrittenActs(path, copied, retold, counts, facts, line)


def _copied(night: HistoryNight, files: int) -> Copied | None:
    """What can be copied of the night before: nothing where there is none, or files are cut anew."""
    before = night.acts.before
    if before is None or before.manifest.get(CUT_INTO) != files:
        return None
    passage = Passage(
        memory_of(night.settings, before.run_date),
        night.memory(),
        night.settings.histories.active_days,
    )
    delivered = [part for parts in night.acts.new.values() for part in parts]
    copied = what_is_copied(before, delivered, passage)
    log.info("acts: of %d users judged, of all others copied", len(copied.judged))
    return copied


def _write_judged(
    night: HistoryNight, remembered: DataFrame | None, read: int, directory: Path
) -> dict[str, int]:
    """Write what becomes of acts that were remembered and delivered; removed rows, by rule.

    Args:
        read: how many there are; not none.
    """
    increment, files = night.acts, night.files(night.acts)
    seen = {name: Observation(name) for name in ("standing", "kept")}
    n = F.count(F.lit(1)).alias("acts")
    known = acts.delivered_acts(
        night.new(increment, "cleaned_events"), night.new(increment, "cleaned_reviews")
    )
    if remembered is not None:
        known = known.unionByName(acts.remembered_acts(remembered))
    if any(part.rows for part in increment.new["retractions"]):
        taken_back = acts.retracted_acts(night.new(increment, "retractions"))
        known = acts.without_retracted(known, taken_back)
    unique = acts.without_repeats(known.observe(seen["standing"], n), files)
    marked = acts.remember(unique, night.memory())
    marked = marked.observe(seen["kept"], n, F.count_if(~F.col("is_kept")).alias("forgotten"))
    frame = marked.where("is_kept").drop("is_kept")
    rows = write_sorted(frame, directory, key=KEY[0], files=files, order=KEY[1:])
    if not rows:
        # Something is kept of whatever stands. Spark observes nothing where no row came by.
        return {"retracted": read}
    standing = int(seen["standing"].get["acts"])
    return {
        "retracted": read - standing,
        "delivered_again": standing - int(seen["kept"].get["acts"]),
        "forgotten": int(seen["kept"].get["forgotten"]),
    }
