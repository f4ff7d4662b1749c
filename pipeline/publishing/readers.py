"""Which night readers see, which they do not, and how the pointer is put back.

`latest.json` never goes backwards by itself: a night of a wrong date far ahead keeps readers there,
and a pointer that was restored from an older copy keeps them behind.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from pipeline.datasets import RECOMMENDATIONS
from pipeline.errors import InputError
from pipeline.lake import Lake, Partition
from pipeline.publishing.views import views_beside


@dataclass(frozen=True)
class Unseen:
    """Published nights that readers do not see though they should, and why not.

    Args:
        should_see: the newest night that has begun; None where there is none.
    """

    dates: tuple[dt.date, ...]
    why: str
    should_see: dt.date | None


def unseen_nights(lake: Lake, today: dt.date) -> Unseen | None:
    """None where readers see the newest published night that has begun."""
    latest = lake.whole_latest(RECOMMENDATIONS)
    if latest is None:
        return None
    begun = lake.dates(RECOMMENDATIONS, today)
    newest = begun[-1] if begun else None
    if latest.run_date > today:
        why = f"readers are kept on the night of {latest.run_date}, which has not begun"
        return Unseen(tuple(begun[-1:]), why, newest)
    behind = tuple(date for date in begun if date > latest.run_date)
    if behind:
        return Unseen(behind, f"readers are kept on the older night of {latest.run_date}", newest)
    return None


def point_readers(lake: Lake, date: dt.date) -> Partition:
    """Make a published night the one that readers see, `views.sql` with it; also backwards.

    Raises:
        InputError: nothing whole is published for the date.
    """
    partition = lake.whole(RECOMMENDATIONS, date)
    if partition is None:
        there = ", ".join(map(str, lake.dates(RECOMMENDATIONS)[-5:])) or "none"
        raise InputError(f"no lists are published for {date} in {lake.root}; the last: {there}")
    with views_beside(lake, partition, partition):
        lake.point_latest(partition)
    return partition
