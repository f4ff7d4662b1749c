"""What was read and what became of it, counted once per dataset, and the refusals that follow.

The tally is one small aggregate over the tagged rows. From it come the refusals that stop a night
before anything is written: a file that is mostly unreadable, a day of which too
much would be quarantined.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.cleaning.tagging import CONSENT_UNREAD, FATE, OUT, QUARANTINED, REASON, REMOVED
from pipeline.errors import GateError, InputError
from pipeline.sources.readers import DAY, FILE
from pipeline.sources.source import SourceDataset

# A share says little of a handful: the one shopper who changed something today may lack an answer,
# and a file's only line may be the one that was cut off.
ALWAYS_QUARANTINED_ROWS = 20
ALWAYS_QUARANTINED_LINES = 1


@dataclass(frozen=True)
class Count:
    """Rows of one file of one day that met the same fate for the same reason."""

    day: dt.date
    file: str
    fate: str
    reason: str
    rows: int
    consent_unread: int


def tally(tagged: DataFrame) -> list[Count]:
    """Count the tagged rows. `tagged` should be persisted: this computes all of it."""
    grouped = tagged.groupBy(DAY, FILE, FATE, REASON).agg(
        F.count("*").alias("rows"),
        F.count_if(CONSENT_UNREAD).alias("consent_unread"),
    )
    return sorted(
        (
            Count(
                row[DAY],
                row[FILE],
                row[FATE],
                row[REASON] or "",
                row["rows"],
                row["consent_unread"],
            )
            for row in grouped.collect()
        ),
        key=lambda count: (count.day, count.file, count.fate, count.reason),
    )


def removed_by_rule(counts: Iterable[Count], day: dt.date) -> Counter[str]:
    """A day's removed rows, by rule; those that came late are not among them."""
    found: Counter[str] = Counter()
    for count in counts:
        if count.day == day and count.fate == REMOVED:
            found[count.reason] += count.rows
    return found


def taken_as_no(counts: Iterable[Count]) -> int:
    """Users that are kept as refusing only because their row says nothing readable of consent."""
    return sum(count.consent_unread for count in counts if count.fate == OUT)


def unreadable_files(
    counts: Iterable[Count], dataset: SourceDataset, raw_root: Path | str, max_share: float
) -> list[InputError]:
    """What is to be said of each file of which too many lines cannot be read."""
    read: Counter[str] = Counter()
    unreadable: Counter[str] = Counter()
    for count in counts:
        read[count.file] += count.rows
        if count.reason == "unreadable_line":
            unreadable[count.file] += count.rows
    return [
        InputError(
            f"{Path(raw_root) / file}: {rows:,} of {read[file]:,} lines cannot be read as "
            f"{dataset.format} with the columns {','.join(dataset.columns)} "
            f"(cleaning.max_unreadable_share is {max_share:g}). Is it another format, or are "
            f"the options of {dataset.where} wrong?"
        )
        for file, rows in sorted(unreadable.items())
        if rows > max(max_share * read[file], ALWAYS_QUARANTINED_LINES)
    ]


def refuse_too_many_quarantined(
    counts: Iterable[Count], dataset: SourceDataset, max_share: float
) -> None:
    """The gate: too large a share of a day would be quarantined, or taken for a refusal.

    Raises:
        GateError: naming the day, the share, the top reasons and the setting.
    """
    read: Counter[dt.date] = Counter()
    reasons: dict[dt.date, Counter[str]] = defaultdict(Counter)
    for count in counts:
        read[count.day] += count.rows
        if count.fate == QUARANTINED:
            reasons[count.day][count.reason] += count.rows
        elif count.fate == OUT and count.consent_unread:
            reasons[count.day]["consent_unreadable"] += count.consent_unread
    for day, by_reason in sorted(reasons.items()):
        refused = sum(by_reason.values())
        if refused > max(max_share * read[day], ALWAYS_QUARANTINED_ROWS):
            top = ", ".join(f"{reason} {rows:,}" for reason, rows in by_reason.most_common(3))
            raise GateError(
                f"{dataset.where} {day}: {refused:,} of {read[day]:,} rows would be refused "
                f"(cleaning.max_quarantined_share is {max_share:g}); most for {top}. "
                "Nothing was written; look at the files, or at the source's expressions with "
                "`nightcart source check`"
            )
