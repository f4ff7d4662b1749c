"""The same act told twice: a double click, a page that was loaded again, a tracker that fired twice.

Two events of one user, item and type (of a search: of the same words) that lie no more than some
seconds apart are one act. Which one wins: **the earliest, and of equal times the one with the
smaller id**. Each later one is removed as `near_duplicate`, also where it follows another that is
itself removed: a chain of quick repetitions is one act, however long it is. So what wins does not
depend on the order in which rows are read or delivered.

Only the types in `cleaning.near_duplicate_types`: a purchase is money, and two lines of one invoice
are two lines unless their ids say otherwise. Exact copies are gone before this is asked. A bot's
haste is evidence, so bots are told before anything is removed here; but as all of a bot's acts of
browsing go, it makes no difference to who repeats whom, and the pairs are looked for first.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipeline.cleaning.tagging import EVIDENCE, FATE, OUT, REASON, REMOVED, evidence

REPEATS = "__repeats"


def with_repetitions(
    frame: DataFrame, seconds: float, types: Sequence[str], user_day: Sequence[str]
) -> DataFrame:
    """The same rows and columns, and `__repeats`: the id of the event that a row repeats, or null.

    Rows with another fate than `out` repeat nothing.

    Args:
        frame: cleaned events with `tagging.TAGS`.
        seconds: how far apart two events may lie to be one act; 0 switches the rule off.
        types: the event types that are asked.
        user_day: the columns that the rows of a day share that is judged as one.
    """
    if not seconds or not types:
        return frame.withColumn(REPEATS, F.lit(None).cast("string"))
    asked = (F.col(FATE) == OUT) & F.col("event_type").isin(*types)
    thing = F.when(F.col("event_type") == "search", F.col("query")).otherwise(F.col("item_id"))
    same = Window.partitionBy(*user_day, "__asked", "event_type", "__thing").orderBy(
        "event_time", "event_id"
    )
    micros = F.unix_micros("event_time")
    after = micros - F.lag(micros).over(same)
    repeated = F.when(F.col("__asked") & (after <= seconds * 1e6), F.lag("event_id").over(same))
    return (
        frame.withColumns({"__asked": asked, "__thing": thing})
        .withColumn(REPEATS, repeated)
        .drop("__asked", "__thing")
    )


def without_repetitions(frame: DataFrame) -> DataFrame:
    """The rows of `with_repetitions`, without `__repeats`; repetitions that are `out` are removed."""
    repeats = (F.col(FATE) == OUT) & F.col(REPEATS).isNotNull()
    judged = {
        FATE: F.when(repeats, F.lit(REMOVED)).otherwise(F.col(FATE)),
        REASON: F.when(repeats, F.lit("near_duplicate")).otherwise(F.col(REASON)),
        EVIDENCE: F.when(repeats, evidence(repeats_event_id=F.col(REPEATS))).otherwise(
            F.col(EVIDENCE)
        ),
    }
    return frame.select(
        *(judged.get(name, F.col(name)).alias(name) for name in frame.columns if name != REPEATS)
    )
