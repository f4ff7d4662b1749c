"""`nightcart source check`: which columns of a retailer's files map, and ten mapped rows.

Reads the source YAML and the files of one day; writes nothing. The first rows are shown as the
source maps them, before pseudonymisation, because the reader wants to see that ids map: the
output is for the retailer's own terminal.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import row_rules
from pipeline.errors import InputError
from pipeline.sources.expressions import (
    expression_faults,
    first_true,
    mapped_values,
)
from pipeline.sources.file_checks import check_files
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.reader_columns import LINE, UNKNOWN_KEY
from pipeline.sources.readers import read_rows
from pipeline.sources.source import SourceDataset, columns_read, with_timezone
from pipeline.sources.source_yaml import load_source

SAMPLE_ROWS = 10
CHECKED_ROWS = 10_000


@dataclass(frozen=True)
class DatasetCheck:
    """The findings about one dataset of a source."""

    dataset: str
    files: list[str]
    mapped: dict[str, str]
    unmapped: list[str]
    unused: list[str]
    faults: list[str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the dataset could be cleaned, as far as the look went."""
        return not self.faults

    def lines(self) -> Iterator[str]:
        """The findings as text, for a terminal."""
        some = f" and {len(self.files) - 3} more" if len(self.files) > 3 else ""
        yield f"{self.dataset}: {', '.join(self.files[:3]) or 'no file'}{some}"
        for column, sql in self.mapped.items():
            yield f"  {column:<12} <- {sql}"
        if self.unmapped:
            yield f"  not mapped (null): {', '.join(self.unmapped)}"
        if self.unused:
            yield f"  raw columns not used: {', '.join(self.unused)}"
        for fault in self.faults:
            yield f"  FAULT {fault}"
        for outcome, rows in self.outcomes.items():
            yield f"  {rows:>8,} rows: {outcome}"
        for row in self.rows:
            yield "  " + ", ".join(f"{name}={value!r}" for name, value in row.items())


def check_source(
    spark: SparkSession,
    source_path: str | Path,
    raw_root: str | Path,
    date: dt.date | None = None,
    timezone: str = "UTC",
) -> list[DatasetCheck]:
    """Look at a source and at the files of one day (by default the newest there is).

    The outcome of a row follows from the source's rules and those of the contract that need nothing
    but the row; unknown items, duplicates and bots are left to cleaning.

    Raises:
        ContractError: the YAML itself is wrong.
    """
    source = with_timezone(load_source(source_path), timezone)
    checks = []
    for dataset in source.datasets.values():
        files = _newest(dataset, raw_root, date)
        checks.append(_check(spark, dataset, raw_root, files))
    return checks


def _newest(
    dataset: SourceDataset, raw_root: str | Path, date: dt.date | None
) -> list[DeliveredFile]:
    files = dataset.pattern.files(raw_root, date if dataset.delivery == "daily" else None)
    dates = [file.date for file in files if file.date is not None]
    return [file for file in files if not dates or file.date == max(dates)]


def _check(
    spark: SparkSession, dataset: SourceDataset, raw_root: str | Path, files: list[DeliveredFile]
) -> DatasetCheck:
    contract = load_contract(f"raw_{dataset.name}")
    expressions = [
        *dataset.mapping.values(),
        *(rule.when for rule in (*dataset.remove, *dataset.quarantine)),
        dataset.row_time,
        dataset.latest_by,
    ]
    read = {name for sql in expressions for name in columns_read(sql, dataset.columns)}
    faults = [
        f"map: {column.name} is required by the contract and not mapped"
        for column in contract.columns
        if not column.nullable and column.name not in dataset.mapping
    ]
    if not files:
        faults.append(f"no file matches {dataset.files!r} below {raw_root}")
    try:
        damaged = check_files(dataset, files)
    except InputError as error:
        faults.append(str(error))
        damaged = []
    faults += [str(damage) for damage in damaged]
    files = [file for file in files if file not in [damage.file for damage in damaged]]
    raw = read_rows(spark, dataset, raw_root, files)
    faults += [f"{dataset.where}: {fault}" for fault in expression_faults(raw, dataset)]
    check = DatasetCheck(
        dataset=dataset.name,
        files=[file.relative for file in files],
        mapped=dict(dataset.mapping),
        unmapped=[name for name in contract.column_names if name not in dataset.mapping],
        unused=[name for name in dataset.columns if name not in read],
        faults=faults,
    )
    if not faults:
        _look_at_rows(check, raw.limit(CHECKED_ROWS), dataset)
    return check


def _look_at_rows(check: DatasetCheck, raw: DataFrame, dataset: SourceDataset) -> None:
    """Fill in the sample and the outcomes."""
    mapped, unparsable = mapped_values(raw, dataset)
    ruled = raw.select(
        LINE,
        UNKNOWN_KEY,
        first_true(dataset.remove).alias("__remove"),
        F.coalesce(first_true(dataset.quarantine), unparsable).alias("__refuse"),
        *(value.alias(name) for name, value in mapped.items()),
    )
    outcome = (
        F.when(F.col(UNKNOWN_KEY).isNotNull(), F.concat(F.lit("unknown key "), F.col(UNKNOWN_KEY)))
        .when(F.col(LINE).isNotNull(), F.lit("quarantined: unreadable_line"))
        .when(F.col("__remove").isNotNull(), F.concat(F.lit("removed: "), "__remove"))
        .when(F.col("__refuse").isNotNull(), F.concat(F.lit("quarantined: "), "__refuse"))
        .otherwise(F.coalesce(_own_refusal(dataset), F.lit("accepted")))
    )
    try:
        rows = ruled.withColumn("__outcome", outcome).collect()
    except PySparkException as error:
        check.faults.append(f"an expression fails on a row: {' '.join(str(error).split())[:600]}")
        return
    found = Counter(row["__outcome"] for row in rows)
    check.outcomes.update(dict(found.most_common()))
    accepted = dict.fromkeys(
        tuple(row[name] for name in dataset.mapping)
        for row in rows
        if row["__outcome"] == "accepted"
    )
    check.rows.extend(
        dict(zip(dataset.mapping, values, strict=True)) for values in [*accepted][:SAMPLE_ROWS]
    )


def _own_refusal(dataset: SourceDataset) -> Column:
    """The first contract rule that a row breaks by itself; rules on the context are left out."""
    contract = load_contract(f"raw_{dataset.name}")
    context = [column.name for column in contract.context]
    cases = [
        F.when(~F.coalesce(F.expr(predicate), F.lit(False)), F.lit(f"quarantined: {reason}"))
        for reason, predicate in row_rules(contract)
        if not columns_read(predicate, context)
    ]
    return F.coalesce(*cases, F.lit(None).cast("string"))
