"""One dataset's pass: its files are read once, every row gets an outcome and goes to scratch.

Reads the raw files of the days to clean, the items that the catalogue knew then and, where rows
came late, what the lake has of their days. Writes `<scratch>/<dataset>/run_date=D/`, and
`removed_events` and `quarantine_<dataset>` likewise, and what `late_pass` writes; nothing in the
lake. Guarantees that the rows read, the rows in the files and the tally are counted apart, so that
the ledger's balance means something.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.cleaning.day_files import (
    bots_in,
    quarantine_scratch,
    write_quarantine,
    write_removed_events,
)
from pipeline.cleaning.deliveries.corrupt_files import refuse_or_warn, write_damaged
from pipeline.cleaning.deliveries.delivery import Delivery
from pipeline.cleaning.deliveries.snapshot_changes import Changes
from pipeline.cleaning.known_items import known_items
from pipeline.cleaning.late.late_counts import LateRows
from pipeline.cleaning.late.late_pass import clean_late_rows
from pipeline.cleaning.ledger_lines import ledger_lines
from pipeline.cleaning.night_context import NightContext
from pipeline.cleaning.rows.mapping import map_rows
from pipeline.cleaning.rows.row_rules import (
    LATE,
    ORDER,
    QUARANTINED,
    REMOVED,
    RESTORABLE_RULES,
    Rules,
    apply_row_rules,
)
from pipeline.cleaning.spark_errors import explain
from pipeline.cleaning.tally import (
    Count,
    refuse_too_many_quarantined,
    taken_as_no,
    tally,
    unreadable_files,
)
from pipeline.cleaning.user_days.multi_row_rules import apply_multi_row_rules
from pipeline.cleaning.user_days.placement import place
from pipeline.cleaning.withdrawn import write_withdrawn
from pipeline.cleaning.write_outcomes import rows_with_outcome, write_by_outcome
from pipeline.errors import InputError
from pipeline.ledger import LedgerLine
from pipeline.sources.reader_columns import DAY
from pipeline.sources.readers import read_rows
from pipeline.sources.source import TIME_COLUMN


@dataclass(frozen=True)
class CleanedDataset:
    """What one dataset's pass found."""

    lines: list[LedgerLine]
    bots: dict[str, int]
    consent_unread: int
    late: LateRows
    warnings: list[str]


def clean_dataset(night: NightContext, delivery: Delivery) -> CleanedDataset:
    """Give every row of a dataset's files its outcome, write all of them to scratch, count them.

    Raises:
        InputError: a file is mostly unreadable.
        GateError: too much of a day would be quarantined.
    """
    dataset, scratch = delivery.dataset, night.scratch
    limits = night.settings.cleaning
    if delivery.changes is not None and delivery.changes.is_empty:
        return _unchanged(night, delivery, delivery.changes)
    timezone = night.calendar.timezone
    rules = Rules(dataset, night.source.name, timezone, limits, night.key, night.erased)
    known = (
        known_items(night.spark, night.lake, night.source, scratch, night.days)
        if dataset.name in TIME_COLUMN
        else None
    )
    rows = _with_outcomes(night, delivery, rules, known)
    try:
        write_by_outcome(rows, dataset.name, scratch, days=len(night.days))
        counts = tally(scratch, dataset.name, night.days)
        unreadable = _refuse_bad_days(night, delivery, counts)
        late = _write_others(night, rows, counts, rules, known)
        if delivery.changes is not None:
            write_withdrawn(night, delivery.changes)
    except (PySparkException, Py4JJavaError) as error:
        explain(error, dataset)
        raise
    run_date, refused = night.run.run_date, quarantine_scratch(scratch, dataset.name)
    write_damaged(delivery.damaged, dataset.name, night.source.name, run_date, refused)
    read = delivery.rows + delivery.rows_in_damaged(run_date)
    lines = [
        line
        for day in night.days
        for line in ledger_lines(
            scratch,
            LedgerLine(day, night.run.run_id, "clean", dataset.name, read[day], 0),
            counts,
            late,
            delivery.unchanged(day),
        )
    ]
    for day in night.days:
        raw_rows = delivery.raw_rows.get(day, 0)
        lines += delivery.looked_up.lines(dataset, day, night.run.run_id, raw_rows)
    bots = bots_in(scratch, night.days) if dataset.name == "events" else {}
    faults = [*delivery.damaged, *delivery.looked_up.faults, *unreadable]
    warnings = [str(fault) for fault in faults]
    return CleanedDataset(lines, bots, taken_as_no(counts), late, warnings)


