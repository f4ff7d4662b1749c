"""The attributes of each user (consent, language, region), as known at the end of a night's day.

Pure `DataFrame -> DataFrame`. In: the `user_attributes` of the night before, if any, and the
deliveries of `cleaned_users` since, with their delivery day as `run_date`. Out: the
`user_attributes` contract, the same whether it was made in one step from the whole past or night by
night.

The newest delivery of a user wins, whole. Should two entries of one delivery meet, against the
contract, the one without consent wins, then the greater one.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import conform
from pipeline.datasets import USER_ATTRIBUTES
from pipeline.histories.past import DELIVERED

_ATTRIBUTES = ("consent", "language", "region")


def user_attributes_as_of(
    delivered: DataFrame, before: DataFrame | None, partitions: int
) -> DataFrame:
    """The newest attributes of each user, and since when they hold.

    Args:
        delivered: rows of `cleaned_users`.
        before: the `user_attributes` that they follow; none of what was delivered is older.
        partitions: into how many tasks to cut the users.
    """
    entries = delivered.select(
        "user_id",
        DELIVERED,
        *_ATTRIBUTES,
        F.lit(None).cast("date").alias("consent_date"),
        F.lit(None).cast("date").alias("changed_date"),
    )
    if before is not None:
        entries = entries.unionByName(before.withColumnRenamed("delivered_date", DELIVERED))
    attributes = F.struct(~F.col("consent"), *_ATTRIBUTES)
    one_a_day = (
        entries.repartition(partitions, "user_id")
        .groupBy("user_id", DELIVERED)
        .agg(
            F.max(attributes).alias("attributes"),
            F.max("consent_date").alias("consent_date"),
            F.max("changed_date").alias("changed_date"),
        )
    )
    by_day = Window.partitionBy("user_id").orderBy(DELIVERED)
    earlier = F.lag("attributes").over(by_day)
    dated = one_a_day.select(
        "user_id",
        DELIVERED,
        "attributes",
        F.coalesce(
            "consent_date", _unless_equal(F.col("attributes.consent"), earlier["consent"])
        ).alias("consent_date"),
        F.coalesce("changed_date", _unless_equal(F.col("attributes"), earlier)).alias(
            "changed_date"
        ),
    )
    newest = dated.groupBy("user_id").agg(
        F.max(F.struct(DELIVERED, "attributes")).alias("newest"),
        F.max("consent_date").alias("consent_date"),
        F.max("changed_date").alias("changed_date"),
    )
    rows = newest.select(
        "user_id",
        *(F.col(f"newest.attributes.{name}").alias(name) for name in _ATTRIBUTES),
        "consent_date",
        "changed_date",
        F.col(f"newest.{DELIVERED}").alias("delivered_date"),
    )
    return conform(rows, load_contract(USER_ATTRIBUTES))


def _unless_equal(value: Column, earlier: Column) -> Column:
    """The delivery day, if the value differs from the earlier one."""
    return F.when(~value.eqNullSafe(earlier), F.col(DELIVERED))
