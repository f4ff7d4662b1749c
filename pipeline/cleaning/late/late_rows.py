"""Late rows, resolved together with all that is known of their user's own day.

A row is late if its own day is before the day that delivered it. `apply_multi_row_rules` over the
late rows and all rows that earlier deliveries brought of the same user and day decides the outcome
of all of them: so a row has the same outcome in the end whichever delivery brought it.

Pure `DataFrame -> DataFrame`. One pass may hold the late rows of many deliveries. A user's day is
resolved once as of each delivery that brought a row of it, with what was delivered up to it, and
the delivery records what differs from the outcome before. So one pass gives what the days one by
one give. Deliveries that brought nothing late cost nothing, and a user's day that no late row
touched is not read.

The first delivered of rows with one id that say the same is kept, and the others are `duplicate`.
`winning_row` says which wins of rows with one id that differ; earlier deliveries keep no order of
the source, so the latest delivery comes before that order.

Gives up: rows of different users, or of different days, that share an id are not compared.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipeline.cleaning.rows.row_rules import (
    ACCEPTED,
    CONTENT,
    EVIDENCE,
    ORDER,
    OUTCOME,
    OWN_DAY,
    RAW,
    REASON,
    REMOVED,
    Rules,
    content,
    no_evidence,
    own_day_column,
)
from pipeline.cleaning.user_days.multi_row_rules import apply_multi_row_rules
from pipeline.contracts.contract import load_contract
from pipeline.datasets import cleaned
from pipeline.sources.reader_columns import DAY, FILE
from pipeline.sources.source import KEY_COLUMN, SourceDataset

AS_OF, LATE_OUTCOME, STANDS, RELEASED = "__as_of", "__late_outcome", "__stands", "__released"

# Outcomes of rows that earlier deliveries brought; a row that the delivery itself brought is
# `accepted`, `quarantined` or `removed`.
RESTORED, RETRACTED = "restored", "retracted"
KEPT, LEFT_OUT = "kept", "left_out"  # resolved again, with the same outcome as before

_NEW, _COPY = "__new", "__copy"


def resolve_late_rows(late: DataFrame, context: DataFrame, rules: Rules) -> DataFrame:
    """The outcome of every row of the touched user days, as of each delivery with late rows.

    Args:
        late: cleaned columns with `__day`, `__file`, `__released` (whether the row comes from
            quarantine and is no new one) and `__order` (the source's `latest_by`, or null): rows
            that are good by themselves, with an own day before their delivery.
        context: cleaned columns with `__day`, the delivery, and `__stands`, whether the row was
            accepted when the first of the late rows' deliveries came. All earlier rows of the late
            rows' user days, once for each time that one was brought or written.
        rules: of the dataset.

    Returns:
        Cleaned columns and `__file`, `__own_day`, `__as_of` (the delivery that decides),
        `__late_outcome`, `__released`, and the `__reason`, `__evidence` and `__raw` of a row that
        is not accepted.
    """
    columns = load_contract(cleaned(rules.dataset.name)).column_names
    key = KEY_COLUMN[rules.dataset.name]
    row = (OWN_DAY, "user_id", key, CONTENT)
    # Once for all that follows: rows that are compared have to lie in one task.
    placed = _all_rows(late, context, rules.dataset).repartition("user_id", OWN_DAY)
    rows = _each_once(placed, row)
    as_known = _as_of_each_delivery(rows)
    resolved = apply_multi_row_rules(as_known, rules, ("user_id", OWN_DAY, AS_OF))
    over_time = Window.partitionBy(*row, _COPY).orderBy(AS_OF)
    is_accepted = F.col(OUTCOME) == ACCEPTED
    stood = F.coalesce(F.lag(OUTCOME).over(over_time) == ACCEPTED, F.col(STANDS))
    outcome = (
        F.when(F.col(_NEW) & (F.col(AS_OF) == F.col(DAY)), F.col(OUTCOME))
        .when(F.col("__stood") & is_accepted, F.lit(KEPT))
        .when(F.col("__stood"), F.lit(RETRACTED))
        .when(is_accepted, F.lit(RESTORED))
        .otherwise(F.lit(LEFT_OUT))
    )
    return resolved.withColumn("__stood", stood).select(
        *columns,
        FILE,
        OWN_DAY,
        AS_OF,
        outcome.alias(LATE_OUTCOME),
        RELEASED,
        REASON,
        EVIDENCE,
        RAW,
    )


def _all_rows(late: DataFrame, context: DataFrame, dataset: SourceDataset) -> DataFrame:
    """Late rows and context in one shape, as the rules over several rows read them."""
    columns = load_contract(f"cleaned_{dataset.name}").column_names
    brought = late.select(
        *columns,
        DAY,
        FILE,
        ORDER,
        RELEASED,
        F.lit(True).alias(_NEW),
        F.lit(False).alias(STANDS),
    )
    known = context.select(
        *columns,
        DAY,
        F.lit(None).cast("string").alias(FILE),
        F.lit(None).cast(late.schema[ORDER].dataType).alias(ORDER),
        F.lit(False).alias(RELEASED),
        F.lit(False).alias(_NEW),
        STANDS,
    )
    return brought.unionByName(known).select(
        "*",
        F.col(own_day_column(dataset.name)).alias(OWN_DAY),
        content(dataset.name).alias(CONTENT),
        F.lit(None).cast("string").alias(RAW),
        no_evidence().alias(EVIDENCE),
    )


def _each_once(rows: DataFrame, row: Sequence[str]) -> DataFrame:
    """The first of rows that say the same competes; later new ones are `duplicate`."""
    copies = Window.partitionBy(*row)
    ranked = rows.withColumns(
        {
            _COPY: F.row_number().over(copies.orderBy(_NEW, DAY, FILE)),
            STANDS: F.bool_or(STANDS).over(copies),
        }
    )
    is_copy = F.col(_COPY) > 1
    return ranked.where(~is_copy | F.col(_NEW)).withColumns(
        {
            OUTCOME: F.when(is_copy, F.lit(REMOVED)).otherwise(F.lit(ACCEPTED)),
            REASON: F.when(is_copy, F.lit("duplicate")),
        }
    )


def _as_of_each_delivery(rows: DataFrame) -> DataFrame:
    """Each row once for every delivery that touched its user's day, from its own delivery on."""
    user_day = Window.partitionBy(OWN_DAY, "user_id")
    deliveries = F.collect_set(F.when(F.col(_NEW), F.col(DAY))).over(user_day)
    since = F.filter("__deliveries", lambda day: day >= F.col(DAY))
    as_of = F.when(F.col(_COPY) == 1, since).otherwise(F.array(DAY))
    return rows.withColumn("__deliveries", deliveries).withColumn(AS_OF, F.explode(as_of))