def _unchanged(night: NightContext, delivery: Delivery, changes: Changes) -> CleanedDataset:
    """A file that is as it was, or of which rows are gone and no other has changed."""
    write_withdrawn(night, changes)
    lines = [
        LedgerLine(
            one.day,
            night.run.run_id,
            "clean",
            delivery.dataset.name,
            one.rows,
            0,
            removed=dict(sorted(one.removed().items())),
        )
        for one in changes.days
    ]
    return CleanedDataset(lines, {}, 0, LateRows(), [])


def _with_outcomes(
    night: NightContext, delivery: Delivery, rules: Rules, known: DataFrame | None
) -> DataFrame:
    """The delivery's rows, read and mapped, after the rules of one row and of several rows."""
    dataset, files = delivery.dataset, delivery.files
    if delivery.changes is not None:
        raw = delivery.changes.rows(night.spark)
    else:
        raw = read_rows(
            night.spark,
            dataset,
            night.raw_root,
            files,
            plain=delivery.plain,
            upto=night.calendar.days[-1],
        )
    mapped = map_rows(raw, dataset, night.calendar, night.key)
    if dataset.delivery == "dump":
        mapped = mapped.where(F.col(DAY).isin(night.days))
    bytes_per_day = sum(file.path.stat().st_size for file in files) // max(1, len(night.days))
    placed = place(
        apply_row_rules(mapped, rules, known),
        dataset.name,
        partitions=night.settings.spark.shuffle_partitions,
        days=len(night.days),
        bytes_per_day=bytes_per_day,
    )
    return apply_multi_row_rules(placed, rules)


def _refuse_bad_days(
    night: NightContext, delivery: Delivery, counts: list[Count]
) -> list[InputError]:
    """Stop for mostly unreadable files, unless the settings say continue, and for bad days."""
    dataset, limits = delivery.dataset, night.settings.cleaning
    unreadable = unreadable_files(
        counts, delivery.rows_of, dataset, night.raw_root, limits.max_unreadable_share
    )
    refuse_or_warn(unreadable, limits.on_corrupt_file)
    unchanged = {day: delivery.unchanged(day).total() for day in night.days}
    refuse_too_many_quarantined(
        counts,
        dataset,
        limits.max_quarantined_share,
        unchanged,
        rows_of_dump=sum(delivery.rows_of.values()) if dataset.delivery == "dump" else 0,
    )
    return unreadable


def _write_others(
    night: NightContext,
    rows: DataFrame,
    counts: list[Count],
    rules: Rules,
    known: DataFrame | None,
) -> LateRows:
    """Write what is made of rows that are not accepted: quarantine, removed events, late rows."""
    dataset, scratch = rules.dataset, night.scratch
    outcomes = {count.outcome for count in counts}
    order_type = rows.schema[ORDER].dataType
    rows_of = partial(rows_with_outcome, night.spark, rules, scratch=scratch, order=order_type)
    if QUARANTINED in outcomes:
        write_quarantine(rows_of(QUARANTINED), dataset.name, night.source.name, scratch)
    if dataset.name == "events" and any(count.reason in RESTORABLE_RULES for count in counts):
        write_removed_events(rows_of(REMOVED), scratch)
    if dataset.name not in TIME_COLUMN:
        return LateRows()
    came_late = rows_of(LATE) if LATE in outcomes else None
    return clean_late_rows(night, came_late, known, rules)
