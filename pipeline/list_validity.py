"""Until when a published list holds: the last day on which it is to be sent.

What a shop sells changes by the day, and a list is of one night. Generation, the gate before
publishing and the lists that stand in for a night count the same way. Standard library only.
"""

from __future__ import annotations

import datetime as dt


def last_valid_day(night: dt.date, valid_days: int) -> dt.date:
    """The last day of a night's lists; the calendar's last where that is sooner.

    >>> last_valid_day(dt.date(2026, 3, 1), 7)
    datetime.date(2026, 3, 8)
    """
    return night + dt.timedelta(days=min(valid_days, (dt.date.max - night).days))
