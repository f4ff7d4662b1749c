"""Late rows, judged together with all that is known of their user's own day.

A row is late where its own day is before the day that delivered it. What becomes of it, and of the
rows that earlier deliveries brought of the same user and day, is told by `judge` over all
of them: so a row has the same fate in the end whichever delivery brought it.

Pure `DataFrame -> DataFrame`. One pass may hold the late rows of many deliveries. Each delivery is
judged by what was delivered up to it, so one pass gives what the days one by one give: a user's day
is judged once as of each delivery that brought a row of it, and what differs from the judgement
before is what that delivery has to say. Deliveries that brought nothing late cost nothing, and a
user's day that nothing late touched is not read.

Of rows with one id that say the same, the first delivered is the one, and the others are
`duplicate`. Of rows with one id that differ, the winner is the earliest in time, then the smaller
hash; where the source gives `latest_by`, the one of the latest delivery, and of one delivery's the
latest by the source's own order (earlier deliveries keep no such order, hence the delivery).

Gives up: rows of different users, or of different days, that share an id are not compared.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipeline.cleaning.judge import judge
from pipeline.cleaning.tagging import (
    CONTENT,
    EVIDENCE,
    FATE,
    ORDER,
    OUT,
    OWN_DAY,
    RAW,
    REASON,
    REMOVED,
    Rules,
    content,
    no_evidence,
    own_day_column,
)
from pipeline.contracts.contract import load_contract
from pipeline.sources.readers import DAY, FILE
from pipeline.sources.source import KEY_COLUMN, SourceDataset

AS_OF, OUTCOME, STANDS, RELEASED = "__as_of", "__outcome", "__stands", "__released"

# Beside `out`, `quarantined` and `removed` of a row that the delivery itself brought.
RESTORED, RETRACTED = "restored", "retracted"
KEPT, LEFT_OUT = "kept", "left_out"  # judged again, and nothing new

_NEW, _COPY = "__new", "__copy"


def judge_late_rows(late: DataFrame, context: DataFrame, rules: Rules) -> DataFrame:
    """What each delivery with late rows has to say of every row of the user days that it touched.

    Args:
        late: cleaned columns with `__day`, `__file`, `__released` (whether it is no new row, but one
            that was in quarantine) and `__order` (the source's `latest_by`, or null): good rows by
            themselves, with an own day before their delivery.
        context: cleaned columns with `__day`, the delivery, and `__stands`, whether the row was
            accepted when the first of the late rows' deliveries came. All rows of the late rows'
            user days that were brought before, once for each time that one was brought or written.
        rules: of the dataset.

    Returns:
        Cleaned columns and `__file`, `__own_day`, `__as_of` (the delivery that says so),
        `__outcome`, `__released`, and the `__reason`, `__evidence` and `__raw` of a row that is not
        accepted.
    """
    columns = load_contract(f"cleaned_{rules.dataset.name}").column_names
    key = KEY_COLUMN[rules.dataset.name]
    row = (OWN_DAY, "user_id", key, CONTENT)
    # Once for all that follows: what is judged together has to lie in one task.
    placed = _all_rows(late, context, rules.dataset).repartition("user_id", OWN_DAY)
    rows = _each_once(placed, row)
    as_known = _as_of_each_delivery(rows)
    judged = judge(as_known, rules, ("user_id", OWN_DAY, AS_OF))
    over_time = Window.partitionBy(*row, _COPY).orderBy(AS_OF)
    is_out = F.col(FATE) == OUT
    stood = F.coalesce(F.lag(FATE).over(over_time) == OUT, F.col(STANDS))
    outcome = (
        F.when(F.col(_NEW) & (F.col(AS_OF) == F.col(DAY)), F.col(FATE))
        .when(F.col("__stood") & is_out, F.lit(KEPT))
        .when(F.col("__stood"), F.lit(RETRACTED))
        .when(is_out, F.lit(RESTORED))
        .otherwise(F.lit(LEFT_OUT))
    )
    return judged.withColumn("__stood", stood).select(
        *columns,
        FILE,
        OWN_DAY,
        AS_OF,
        outcome.alias(OUTCOME),
        RELEASED,
        REASON,
        EVIDENCE,
        RAW,
    )


def _all_rows(late: DataFrame, context: DataFrame, dataset: SourceDataset) -> DataFrame:
    """Late rows and context in one shape, each fit to be judged."""
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
    """Of rows that say the same, the first competes; later ones that are new are `duplicate`."""
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
            FATE: F.when(is_copy, F.lit(REMOVED)).otherwise(F.lit(OUT)),
            REASON: F.when(is_copy, F.lit("duplicate")),
        }
    )


def _as_of_each_delivery(rows: DataFrame) -> DataFrame:
    """Each row once for every delivery that touched its user's day, from the row's own delivery on."""
    user_day = Window.partitionBy(OWN_DAY, "user_id")
    deliveries = F.collect_set(F.when(F.col(_NEW), F.col(DAY))).over(user_day)
    since = F.filter("__deliveries", lambda day: day >= F.col(DAY))
    told = F.when(F.col(_COPY) == 1, since).otherwise(F.array(DAY))
    return rows.withColumn("__deliveries", deliveries).withColumn(AS_OF, F.explode(told))
