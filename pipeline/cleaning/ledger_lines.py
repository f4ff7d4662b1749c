"""What the ledger says of one dataset's delivery day, counted in the files that were written."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from pipeline.cleaning.day_files import (
    day_files,
    late_quarantine,
    quarantine_scratch,
    reasons_in,
    rows_in,
)
from pipeline.cleaning.late.late_counts import LateRows
from pipeline.cleaning.tally import Count, removed_by_rule
from pipeline.ledger import LedgerLine


def ledger_lines(
    scratch: Path,
    read: LedgerLine,
    counts: list[Count],
    late: LateRows,
    unchanged: Mapping[str, int] | None = None,
) -> list[LedgerLine]:
    """The line of a delivery's own rows, and those of rows that it decides on beside them.

    Args:
        scratch: where the rows were written to.
        read: the line with nothing but the rows that were read.
        counts: what became of rows that were not late.
        late: what became of those that were.
        unchanged: rows of a snapshot that need not be cleaned, by rule.
    """
    day, dataset = read.run_date, read.dataset
    refused: Counter[str] = Counter()
    for directory in (quarantine_scratch(scratch, dataset), late_quarantine(scratch, dataset)):
        refused.update(reasons_in(day_files(directory, day)))
    beside = late.lines(dataset, day, read.run_id)
    for line in beside:
        refused.subtract(line.quarantined)
    written = rows_in(day_files(scratch / dataset, day))
    removed = removed_by_rule(counts, day) + late.removed(day, released=False)
    removed += Counter(unchanged or {})
    own = dataclasses.replace(
        read,
        rows_out=written - late.restored(day) - late.released_in(day),
        quarantined={reason: n for reason, n in sorted(refused.items()) if n},
        removed=dict(sorted(removed.items())),
    )
    return [own, *beside]
