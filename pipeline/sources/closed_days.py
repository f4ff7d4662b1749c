"""Days on which a shop is closed and delivers nothing: the `closed` of a source YAML.

Standard library only.
"""

from __future__ import annotations

import calendar
import datetime as dt
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ContractError
from pipeline.sources.yaml_entries import nearest

_WEEKDAYS = [name.lower() for name in calendar.day_name]


@dataclass(frozen=True)
class ClosedDays:
    """Weekdays (Monday is 0) and single days."""

    weekdays: tuple[int, ...] = ()
    days: tuple[dt.date, ...] = ()

    def __contains__(self, day: dt.date) -> bool:
        """Whether the shop is closed on a day."""
        return day.weekday() in self.weekdays or day in self.days


def closed_days_of(given: Any, where: str) -> ClosedDays:
    """The closed days that a source YAML names.

    Raises:
        ContractError: an entry is neither a weekday nor a date.
    """
    if not isinstance(given, list | None):
        raise ContractError(f"{where}: closed must be a list of weekdays and dates")
    weekdays, days = set(), set()
    for entry in given or ():
        if isinstance(entry, dt.date) and not isinstance(entry, dt.datetime):
            days.add(entry)
        elif str(entry).lower() in _WEEKDAYS:
            weekdays.add(_WEEKDAYS.index(str(entry).lower()))
        else:
            raise ContractError(
                f"{where}: closed: {entry!r} is neither a weekday nor a date such as 2026-12-25;"
                f"{nearest(str(entry).lower(), _WEEKDAYS)}"
            )
    return ClosedDays(tuple(sorted(weekdays)), tuple(sorted(days)))
