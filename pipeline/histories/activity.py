"""Who is active: users with an event of any kind within the last `histories.active_days` days."""

from __future__ import annotations

import datetime as dt

from pyspark.sql import Column
from pyspark.sql import functions as F


def is_active(last_event_date: str, night: dt.date, active_days: int) -> Column:
    """Whether a user's last event is new enough; the night's own day is the first of the days."""
    return F.date_diff(F.lit(night), last_event_date) < active_days


def first_active_day(night: dt.date, active_days: int) -> dt.date:
    """The oldest day of which an event makes its user active."""
    return night - dt.timedelta(days=active_days - 1)
