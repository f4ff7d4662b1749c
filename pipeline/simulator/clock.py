"""A shop day's timestamps: seconds since local midnight, written as ISO 8601 with offset.

A day on which the clock changes has 23 or 25 hours. Strings come from a table of the day's
minutes, because asking the zone for each of millions of events costs more than simulating them.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np

from pipeline.simulator.catalogue import Ints

_SECONDS = np.array([f"{second:02d}" for second in range(60)], dtype=object)


class Clock:
    """One calendar day in the shop's zone."""

    def __init__(self, date: dt.date, zone: ZoneInfo) -> None:
        self.date = date
        self._zone = zone
        self._begin = _midnight(date, zone)
        self.end = _midnight(date + dt.timedelta(days=1), zone)
        self.seconds = int((self.end - self._begin).total_seconds())
        minutes = [
            (self._begin + dt.timedelta(minutes=minute)).astimezone(zone)
            for minute in range(self.seconds // 60)
        ]
        self._minute = np.array([f'"{at:%Y-%m-%dT%H:%M:}' for at in minutes], dtype=object)
        self._offset = np.array([f'{at.isoformat()[-6:]}"' for at in minutes], dtype=object)

    def stamps(self, second: Ints) -> list[str]:
        """ISO 8601, in quotation marks, for seconds since the day began."""
        minute = second // 60
        texts: list[str] = (
            self._minute[minute] + _SECONDS[second % 60] + self._offset[minute]
        ).tolist()
        return texts

    def after_end(self, seconds: int) -> str:
        """A moment that many seconds after the day's end."""
        return (self.end + dt.timedelta(seconds=seconds)).astimezone(self._zone).isoformat()


def _midnight(date: dt.date, zone: ZoneInfo) -> dt.datetime:
    """The instant at which the calendar day begins, in UTC so that arithmetic is in real time."""
    return dt.datetime.combine(date, dt.time(), zone).astimezone(dt.UTC)
