"""Rows by outcome and reason, counted once per dataset, and the refusals that follow.

The tally reads the files that `write_by_outcome` wrote to scratch: the footers of accepted rows,
the packed reason of each other row. No engine. Two refusals stop a night before anything is
committed: a file that is mostly unreadable, a day of which too much would be quarantined.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.cleaning.day_files import day_files, rows_in
from pipeline.cleaning.rows.row_rules import ACCEPTED, QUARANTINED, REMOVED
from pipeline.cleaning.write_outcomes import UNREAD_DIRECTORY, not_accepted_directory
from pipeline.encryption.parquet_files import open_parquet
from pipeline.errors import GateError, InputError
from pipeline.sources.source import SourceDataset, columns_read

# A share of a handful of rows means little: the one user who changed something today may lack an
# answer, and a file's only line may be the one that was cut off.
ALWAYS_QUARANTINED_ROWS = 20
ALWAYS_QUARANTINED_LINES = 1


@dataclass(frozen=True)
class Count:
    """Rows of one file of one day with the same outcome for the same reason."""

    day: dt.date
    file: str
    outcome: str
    reason: str
    rows: int
    consent_unread: int


def tally(scratch: Path, dataset: str, days: Iterable[dt.date]) -> list[Count]:
    """Count the rows of a pass; the file of accepted rows is not known."""
    counts = []
    for day in days:
        by_answer: Counter[bool] = Counter()
        for file in day_files(scratch / dataset, day):
            by_answer[file.parent.name == f"{UNREAD_DIRECTORY}=true"] += rows_in([file])
        counts += [
            Count(day, "", ACCEPTED, "", rows, rows if is_unread else 0)
            for is_unread, rows in sorted(by_answer.items())
            if rows
        ]
        for outcome in sorted(not_accepted_directory(scratch, dataset).iterdir()):
            reasons: Counter[str] = Counter()
            for file in day_files(outcome, day):
                reasons.update(_heads(file))
            for head, rows in sorted(reasons.items()):
                of_row = json.loads(head)
                file_name, reason = of_row.get("file", ""), of_row.get("reason", "")
                counts.append(Count(day, file_name, outcome.name, reason, rows, 0))
    return counts


def _heads(file: Path) -> Counter[str]:
    """How many rows have the same first line in their `source`."""
    found: Counter[str] = Counter()
    with open_parquet(file) as rows:
        for batch in rows.iter_batches(columns=["source"]):
            lines = pc.split_pattern(batch.column(0), "\n", max_splits=1)
            heads = pa.table({"head": pc.list_element(lines, 0)}).group_by("head")
            for group in heads.aggregate([("head", "count")]).to_pylist():
                found[group["head"]] += group["head_count"]
    return found


def removed_by_rule(counts: Iterable[Count], day: dt.date) -> Counter[str]:
    """A day's removed rows, by rule, without late rows."""
    found: Counter[str] = Counter()
    for count in counts:
        if count.day == day and count.outcome == REMOVED:
            found[count.reason] += count.rows
    return found


def taken_as_no(counts: Iterable[Count]) -> int:
    """Users whose consent is false only because their row has no readable answer."""
    return sum(count.consent_unread for count in counts if count.outcome == ACCEPTED)


def unreadable_files(
    counts: Iterable[Count],
    read: Mapping[str, int],
    dataset: SourceDataset,
    raw_root: Path | str,
    max_share: float,
) -> list[InputError]:
    """An error for each file with too many unreadable lines.

    Args:
        counts: what became of the rows.
        read: rows of each file.
        dataset: whose.
        raw_root: where the files lie.
        max_share: of a file's lines.
    """
    unreadable: Counter[str] = Counter()
    for count in counts:
        if count.reason == "unreadable_line":
            unreadable[count.file] += count.rows
    return [
        InputError(
            f"{Path(raw_root) / file}: {rows:,} of {read[file]:,} lines cannot be read as "
            f"{dataset.format} with the columns {','.join(dataset.own.columns)} "
            f"(cleaning.max_unreadable_share is {max_share:g}). Is it another format, or are "
            f"the options of {dataset.where} wrong?"
        )
        for file, rows in sorted(unreadable.items())
        if rows > max(max_share * read[file], ALWAYS_QUARANTINED_LINES)
    ]


def refuse_too_many_quarantined(
    counts: Iterable[Count],
    dataset: SourceDataset,
    max_share: float,
    unchanged: Mapping[dt.date, int] | None = None,
    rows_of_dump: int = 0,
) -> None:
    """The gate: too large a share of a day would be quarantined, or taken for a refusal.

    Rows of a dump that nothing dates lie in its first day, but are a share of the whole dump.

    Args:
        counts: what became of the rows.
        dataset: whose.
        max_share: of a day's rows.
        unchanged: rows of the day's files that are as they were and not among these.
        rows_of_dump: rows of a dump's files, of all days.

    Raises:
        GateError: naming the day (none: of the whole dump), the share, the top reasons and the
            setting.
    """
    read: Counter[dt.date | None] = Counter(unchanged or {})
    undated = _reasons_without_a_day(dataset)
    reasons: dict[dt.date | None, Counter[str]] = defaultdict(Counter)
    for count in counts:
        read[None] += count.rows
        if count.outcome == QUARANTINED and count.reason in undated:
            reasons[None][count.reason] += count.rows
            continue
        read[count.day] += count.rows
        if count.outcome == QUARANTINED:
            reasons[count.day][count.reason] += count.rows
        elif count.outcome == ACCEPTED and count.consent_unread:
            reasons[count.day]["consent_unreadable"] += count.consent_unread
    read[None] = max(read[None], rows_of_dump)
    for day, by_reason in sorted(reasons.items(), key=lambda one: str(one[0] or "")):
        refused = sum(by_reason.values())
        if refused > max(max_share * read[day], ALWAYS_QUARANTINED_ROWS):
            top = ", ".join(f"{reason} {rows:,}" for reason, rows in by_reason.most_common(3))
            raise GateError(
                f"{dataset.where} {day or '(all days)'}: {refused:,} of {read[day]:,} rows would be refused "
                f"(cleaning.max_quarantined_share is {max_share:g}); most for {top}. "
                "Nothing was written; look at the files, or at the source's expressions with "
                "`nightcart source check`"
            )


def _reasons_without_a_day(dataset: SourceDataset) -> set[str]:
    """Reasons of rows of a dump that have no time: those of a join, too, if it brings the time."""
    if dataset.delivery != "dump" or not dataset.own_time:
        return set()
    found = {"undated"}
    for place, join in enumerate(dataset.joins):
        behind = [name for later in dataset.joins[place:] for name in later.columns]
        if columns_read(dataset.own_time, behind):
            found |= {join.unmatched, join.ambiguous}
    return found
