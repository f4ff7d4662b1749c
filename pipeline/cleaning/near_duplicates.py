"""The same act told twice: a double click, a page that was loaded again, a tracker that fired twice.

Two events of one user, item and type (of a search: of the same words) that lie no more than some
seconds apart are one act. Which one wins: **the earliest, and of equal times the one with the
smaller id**. Each later one is removed as `near_duplicate`, also where it follows another that is
itself removed: a chain of quick repetitions is one act, however long it is. So what wins does not
depend on the order in which rows are read or delivered.

Only the types in `cleaning.near_duplicate_types`: a purchase is money, and two lines of one invoice
are two lines unless their ids say otherwise. Exact copies, and bots, are gone before this is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipeline.cleaning.tagging import EVIDENCE, FATE, OUT, REASON, REMOVED, evidence


def without_near_duplicates(
    frame: DataFrame, seconds: float, types: Sequence[str], user_day: Sequence[str]
) -> DataFrame:
    """The same rows and columns; later repetitions are removed, with the id of the event before.

    Rows with another fate than `out` are left as they are, and repeat nothing.

    Args:
        frame: cleaned events with `tagging.TAGS`.
        seconds: how far apart two events may lie to be one act; 0 switches the rule off.
        types: the event types that are asked.
        user_day: the columns that the rows of a day share that is judged as one.
    """
    if not seconds or not types:
        return frame
    asked = (F.col(FATE) == OUT) & F.col("event_type").isin(*types)
    thing = F.when(F.col("event_type") == "search", F.col("query")).otherwise(F.col("item_id"))
    same = Window.partitionBy(*user_day, "__asked", "event_type", "__thing").orderBy(
        "event_time", "event_id"
    )
    micros = F.unix_micros("event_time")
    paired = frame.withColumns({"__asked": asked, "__thing": thing}).withColumns(
        {
            "__after": micros - F.lag(micros).over(same),
            "__repeated": F.lag("event_id").over(same),
        }
    )
    repeats = F.col("__asked") & F.coalesce(F.col("__after") <= seconds * 1e6, F.lit(False))
    judged = {
        FATE: F.when(repeats, F.lit(REMOVED)).otherwise(F.col(FATE)),
        REASON: F.when(repeats, F.lit("near_duplicate")).otherwise(F.col(REASON)),
        EVIDENCE: F.when(repeats, evidence(repeats_event_id=F.col("__repeated"))).otherwise(
            F.col(EVIDENCE)
        ),
    }
    return paired.select(*(judged.get(name, F.col(name)).alias(name) for name in frame.columns))
