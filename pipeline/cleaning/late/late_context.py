"""What is known of the user days that late rows touch: the rows that earlier deliveries brought.

Reads `cleaned_<dataset>`, `removed_events` and `retractions` of the deliveries from the oldest late
row's own day on, and what the same pass has just written to scratch. Only the cleaned files of the
late rows' own days are opened.

A pass never cleans a delivery again without the later ones that depend on it (`late_dependencies`).
So all rows of a user's day in the lake were delivered before all rows that the pass brings.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.cleaning.day_files import day_files
from pipeline.cleaning.late.late_rows import STANDS
from pipeline.cleaning.rows.row_rules import own_day_column
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.datasets import REMOVED_EVENTS, RETRACTIONS, cleaned
from pipeline.lake import Lake, Partition
from pipeline.sources.reader_columns import DAY
from pipeline.sources.source import KEY_COLUMN

_MOST_TO_BROADCAST = 1_000_000  # pairs of a user and a day: about 100 MB
_DELIVERY = r".*run_date=(\d{4}-\d\d-\d\d)/"  # the last of them: scratch lies below a night's own


@dataclass(frozen=True)
class EarlierRows:
    """Where the rows of earlier deliveries lie."""

    spark: SparkSession
    lake: Lake
    scratch: Path
    days: Sequence[dt.date]  # that this pass cleans: their partitions in the lake are replaced

    def context(self, dataset: str, late: DataFrame, own_days: Mapping[dt.date, int]) -> DataFrame:
        """The `context` argument of `late_rows.resolve_late_rows`.

        Args:
            dataset: events or reviews.
            late: the late rows.
            own_days: how many rows each own day has among them.
        """
        own, key = own_day_column(dataset), KEY_COLUMN[dataset]
        touched = late.select("user_id", own).distinct()
        if sum(own_days.values()) <= _MOST_TO_BROADCAST:
            touched = F.broadcast(touched)
        columns = load_contract(cleaned(dataset)).column_names
        accepted = self._rows(cleaned(dataset), self._accepted_files(dataset, own_days))
        accepted = accepted.join(touched, ["user_id", own], "left_semi")
        retracted = (
            self._rows(RETRACTIONS, self._stored(RETRACTIONS, min(own_days)))
            .where(F.col("dataset") == dataset)
            .groupBy("user_id", F.col("event_date").alias(own), F.col("event_id").alias(key))
            .agg(F.max(DAY).alias("__retracted"))
        )
        stands = F.coalesce(F.col("__retracted") <= F.col(DAY), F.lit(True))
        standing = accepted.join(retracted, ["user_id", own, key], "left").select(
            *columns, DAY, stands.alias(STANDS)
        )
        if dataset != "events":
            return standing
        first = min(own_days)
        fresh = [
            file for day in self.days for file in day_files(self.scratch / REMOVED_EVENTS, day)
        ]
        removed = self._rows(REMOVED_EVENTS, [*self._stored(REMOVED_EVENTS, first), *fresh])
        removed = removed.join(touched, ["user_id", own], "left_semi")
        return standing.unionByName(removed.select(*columns, DAY, F.lit(False).alias(STANDS)))

    def _accepted_files(self, dataset: str, own_days: Collection[dt.date]) -> list[Path]:
        stored = [
            file
            for partition in self._deliveries(cleaned(dataset), min(own_days))
            for file in partition.verified(
                path for path in partition.paths if _own_day_of(path) in own_days
            )
        ]
        fresh = [
            file
            for day in self.days
            if day in own_days
            for file in day_files(self.scratch / dataset, day)
        ]
        return [*stored, *fresh]

    def _stored(self, name: str, first: dt.date) -> list[Path]:
        """All files of a dataset that holds little."""
        return [file for part in self._deliveries(name, first) if part.rows for file in part.files]

    def _deliveries(self, name: str, first: dt.date) -> list[Partition]:
        """Committed deliveries that may hold rows of a day, without those that are cleaned now."""
        last = max(self.days)
        return [
            self.lake.require(name, date)
            for date in self.lake.dates(name, upto=last)
            if date >= first and date not in self.days
        ]

    def _rows(self, name: str, files: Sequence[Path]) -> DataFrame:
        schema = spark_schema(load_contract(name))
        if not files:
            return self.spark.createDataFrame([], schema).withColumn(DAY, F.lit(None).cast("date"))
        stored = self.spark.read.schema(schema).parquet(*(str(file) for file in files))
        return stored.withColumn(DAY, delivery_of_file())


def delivery_of_file() -> Column:
    """The delivery day that a Parquet file's path names."""
    return F.regexp_extract(F.col("_metadata.file_path"), _DELIVERY, 1).cast("date")


def _own_day_of(file: Path) -> dt.date:
    return dt.date.fromisoformat(file.parent.name.partition("=")[2])
