"""Which event of a history is held out to measure a model, and for which split."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F


def holdout_index(events: str) -> Column:
    """The last new target's place in an array of events; null if it is the first or not in it.

    Args:
        events: the column of the array; each event has `new_target`.
    """
    places = F.transform(events, lambda event, place: F.when(event["new_target"], place))
    # array_max of an empty array, or of nulls alone, is null.
    last = F.array_max(places)
    return F.when(last >= 1, last)


def holdout_split(seed: int) -> Column:
    """`validation` or `test`, half of the users each; the same every night, whatever the order.

    MD5 because it is an expression of every engine: the split is not a secret.
    """
    digest = F.md5(F.concat_ws(":", F.lit("holdout"), F.lit(str(seed)), F.col("user_id")))
    return F.when(F.substring(digest, 1, 1) < "8", F.lit("validation")).otherwise(F.lit("test"))
