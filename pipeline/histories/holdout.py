"""Which event of a history is held out to measure a model, and for which split."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from pipeline.histories.acts.act_order import OWNING_EVENTS, RATING


def holdout_index(events: str, repeat_types: Sequence[str] = ()) -> Column:
    """The last target's place in an array of events; null if it is the first or not in it.

    A rating of what stands before as bought or rated is no target: the known past names its item.

    Args:
        events: the column of the array; each event has `event_time`, `event_type`, `item_id`,
            `new_target`, `cancelled`.
        repeat_types: where an item may be recommended again, the types of target events: each of
            them that was not cancelled is a target, whether the user had the item before or not,
            but for ratings, which must be new, and for an item that stands in an earlier line of
            the same instant. Else only new targets are.
    """

    def is_target(event: Column) -> Column:
        if not repeat_types:
            return event["new_target"]
        is_new = (event["event_type"] != RATING) | event["new_target"]
        return event["event_type"].isin(*repeat_types) & ~event["cancelled"] & is_new

    def is_named(event: Column, place: Column) -> Column:
        """Whether what comes before says which item this is."""
        is_rating = event["event_type"] == RATING

        def names(other: Column) -> Column:
            tells = is_rating & other["event_type"].isin(*OWNING_EVENTS)
            if repeat_types:
                tells = tells | (other["event_time"] == event["event_time"])
            return (other["item_id"] == event["item_id"]) & tells

        return F.exists(F.slice(events, F.lit(1), place), names)

    places = F.transform(
        events,
        lambda event, place: F.when(is_target(event) & ~is_named(event, place), place),
    )
    # array_max of an empty array, or of nulls alone, is null.
    last = F.array_max(places)
    return F.when(last >= 1, last)


def holdout_split(seed: int) -> Column:
    """`validation` or `test`, half of the users each; the same every night, whatever the order.

    MD5 because it is an expression of every engine: the split is not a secret.
    """
    digest = F.md5(F.concat_ws(":", F.lit("holdout"), F.lit(str(seed)), F.col("user_id")))
    return F.when(F.substring(digest, 1, 1) < "8", F.lit("validation")).otherwise(F.lit("test"))
