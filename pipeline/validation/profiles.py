"""The profiles of the last deliveries: made where they are missing, and read.

Reads cleaned datasets and quarantine of the last deliveries up to the night; writes the dataset
`profiles`, one partition per delivery day. A profile's lineage names the directories and the code
that it was made from, so a delivery that was cleaned again is measured again. A first night takes
in the whole past and makes its profiles, so that the second night has something to compare with.
Only the last deliveries are measured, so the cost of a night does not grow with the past.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.code_digest import SPARK_SESSION, code_digest
from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.contracts.day_profile import DayProfile, profile_counts
from pipeline.contracts.drift_values import REFUSED_AS
from pipeline.contracts.spark import spark_schema
from pipeline.datasets import CLEANED, PROFILES, QUARANTINE
from pipeline.lake import Lake, Partition, Run, storage_errors
from pipeline.lineage import Lineage, inputs_of, lineage_of
from pipeline.retention.expired import expired_until
from pipeline.settings import Settings
from pipeline.sources.expressions import EVENT_TYPE
from pipeline.sources.source import columns_read
from pipeline.sources.source_yaml import load_source
from pipeline.validation.measuring import ProfileRow, measure, measure_quarantine

# Eight weeks of a shop that delivers daily: twice what the shipped rules look back.
LAST_DELIVERIES = 56

Delivery = Mapping[str, Partition]


@dataclass(frozen=True)
class Profiles:
    """The night's delivery and the ones before it, oldest first; `rows` are the night's own."""

    today: DayProfile
    past: tuple[DayProfile, ...]
    rows: list[ProfileRow]


def read_or_make_profiles(
    spark: SparkSession, lake: Lake, run: Run, settings: Settings, leave_out: Collection[str] = ()
) -> Profiles:
    """Profiles of the night and of the deliveries before it.

    Args:
        spark: counts what is not counted yet.
        lake: where the deliveries are.
        run: the night.
        settings: the source, for the names of its columns, and the shop's zone.
        leave_out: datasets of the night that are not what their contract says, and not measured.
    """
    deliveries, code = _last_deliveries(lake, run.run_date), code_digest(__name__, SPARK_SESSION)
    # Of a delivery that has expired the profile is what is left: it is compared with as it is.
    expired = expired_until(lake) or dt.date.min
    deliveries = {
        day: delivery
        for day, delivery in deliveries.items()
        if day > expired or lake.whole(PROFILES, day) is not None
    }
    fresh = {
        day: delivery
        for day, delivery in deliveries.items()
        if day > expired and _lineage(lake, day) != Lineage(inputs_of(delivery), code)
    }
    words = _event_words(settings)
    readable = {
        day: {
            name: partition
            for name, partition in delivery.items()
            if day != run.run_date or name not in leave_out
        }
        for day, delivery in fresh.items()
    }
    for day, measured in _measured(spark, readable, words).items():
        _commit(lake, Run(day, run.run_id), measured, Lineage(inputs_of(fresh[day]), code))
    zone = ZoneInfo(settings.shop.timezone)
    rows = {day: _stored(lake, day) for day in deliveries}
    days = {day: _profile(day, zone, stored) for day, stored in rows.items()}
    today = days.pop(run.run_date, _profile(run.run_date, zone, []))
    return Profiles(today, tuple(days.values()), rows.get(run.run_date, []))


def _last_deliveries(lake: Lake, night: dt.date) -> dict[dt.date, Delivery]:
    """The committed partitions of the last delivery days, ascending, the night's included."""
    names = (*CLEANED, QUARANTINE)
    dates = sorted({date for name in CLEANED for date in lake.dates(name, night)})
    return {
        day: {name: part for name in names if (part := lake.current(name, day)) is not None}
        for day in dates[-LAST_DELIVERIES - 1 :]
    }


def _lineage(lake: Lake, day: dt.date) -> Lineage | None:
    profile = lake.whole(PROFILES, day)
    return lineage_of(profile) if profile else None


def _measured(
    spark: SparkSession, fresh: Mapping[dt.date, Delivery], words: Mapping[str, str]
) -> dict[dt.date, list[ProfileRow]]:
    """Profile rows by day; one Spark job a dataset."""
    found: dict[dt.date, list[ProfileRow]] = {day: [] for day in fresh}
    for name in (*CLEANED, QUARANTINE):
        parts = {day: delivery[name] for day, delivery in fresh.items() if name in delivery}
        if not parts:
            continue
        frame = _deliveries(spark, name, parts)
        if name == QUARANTINE:
            rows = measure_quarantine(frame, words, parts)
        else:
            rows = measure(frame, load_contract(name), name, parts)
        for day, of_day in rows.items():
            found[day] += of_day
    return found


def _deliveries(spark: SparkSession, name: str, parts: Mapping[dt.date, Partition]) -> DataFrame:
    """Rows of several deliveries beside their `run_date`.

    The day is taken from the file's path: deliveries of another layout (of an earlier version,
    without own days) could not be read beside these if the directories were read as partitions. It
    takes 2 s for 10 M rows, so the usual case of one fresh delivery does without.
    """
    schema = spark_schema(load_contract(name))
    files = [str(file) for part in parts.values() if part.rows for file in part.files]
    if not files:
        return spark.createDataFrame([], schema.add("run_date", T.DateType()))
    stored = spark.read.schema(schema).parquet(*files)
    if len(parts) == 1:
        return stored.withColumn("run_date", F.lit(next(iter(parts))))
    day = F.regexp_extract("_metadata.file_path", r"/run_date=([0-9-]{10})/run_id=", 1)
    return stored.select(*schema.names, day.cast("date").alias("run_date"))


def _event_words(settings: Settings) -> dict[str, str]:
    """The reason for an unknown event type -> the raw column that holds the retailer's word."""
    events = load_source(settings.shop.source).datasets.get("events")
    if events is None:
        return {}
    columns = columns_read(events.mapping.get(EVENT_TYPE, ""), events.columns)
    return {f"{EVENT_TYPE}_{REFUSED_AS}": columns[0]} if len(columns) == 1 else {}


def _commit(lake: Lake, run: Run, rows: list[ProfileRow], lineage: Lineage) -> None:
    directory = lake.begin(PROFILES, run)
    table = pa.Table.from_pylist(rows, schema=arrow_schema(load_contract(PROFILES)))
    with storage_errors(f"cannot write {directory}"):
        pq.write_table(table, directory / "part-00000.parquet")
    lake.commit(PROFILES, run, rows=len(rows), **lineage.facts())


def _stored(lake: Lake, day: dt.date) -> list[ProfileRow]:
    files = lake.require(PROFILES, day).files
    rows: list[ProfileRow] = pq.ParquetFile(files[0]).read().to_pylist()
    return rows


def _profile(day: dt.date, zone: ZoneInfo, rows: list[ProfileRow]) -> DayProfile:
    end = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), tzinfo=zone)
    return DayProfile(day, end.astimezone(dt.UTC), profile_counts(rows))
