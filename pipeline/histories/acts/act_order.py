"""The order of a user's acts, and which of them are of an item.

Time; then the retailer's own `sequence`, where there is one; then what usually comes first at one
instant (view, wishlist, cart, purchase, rating, return); then the event's id.

Gives up: without a `sequence`, events of one instant and kind stand in the order of their ids.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

# In the order of one instant.
ITEM_EVENTS = ("view", "wishlist", "cart", "purchase", "rating", "return")
RATING = "rating"
OWNING_EVENTS = ("purchase", RATING)


def is_item_event() -> Column:
    """Whether an act is of an item: all but a search."""
    return F.col("event_type") != "search"


def event_order() -> list[Column]:
    """Oldest first; every row of a user has a place of its own."""
    return [
        F.col("event_time").asc(),
        F.col("sequence").asc_nulls_last(),
        _kind().asc(),
        F.col("event_id").asc(),
    ]


def newest_first() -> list[Column]:
    """`event_order`, reversed."""
    return [
        F.col("event_time").desc(),
        F.col("sequence").desc_nulls_first(),
        _kind().desc(),
        F.col("event_id").desc(),
    ]


def _kind() -> Column:
    return F.array_position(F.lit(list(ITEM_EVENTS)), F.col("event_type"))
