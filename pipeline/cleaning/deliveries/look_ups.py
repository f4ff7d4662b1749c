"""What joins and arrays made of a delivery's rows: counted apart, and remembered by day.

One pass over the rows, before they are cleaned, counts by day how many found their partner in each
joined file, how many raw rows became how many elements, and a digest of the rows with all that was
joined to them. The manifest of a cleaned day keeps what the joined files were and that digest, so
that a later night can tell which days a corrected or late file changes (`joined_days`).

The ledger has these counts in lines of their own, which balance by themselves:

    <dataset>_with_<join>   rows that looked for a partner = those that found one +
                            `<join>_unmatched` (inner) or `left_without_<join>` (left, and the row
                            stays) + `<join>_ambiguous`
    <dataset>_arrays        raw rows = those that gave elements + `no_<element>` + unreadable ones
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.cleaning.deliveries.joined_state import JOINED_DIGEST, JOINED_FILES, state_of
from pipeline.cleaning.deliveries.raw_files import RawFiles
from pipeline.cleaning.rows.mapping import Calendar, delivery_day_of_dump
from pipeline.contracts.spark import quoted
from pipeline.errors import InputError
from pipeline.lake import Lake
from pipeline.ledger import ARRAYS, WITH, LedgerLine
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.joined_files import TableFiles, joined_files
from pipeline.sources.joined_rows import (
    AMBIGUOUS,
    FOUND,
    UNMATCHED,
    WITHOUT_KEY,
    LookUpCounts,
    counts_in,
    counts_of,
)
from pipeline.sources.reader_columns import DAY, FILE, LINE
from pipeline.sources.readers import read_rows
from pipeline.sources.source import SourceDataset

_UNREADABLE_LINE = "unreadable_line"
_UNREADABLE_SHARE_LINES = 1  # a file's only line may be the one that was cut off


@dataclass(frozen=True)
class LookUps:
    """What was joined to a delivery's rows and made of its arrays."""

    days: Mapping[dt.date, LookUpCounts] = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)  # as `joined_state` remembers them
    faults: Sequence[InputError] = ()

    def facts(self, day: dt.date) -> dict[str, object]:
        """What the manifest of a cleaned day remembers of its joins."""
        if not self.tables:
            return {}
        digest = self.days[day].digest if day in self.days else ""
        return {JOINED_FILES: dict(self.tables), JOINED_DIGEST: digest}

    def lines(
        self, dataset: SourceDataset, day: dt.date, run_id: str, raw_rows: int
    ) -> list[LedgerLine]:
        """The ledger lines of a day; see the module's docstring.

        Args:
            raw_rows: of the day's own files, counted without this pass.
        """
        counts = self.days.get(day)
        if counts is None:
            return []
        found = []
        refused = {
            _UNREADABLE_LINE: counts.unreadable_lines,
            **({dataset.explode.unreadable: counts.unreadable_arrays} if dataset.explode else {}),
        }
        if dataset.explode:
            rule = {dataset.explode.none: counts.no_element}
            name = f"{dataset.name}{ARRAYS}"
            found.append(
                _line((day, run_id, name), (raw_rows, counts.with_elements), refused, rule)
            )
        asking = counts.rows - sum(refused.values()) - counts.no_element
        for join in dataset.joins:
            of = counts.found[join.name]
            alone = of[UNMATCHED] + of[WITHOUT_KEY]
            is_inner = join.kind == "inner"
            broken = {join.unmatched: alone if is_inner else 0, join.ambiguous: of[AMBIGUOUS]}
            found.append(
                _line(
                    (day, run_id, f"{dataset.name}{WITH}{join.name}"),
                    (asking, of[FOUND]),
                    broken,
                    {f"left_without_{join.name}": 0 if is_inner else alone},
                )
            )
            asking -= sum(broken.values())
        return found


def look_up(  # noqa: PLR0917
    spark: SparkSession,
    lake: Lake,
    dataset: SourceDataset,
    raw_root: Path | str,
    files: Sequence[DeliveredFile],
    calendar: Calendar,
    max_unreadable_share: float,
) -> LookUps:
    """Count what is joined to the rows of some files.

    Raises:
        InputError: a joined file that is required is not there, or has other columns.
    """
    night = calendar.days[-1]
    tables = joined_files(dataset, raw_root, night)
    faults: list[InputError] = [fault for table in tables for fault in table.damaged]
    for join, table in zip(dataset.joins, tables, strict=True):
        if not table.whole and not table.damaged and join.table.required:
            raise InputError(
                f"{Path(raw_root) / join.table.files} does not exist ({join.table.where}); deliver "
                "it, or write required: false where rows may go without"
            )
        faults += _unreadable(spark, join.table, raw_root, table, max_unreadable_share)
    with RawFiles(lake) as raw_files:
        state = state_of(tables, raw_files)
    days = day_counts(spark, dataset, raw_root, files, calendar)
    return LookUps(days, state, faults)


def day_counts(
    spark: SparkSession,
    dataset: SourceDataset,
    raw_root: Path | str,
    files: Sequence[DeliveredFile],
    calendar: Calendar,
) -> dict[dt.date, LookUpCounts]:
    """The counts of each delivery day that the files have rows of."""
    rows = read_rows(spark, dataset, raw_root, list(files), upto=calendar.days[-1])
    day = delivery_day_of_dump(dataset, calendar) if dataset.delivery == "dump" else F.col(DAY)
    counted = rows.groupBy(day.alias("day")).agg(_digest(rows).alias("digest"), *counts_of(dataset))
    return {row["day"]: counts_in(row, dataset) for row in counted.collect()}


def _digest(rows: DataFrame) -> Column:
    """Of the rows in any order; another where one row is another, or is joined with another."""
    values = [
        F.coalesce(F.col(quoted(name)).cast("string"), F.lit("\x00")) for name in rows.columns
    ]
    return F.sum(F.xxhash64(*values).cast("decimal(38,0)"))


def _unreadable(
    spark: SparkSession,
    table: SourceDataset,
    raw_root: Path | str,
    files: TableFiles,
    max_share: float,
) -> list[InputError]:
    """An error for each joined file of which too many lines cannot be read."""
    if table.format == "parquet" or not files.whole:
        return []
    rows = read_rows(spark, table, raw_root, list(files.whole))
    # Spark lets nobody ask for `__line` alone.
    first = F.count(F.col(quoted(table.columns[0]))).alias("first")
    counted = rows.groupBy(FILE).agg(
        F.count("*").alias("rows"), F.count_if(F.col(LINE).isNotNull()).alias("lost"), first
    )
    return [
        InputError(
            f"{Path(raw_root) / row[FILE]}: {row['lost']:,} of {row['rows']:,} lines cannot be "
            f"read as {table.format} with the columns {','.join(table.columns)} ({table.where})"
        )
        for row in counted.collect()
        if row["lost"] > max(max_share * row["rows"], _UNREADABLE_SHARE_LINES)
    ]


def _line(
    of: tuple[dt.date, str, str],
    in_and_out: tuple[int, int],
    quarantined: Mapping[str, int],
    removed: Mapping[str, int],
) -> LedgerLine:
    day, run_id, name = of
    quarantined = {reason: n for reason, n in quarantined.items() if n}
    removed = {rule: n for rule, n in removed.items() if n}
    return LedgerLine(day, run_id, "clean", name, *in_and_out, quarantined, removed)
