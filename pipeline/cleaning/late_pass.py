"""One dataset's late rows, after the rows of the day itself are in scratch: judged and written.

Reads the late rows of the pass and what is known of their user days (`late_context`). Writes to
scratch, each below `run_date=<the delivery that says so>/`:
    <dataset>/…/own_day=E/    late rows that are good, and earlier rows that are good after all
    late_quarantine_<dataset>/, late_removed_events/, retractions_<dataset>/
Costs nothing but one small count where a pass has no late row.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
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
from pipeline.cleaning.fates import DELIVERY, ROW_ORDER
from pipeline.cleaning.late_context import Known
from pipeline.cleaning.late_rows import (
    AS_OF,
    KEPT,
    OUTCOME,
    RELEASED,
    RESTORED,
    RETRACTED,
    judge_late_rows,
)
from pipeline.cleaning.tagging import (
    KEPT_RULES,
    OUT,
    OWN_DAY,
    QUARANTINED,
    REASON,
    REMOVED,
    Rules,
    own_day_column,
)
from pipeline.ledger import LedgerLine
from pipeline.sources.source import KEY_COLUMN

RETRACTIONS = "retractions"


@dataclass(frozen=True)
class LateCount:
    """Rows of which one delivery said the same."""

    as_of: dt.date
    outcome: str
    released: bool
    reason: str
    rows: int


@dataclass(frozen=True)
class LateRows:
    """What the late rows of a pass came to, by the delivery that says so."""

    counts: list[LateCount] = field(default_factory=list)
    oldest: Mapping[dt.date, dt.date] = field(default_factory=dict)  # of the user days touched

    def removed(self, day: dt.date, *, released: bool) -> Counter[str]:
        """Rows that a delivery brought and that a rule took out."""
        return self._by_reason(day, REMOVED, released)

    def released_in(self, day: dt.date) -> int:
        """Rows of a delivery's files that came out of quarantine."""
        return self._rows(day, (OUT,), released=True)

    def restored(self, day: dt.date) -> int:
        """Rows of a delivery's files that an earlier one had brought, and a rule taken out."""
        return self._rows(day, (RESTORED,))

    def lines(self, dataset: str, day: dt.date, run_id: str) -> list[LedgerLine]:
        """What became of rows that the delivery's own files did not bring; none without any.

        `<dataset>_released` came out of quarantine; `<dataset>_judged_again` is what stood of the
        user days that late rows touched, and what of them was restored.
        """
        released = LedgerLine(
            run_date=day,
            run_id=run_id,
            stage="clean",
            dataset=f"{dataset}_released",
            rows_in=self._rows(day, (OUT, QUARANTINED, REMOVED), released=True),
            rows_out=self.released_in(day),
            quarantined=dict(self._by_reason(day, QUARANTINED, released=True)),
            removed=dict(self.removed(day, released=True)),
        )
        again = LedgerLine(
            run_date=day,
            run_id=run_id,
            stage="clean",
            dataset=f"{dataset}_judged_again",
            rows_in=self._rows(day, (KEPT, RESTORED, RETRACTED)),
            rows_out=self._rows(day, (KEPT, RESTORED)),
            removed=dict(self._by_reason(day, RETRACTED, None)),
        )
        return [line for line in (released, again) if line.rows_in]

    def _rows(self, day: dt.date, outcomes: tuple[str, ...], released: bool | None = None) -> int:
        return sum(count.rows for count in self._chosen(day, outcomes, released))

    def _by_reason(self, day: dt.date, outcome: str, released: bool | None) -> Counter[str]:
        found: Counter[str] = Counter()
        for count in self._chosen(day, (outcome,), released):
            found[count.reason] += count.rows
        return found

    def _chosen(
        self, day: dt.date, outcomes: tuple[str, ...], released: bool | None
    ) -> list[LateCount]:
        return [
            count
            for count in self.counts
            if count.as_of == day
            and count.outcome in outcomes
            and released in (None, count.released)
        ]


def clean_late_rows(late: DataFrame, known: Known, rules: Rules, partitions: int) -> LateRows:
    """Judge late rows and write what follows.

    Args:
        late: as `judge_late_rows` wants it. It is computed once.
        known: where rows of earlier deliveries lie.
        rules: of the dataset.
        partitions: into how many tasks to cut what is written.
    """
    dataset = rules.dataset.name
    late = _stored(late, known.scratch / f"late_{dataset}")
    days = late.groupBy(own_day_column(dataset)).count().collect()
    if not days:
        return LateRows()
    context = known.context(dataset, late, {row[0]: row["count"] for row in days})
    judged = _stored(judge_late_rows(late, context, rules), known.scratch / f"judged_{dataset}")
    found = _counted(judged)
    _write(judged, found, known, rules, partitions)
    return found


def _stored(frame: DataFrame, path: Path) -> DataFrame:
    """The frame, written and read back.

    The rows are few and what made them is a long plan, which Spark would go through again at every
    step that follows (minutes, where a processor is shared), however well the rows are kept.
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
    """Where the rows wait that a dataset's late rows took back."""
    return scratch / f"{RETRACTIONS}_{dataset}"


def _counted(judged: DataFrame) -> LateRows:
    is_new = F.col(OUTCOME).isin(OUT, QUARANTINED, REMOVED)
    rows = (
        judged.groupBy(AS_OF, OUTCOME, RELEASED, REASON)
        .agg(F.count("*").alias("rows"), F.min(F.when(is_new, F.col(OWN_DAY))).alias("oldest"))
        .collect()
    )
    touched: defaultdict[dt.date, list[dt.date]] = defaultdict(list)
    for row in rows:
        if row["oldest"] is not None:
            touched[row[AS_OF]].append(row["oldest"])
    counts = [
        LateCount(row[AS_OF], row[OUTCOME], row[RELEASED], row[REASON] or "", row["rows"])
        for row in rows
    ]
    return LateRows(counts, {day: min(oldest) for day, oldest in touched.items()})


def _write(judged: DataFrame, found: LateRows, known: Known, rules: Rules, partitions: int) -> None:
    dataset, scratch = rules.dataset.name, known.scratch
    outcomes = {count.outcome for count in found.counts}
    told = judged.withColumn(DELIVERY, F.col(AS_OF))
    placed = told.repartition(partitions, DELIVERY, OWN_DAY)

    def rows_of(*wanted: str) -> DataFrame:
        return placed.where(F.col(OUTCOME).isin(*wanted)).sortWithinPartitions(
            DELIVERY, OWN_DAY, *ROW_ORDER[dataset]
        )

    if outcomes & {OUT, RESTORED}:
        write_late(rows_of(OUT, RESTORED), dataset, scratch)
    if QUARANTINED in outcomes:
        write_rows(
            rows_of(QUARANTINED).select(*quarantine_columns(dataset, rules.source)),
            late_quarantine(scratch, dataset),
        )
    if any(count.outcome == REMOVED and count.reason in KEPT_RULES for count in found.counts):
        kept = rows_of(REMOVED).where(F.col(REASON).isin(*KEPT_RULES))
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
