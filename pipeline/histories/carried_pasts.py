"""Pasts of quiet users, taken from the histories of the night before instead of from their acts.

What `history.pasts` says of a user of whom nothing changes tonight (`quiet_users`) is what it said
the night before. It is taken from there if those histories were made from the acts that are gone on
from, with the same settings and code; else from all acts of the night.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.histories.increment import code_of
from pipeline.histories.night import HistoryNight

PASTS_FROM = "pasts_from"
# So many user ids every worker may hold; of more, Spark chooses how to join.
MOST_BROADCAST = 1_000_000
_MODULES = ("history", "act_order", "acts", "quiet_users", "carried_pasts")


def pasts_from(night: HistoryNight, acts: str) -> dict[str, Any]:
    """What the pasts of a night's histories are made from, for their manifest.

    Args:
        acts: the directory of the acts.
    """
    chosen = night.settings.histories
    return {
        "acts": acts,
        "code": code_of(_MODULES, ["acts", "histories"]),
        "histories.active_days": chosen.active_days,
        "histories.max_events": chosen.max_events,
        "histories.session_gap_minutes": chosen.session_gap_minutes,
    }


def pasts_before(night: HistoryNight) -> DataFrame | None:
    """The histories of the night that the acts go on from, if their pasts still hold."""
    acts = night.acts.before
    if acts is None:
        return None
    made = night.lake.current("histories", acts.run_date)
    if made is None or made.manifest.get(PASTS_FROM) != pasts_from(night, acts.directory_id):
        return None
    schema = spark_schema(load_contract("histories"))
    return night.spark.read.schema(schema).parquet(*(str(file) for file in made.files))


def with_quiet(pasts: DataFrame, before: DataFrame, retold: pa.StringArray) -> DataFrame:
    """Pasts that are told anew beside those that all others had before."""
    users = pasts.sparkSession.createDataFrame(pa.table({"user_id": retold}))
    few = F.broadcast(users) if len(retold) <= MOST_BROADCAST else users
    quiet = before.join(few, on="user_id", how="left_anti")
    # Spark forgets of every Parquet file what is never null in it, and a night's file must not
    # show how it was made.
    told = (
        F.col(field.name)
        if field.nullable
        else _never_null(field.name, field.dataType).alias(field.name)
        for field in pasts.schema
    )
    return pasts.unionByName(quiet.select(*told))


def _never_null(name: str, kind: T.DataType) -> Column:
    if not isinstance(kind, T.ArrayType):
        return F.coalesce(name, F.lit(0).cast(kind))
    column = F.col(name)
    if not kind.containsNull:
        nothing = F.lit("").cast(kind.elementType)
        column = F.transform(column, lambda element: F.coalesce(element, nothing))
    return F.coalesce(column, F.array().cast(kind))
