"""Histories of unchanged users, reused from the night before instead of built from their acts.

`history.event_histories` gives the same row for a user who is unchanged (`unchanged_users`) as the
night before. The row is reused if that night's histories were made from the acts that this night
continues, with the same settings and code; else all histories are built from the night's acts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.code_digest import SPARK_SESSION, code_digest
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.datasets import ACTED, ACTS, HISTORIES
from pipeline.histories.night import HistoryNight
from pipeline.lake import Partition
from pipeline.lineage import Lineage, inputs_of, inputs_upto, lineage_of

# Every worker may hold so many user ids; with more, Spark chooses how to join.
MOST_BROADCAST = 1_000_000


def lineage_of_histories(night: HistoryNight, made_of: Mapping[str, Partition]) -> Lineage:
    """What a night's histories are made from.

    The deliveries behind the acts are named too: `nightcart status` lists nights of which one was
    cleaned again since (pipeline/publishing/outdated.py).

    Args:
        made_of: the night's acts and user attributes.
    """
    read = {**inputs_of(made_of), **inputs_upto(night.lake, ACTED, night.date)}
    return replace(_made_with(night), inputs=read)


def reusable_histories(night: HistoryNight) -> DataFrame | None:
    """The histories of the night that the acts continue, if they can be reused."""
    acts = night.acts.before
    if acts is None:
        return None
    made = night.lake.whole(HISTORIES, acts.run_date)
    lineage = lineage_of(made) if made else None
    if made is None or lineage is None:
        return None
    read = lineage.directory(ACTS, acts.run_date)
    if read != acts.directory_id or lineage.other_values(_made_with(night)):
        return None
    schema = spark_schema(load_contract(HISTORIES))
    return night.spark.read.schema(schema).parquet(*(str(file) for file in made.files))


def _made_with(night: HistoryNight) -> Lineage:
    """The code and the settings."""
    chosen = night.settings.histories
    settings = {
        "histories.active_days": chosen.active_days,
        "histories.max_events": chosen.max_events,
        "histories.session_gap_minutes": chosen.session_gap_minutes,
        # Which event is held out; empty where no list may repeat an item.
        "repeat_types": ", ".join(sorted(night.repeat_types)),
    }
    return Lineage({}, code_digest("pipeline.histories.build_histories", SPARK_SESSION), settings)


def with_reused(built: DataFrame, before: DataFrame, changed: pa.StringArray) -> DataFrame:
    """Histories that are built tonight, and those of all other users as they were before.

    Args:
        built: as `event_histories` gives them, of changed users only.
        before: the histories to reuse.
        changed: ids of the changed users.
    """
    users = built.sparkSession.createDataFrame(pa.table({"user_id": changed}))
    few = F.broadcast(users) if len(changed) <= MOST_BROADCAST else users
    reused = before.join(few, on="user_id", how="left_anti")
    # Spark takes every column of a Parquet file for nullable, and a night's file must not show how
    # it was made.
    columns = (
        F.col(field.name)
        if field.nullable
        else _never_null(field.name, field.dataType).alias(field.name)
        for field in built.schema
    )
    return built.unionByName(reused.select(*columns))


def _never_null(name: str, kind: T.DataType) -> Column:
    if not isinstance(kind, T.ArrayType):
        return F.coalesce(name, F.lit(0).cast(kind))
    column = F.col(name)
    if not kind.containsNull:
        nothing = F.lit("").cast(kind.elementType)
        column = F.transform(column, lambda element: F.coalesce(element, nothing))
    return F.coalesce(column, F.array().cast(kind))
