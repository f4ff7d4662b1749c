"""Of whom nothing changes from one night to the next, so that their acts can be copied.

Pure `DataFrame -> DataFrame`. What `acts.remember` makes of a user's acts depends on the night by
three dates only: the night itself (an act dated after it is not known yet), the first day that a
delivery may still change, and the first of which all trades are remembered. A user of whom nothing
was delivered or taken back, and none of whose acts any of these dates has passed since the night
before, would come out of all the windows as they went in. They are most users of most nights.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.histories.acts import Memory


def users_to_judge(
    before: DataFrame, delivered: Sequence[DataFrame], then: Memory, now: Memory
) -> DataFrame:
    """`user_id` of those whose acts may come to mean something else, each once.

    Args:
        before: the `acts` of the night before.
        delivered: frames with the `user_id` of what was delivered, or taken back, since.
        then: what was remembered on the night before.
        now: what is to be remembered.
    """
    passed = (F.col("event_date") > F.lit(then.night)) | (
        ~F.col("settled")
        & (
            _between(then.settled_until, now.settled_until)
            | _between(then.trades_from, now.trades_from)
        )
    )
    users = before.where(passed).select("user_id")
    for frame in delivered:
        users = users.unionByName(frame.select("user_id"))
    return users.distinct()


def as_never_null(stored: DataFrame, schema: T.StructType) -> DataFrame:
    """Stored rows, of which Spark is told that the columns are never null that never are.

    It forgets that of every Parquet file, and a night's file must not show how it was made.
    """
    return stored.select(
        *(
            F.col(field.name)
            if field.nullable
            else F.coalesce(field.name, F.lit(0).cast(field.dataType)).alias(field.name)
            for field in schema
        )
    )


def _between(first: dt.date, last: dt.date) -> Column:
    return (F.col("event_date") >= F.lit(first)) & (F.col("event_date") < F.lit(last))
