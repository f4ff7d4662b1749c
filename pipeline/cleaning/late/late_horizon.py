"""How old a late row may be: `cleaning.late_horizon_days` before the day that delivers it.

An older event is refused as `event_time_too_old`, by the contract of `raw_events`. A row that was
quarantined as `item_unknown` stays there if its item becomes known later than that. A review that
is delivered may be of any age.
"""

from __future__ import annotations

import datetime as dt

from pyspark.sql import Column
from pyspark.sql import functions as F

from pipeline.settings import Cleaning


def oldest_own_day(delivery: Column, limits: Cleaning) -> Column:
    """The oldest own day that a row of a delivery day may have."""
    return F.date_sub(delivery, limits.late_horizon_days)


def oldest_own_date(delivery: dt.date, limits: Cleaning) -> dt.date:
    """`oldest_own_day` of one delivery day."""
    return delivery - dt.timedelta(days=limits.late_horizon_days)
