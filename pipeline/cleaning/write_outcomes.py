"""Rows by their outcome: a pass writes all of them once; later steps read the few not accepted.

`write_by_outcome` writes, in the cleaned contract's columns and nothing else,

    <scratch>/<dataset>/run_date=D/…                            accepted rows, as the lake gets them
    <scratch>/not_accepted_<dataset>/<outcome>/run_date=D/…     removed, quarantined or late rows

each below one more directory: `own_day=E` for events and reviews, `consent_unread=true` or `false`
for the others. The reason, file, evidence and redacted row of a row that is not accepted are packed
into its `source`, which only accepted rows need. So one write serves all, its files are those that
are published, and nothing is kept in memory or computed a second time. `rows_with_outcome` gives
such rows back as they were.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.cleaning.rows.row_rules import (
    ACCEPTED,
    CONSENT_UNREAD,
    EVIDENCE,
    ORDER,
    OUTCOME,
    OWN_DAY,
    RAW,
    REASON,
    Rules,
)
from pipeline.cleaning.user_days.row_arrays import EVIDENCE_TYPE
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.datasets import cleaned
from pipeline.lake import storage_errors
from pipeline.sources.reader_columns import DAY, FILE
from pipeline.sources.source import TIME_COLUMN

# The own day's directory in scratch; not the column's name, which would take it out of the file.
OWN_DIRECTORY = "own_day"
UNREAD_DIRECTORY = "consent_unread"
DELIVERY = "run_date"

ROW_ORDER = {
    "events": ("user_id", "event_time", "event_id"),
    "reviews": ("user_id", "review_time", "review_id"),
    "items": ("item_id",),
    "users": ("user_id",),
}
_OUTCOME = "outcome"
# The outcomes of one delivery, twice for users.
_MOST_FILES_AT_ONCE = 8


def write_by_outcome(resolved: DataFrame, dataset: str, scratch: Path, *, days: int) -> None:
    """Write every row once; see the module's docstring.

    The order of the rows in the files does not depend on how the input was split.

    Args:
        resolved: as `apply_multi_row_rules` gives them; rows of one day in the order of its files.
        dataset: its name.
        scratch: the pass's.
        days: how many the pass cleans.
    """
    stays = F.col(OUTCOME) == ACCEPTED
    # Never null, but Spark forgets that, and files of one day are to have one schema.
    source = F.when(stays, F.coalesce("source", F.lit(""))).otherwise(
        F.coalesce(_packed(), F.lit(""))
    )
    columns = load_contract(cleaned(dataset)).column_names
    if dataset in TIME_COLUMN:
        below = F.when(stays, F.col(OWN_DAY)).otherwise(F.col(DAY)).alias(OWN_DIRECTORY)
    else:
        below = F.coalesce(CONSENT_UNREAD, F.lit(False)).alias(UNREAD_DIRECTORY)
    rows = resolved.select(
        *(source.alias(name) if name == "source" else F.col(name) for name in columns),
        F.col(OUTCOME).alias(_OUTCOME),
        F.col(DAY).alias(DELIVERY),
        below,
    )
    by = rows.columns[len(columns) :]
    target = scratch / f"by_outcome_{dataset}"
    if days == 1:
        with _files_at_once(resolved.sparkSession, _MOST_FILES_AT_ONCE):
            rows.write.mode("overwrite").partitionBy(*by).parquet(str(target))
    else:
        ordered = rows.sortWithinPartitions(*by, *ROW_ORDER[dataset])
        ordered.write.mode("overwrite").partitionBy(*by).parquet(str(target))
    with storage_errors(f"cannot move files below {scratch}"):
        others = not_accepted_directory(scratch, dataset)
        others.mkdir(parents=True, exist_ok=True)
        for directory in target.glob(f"{_OUTCOME}=*"):
            outcome = directory.name.partition("=")[2]
            directory.rename(scratch / dataset if outcome == ACCEPTED else others / outcome)
        shutil.rmtree(target, ignore_errors=True)


@contextmanager
def _files_at_once(spark: SparkSession, most: int) -> Iterator[None]:
    """A task may hold so many files open, so that rows need not be sorted by their file."""
    name = "spark.sql.maxConcurrentOutputFileWriters"
    before = spark.conf.get(name)
    spark.conf.set(name, most)
    try:
        yield
    finally:
        spark.conf.set(name, before or "0")


_HEAD = "struct<reason:string,file:string>"
_SEEN = f"struct<order:string,evidence:{EVIDENCE_TYPE}>"


def _packed() -> Column:
    """Two lines of JSON, then the redacted row as it is; JSON itself holds no line break."""
    head = F.to_json(F.struct(F.col(REASON).alias("reason"), F.col(FILE).alias("file")))
    seen = F.to_json(
        F.struct(F.col(ORDER).cast("string").alias("order"), F.col(EVIDENCE).alias("evidence"))
    )
    return F.concat(head, F.lit("\n"), seen, F.lit("\n"), F.coalesce(RAW, F.lit("")))


def not_accepted_directory(scratch: Path, dataset: str) -> Path:
    """Where the rows lie that are not accepted, one directory an outcome."""
    return scratch / f"not_accepted_{dataset}"


def rows_with_outcome(
    spark: SparkSession, rules: Rules, outcome: str, scratch: Path, order: T.DataType
) -> DataFrame:
    """The rows of one outcome that are not accepted; there must be at least one.

    Args:
        spark: the session.
        rules: of the dataset.
        outcome: removed, quarantined or late.
        scratch: the pass's.
        order: the type of the source's `latest_by`.

    Returns:
        The cleaned columns, `__day`, `__file`, `__reason`, `__evidence`, `__order` and `__raw`.
    """
    contract = load_contract(f"cleaned_{rules.dataset.name}")
    path = not_accepted_directory(scratch, rules.dataset.name) / outcome
    # Every row has the same source; the column holds what was packed into it.
    source = F.lit(rules.source).alias("source")
    rows = spark.read.schema(spark_schema(contract).add(DELIVERY, "string")).parquet(str(path))
    head = F.substring_index("source", "\n", 1)
    seen = F.substring_index("source", "\n", 2)
    return rows.withColumns(
        {
            "__head": F.from_json(head, _HEAD),
            "__seen": F.from_json(F.substr(seen, F.length(head) + 2), _SEEN),
            RAW: F.substr("source", F.length(seen) + 2),
        }
    ).select(
        *(source if name == "source" else F.col(name) for name in contract.column_names),
        F.col(DELIVERY).cast("date").alias(DAY),
        F.col("__head.file").alias(FILE),
        F.col("__head.reason").alias(REASON),
        F.col("__seen.evidence").alias(EVIDENCE),
        F.col("__seen.order").cast(order).alias(ORDER),
        RAW,
    )
