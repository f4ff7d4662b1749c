"""Rows by their fate: a pass writes all of them once, and what follows reads the few that left.

`write_by_fate` writes, in the cleaned contract's columns and nothing else,

    <scratch>/<dataset>/run_date=D/…                 what stays: the files that the lake gets
    <scratch>/left_<dataset>/<fate>/run_date=D/…     what is removed, quarantined or late

each below one more directory: of events and reviews `own_day=E`, of others `consent_unread=true` or
`false`. What is to be said of a row that does not stay (reason, file, evidence, the redacted row) is
packed into its `source`, which only a row that stays needs: so one write serves all, its files are
those that are published, and nothing has to be kept in memory or computed a second time for the
sake of the few. `left` gives such rows back as they were.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.cleaning.tagging import (
    CONSENT_UNREAD,
    EVIDENCE,
    FATE,
    ORDER,
    OUT,
    OWN_DAY,
    RAW,
    REASON,
    Rules,
)
from pipeline.cleaning.verdicts import EVIDENCE_TYPE
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.lake import storage_errors
from pipeline.sources.readers import DAY, FILE
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
_FATE = "fate"
# Of one delivery: its fates, of users twice.
_MOST_FILES_AT_ONCE = 8


def write_by_fate(judged: DataFrame, dataset: str, scratch: Path, *, days: int) -> None:
    """Every row once; see the module's docstring.

    The order of the rows in the files does not depend on how the input was split.

    Args:
        judged: as `judge` gives them; of one day in the order of its files.
        dataset: its name.
        scratch: the pass's.
        days: how many the pass cleans.
    """
    stays = F.col(FATE) == OUT
    # Never null, but Spark forgets that, and files of one day are to have one schema.
    source = F.when(stays, F.coalesce("source", F.lit(""))).otherwise(
        F.coalesce(_packed(), F.lit(""))
    )
    columns = load_contract(f"cleaned_{dataset}").column_names
    if dataset in TIME_COLUMN:
        below = F.when(stays, F.col(OWN_DAY)).otherwise(F.col(DAY)).alias(OWN_DIRECTORY)
    else:
        below = F.coalesce(CONSENT_UNREAD, F.lit(False)).alias(UNREAD_DIRECTORY)
    rows = judged.select(
        *(source.alias(name) if name == "source" else F.col(name) for name in columns),
        F.col(FATE).alias(_FATE),
        F.col(DAY).alias(DELIVERY),
        below,
    )
    by = rows.columns[len(columns) :]
    target = scratch / f"by_fate_{dataset}"
    if days == 1:
        with _files_at_once(judged.sparkSession, _MOST_FILES_AT_ONCE):
            rows.write.mode("overwrite").partitionBy(*by).parquet(str(target))
    else:
        ordered = rows.sortWithinPartitions(*by, *ROW_ORDER[dataset])
        ordered.write.mode("overwrite").partitionBy(*by).parquet(str(target))
    with storage_errors(f"cannot move files below {scratch}"):
        beside = left_directory(scratch, dataset)
        beside.mkdir(parents=True, exist_ok=True)
        for directory in target.glob(f"{_FATE}=*"):
            fate = directory.name.partition("=")[2]
            directory.rename(scratch / dataset if fate == OUT else beside / fate)
        shutil.rmtree(target, ignore_errors=True)


@contextmanager
def _files_at_once(spark: SparkSession, most: int) -> Iterator[None]:
    """A task holds as many files open, so that rows need not be sorted by the file they go to."""
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


def left_directory(scratch: Path, dataset: str) -> Path:
    """Where the rows lie that did not stay, one directory a fate."""
    return scratch / f"left_{dataset}"


def left(
    spark: SparkSession, rules: Rules, fate: str, scratch: Path, order: T.DataType
) -> DataFrame:
    """The rows of one fate that did not stay, of which there is at least one.

    Args:
        spark: the session.
        rules: of the dataset.
        fate: theirs.
        scratch: the pass's.
        order: the type of the source's `latest_by`.

    Returns:
        The cleaned columns, `__day`, `__file`, `__reason`, `__evidence`, `__order` and `__raw`.
    """
    contract = load_contract(f"cleaned_{rules.dataset.name}")
    path = left_directory(scratch, rules.dataset.name) / fate
    # Something was packed into it; what it was before is the same of every row.
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
