"""One dataset's late rows, after the rows of the day itself are in scratch: resolved and written.

Reads the late rows of the pass, the rows of new items in quarantine, and what is known of their
user days (`late_context`). Writes to scratch, each below `run_date=<the delivery that decides>/`:
    <dataset>/…/own_day=E/    late rows that are good, and earlier rows that are good after all
    late_quarantine_<dataset>/, late_removed_events/, retractions_<dataset>/
Costs nothing but one small count where a pass has no late row.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from functools import reduce
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.cleaning.day_files import (
    LATE_REMOVED,
    late_quarantine,
    quarantine_columns,
    write_late,
    write_removed,
    write_rows,
)
from pipeline.cleaning.late.late_context import EarlierRows
from pipeline.cleaning.late.late_counts import LateCount, LateRows
from pipeline.cleaning.late.late_rows import (
    AS_OF,
    LATE_OUTCOME,
    RELEASED,
    RESTORED,
    RETRACTED,
    resolve_late_rows,
)
from pipeline.cleaning.late.rows_of_new_items import newly_known, quarantined_files, released_rows
from pipeline.cleaning.night_context import NightContext
from pipeline.cleaning.rows.mapping import map_rows
from pipeline.cleaning.rows.row_rules import (
    ACCEPTED,
    ORDER,
    OWN_DAY,
    QUARANTINED,
    REASON,
    REMOVED,
    RESTORABLE_RULES,
    Rules,
    own_day_column,
)
from pipeline.cleaning.write_outcomes import DELIVERY, ROW_ORDER
from pipeline.contracts.contract import load_contract
from pipeline.sources.reader_columns import DAY, FILE
from pipeline.sources.source import KEY_COLUMN, SourceDataset

RETRACTIONS = "retractions"


def clean_late_rows(
    night: NightContext, came_late: DataFrame | None, known: DataFrame | None, rules: Rules
) -> LateRows:
    """Resolve the late rows of a pass, and those that it releases from quarantine, and write both.

    Args:
        night: whose scratch is written to.
        came_late: the rows that the pass brought late, if any.
        known: as `known_items` gives them; None where the source has no catalogue.
        rules: of the dataset.
    """
    dataset = rules.dataset
    late = [] if came_late is None else [_as_late(came_late, dataset, released=False)]
    released = _released(night, known, rules)
    if released is not None:
        late.append(_as_late(released, dataset, released=True))
    if not late:
        return LateRows()
    rows = _stored(reduce(DataFrame.unionByName, late), night.scratch / f"late_{dataset.name}")
    days = rows.groupBy(own_day_column(dataset.name)).count().collect()
    if not days:
        return LateRows()
    earlier = EarlierRows(night.spark, night.lake, night.scratch, night.days)
    context = earlier.context(dataset.name, rows, {row[0]: row["count"] for row in days})
    resolved = resolve_late_rows(rows, context, rules)
    resolved = _stored(resolved, night.scratch / f"resolved_{dataset.name}")
    counts = _counted(resolved)
    _write(resolved, counts, night.scratch, rules, night.settings.spark.shuffle_partitions)
    return counts


def _released(night: NightContext, known: DataFrame | None, rules: Rules) -> DataFrame | None:
    """The rows that leave quarantine because their item is known now, if there may be any."""
    files = quarantined_files(night.lake, night.scratch, rules, night.days)
    if known is None or not files or not newly_known(known, files, night.days):
        return None

    def to_mapped(raw: DataFrame) -> DataFrame:
        return map_rows(raw, rules.dataset, night.calendar, night.key, hashed_users=True)

    return released_rows(known, files, night.days, rules, to_mapped)


def _as_late(rows: DataFrame, dataset: SourceDataset, *, released: bool) -> DataFrame:
    columns = load_contract(f"cleaned_{dataset.name}").column_names
    return rows.select(*columns, DAY, FILE, ORDER, F.lit(released).alias(RELEASED))


def _stored(frame: DataFrame, path: Path) -> DataFrame:
    """The frame, written and read back.

    The rows are few and their plan is long. Spark would go through the plan again at every step
    that follows (minutes, where a processor is shared), even if the rows were cached.
    """
    kinds = {field.name: field.dataType for field in frame.schema}
    typed = {
        name: F.col(name).cast("string")
        for name, kind in kinds.items()
        if isinstance(kind, T.NullType)
    }
    kept = frame.withColumns(typed)
    kept.write.mode("overwrite").parquet(str(path))
    return frame.sparkSession.read.schema(kept.schema).parquet(str(path))


def retractions_scratch(scratch: Path, dataset: str) -> Path:
    """Where the rows wait that a dataset's late rows retract."""
    return scratch / f"{RETRACTIONS}_{dataset}"


def _counted(resolved: DataFrame) -> LateRows:
    is_new = F.col(LATE_OUTCOME).isin(ACCEPTED, QUARANTINED, REMOVED)
    rows = (
        resolved.groupBy(AS_OF, LATE_OUTCOME, RELEASED, REASON)
        .agg(F.count("*").alias("rows"), F.min(F.when(is_new, F.col(OWN_DAY))).alias("oldest"))
        .collect()
    )
    touched: defaultdict[dt.date, list[dt.date]] = defaultdict(list)
    for row in rows:
        if row["oldest"] is not None:
            touched[row[AS_OF]].append(row["oldest"])
    counts = [
        LateCount(row[AS_OF], row[LATE_OUTCOME], row[RELEASED], row[REASON] or "", row["rows"])
        for row in rows
    ]
    return LateRows(counts, {day: min(oldest) for day, oldest in touched.items()})


def _write(
    resolved: DataFrame, late: LateRows, scratch: Path, rules: Rules, partitions: int
) -> None:
    dataset = rules.dataset.name
    outcomes = {count.outcome for count in late.counts}
    rows = resolved.withColumn(DELIVERY, F.col(AS_OF))
    placed = rows.repartition(partitions, DELIVERY, OWN_DAY)

    def rows_of(*wanted: str) -> DataFrame:
        return placed.where(F.col(LATE_OUTCOME).isin(*wanted)).sortWithinPartitions(
            DELIVERY, OWN_DAY, *ROW_ORDER[dataset]
        )

    if outcomes & {ACCEPTED, RESTORED}:
        write_late(rows_of(ACCEPTED, RESTORED), dataset, scratch)
    if QUARANTINED in outcomes:
        write_rows(
            rows_of(QUARANTINED).select(*quarantine_columns(dataset, rules.source)),
            late_quarantine(scratch, dataset),
        )
    if any(count.outcome == REMOVED and count.reason in RESTORABLE_RULES for count in late.counts):
        kept = rows_of(REMOVED).where(F.col(REASON).isin(*RESTORABLE_RULES))
        write_removed(kept, scratch / LATE_REMOVED)
    if RETRACTED in outcomes:
        columns = [
            F.lit(dataset).alias("dataset"),
            F.col("user_id"),
            F.col(own_day_column(dataset)).alias("event_date"),
            F.col(KEY_COLUMN[dataset]).alias("event_id"),
            F.col(REASON).alias("rule"),
            F.col(DELIVERY),
        ]
        write_rows(rows_of(RETRACTED).select(*columns), retractions_scratch(scratch, dataset))
