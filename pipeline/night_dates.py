"""Which dates a night may have: none after the shop's today. Standard library only."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from pipeline.errors import InputError


def shops_today(timezone: str, now: dt.datetime) -> dt.date:
    """The calendar day that the shop has at an instant."""
    return now.astimezone(ZoneInfo(timezone)).date()


def refuse_the_future(date: dt.date, timezone: str, now: dt.datetime) -> None:
    """Refuse a night of a day that has not begun in the shop's zone.

    It would be the newest for good: readers would see none of the real nights after it.

    Raises:
        InputError: the date is after the shop's today.
    """
    today = shops_today(timezone, now)
    if date > today:
        raise InputError(
            f"{date} has not begun: the shop's today is {today} ({timezone}). Readers would be "
            "kept on that night until it comes; give a date that is over"
        )
