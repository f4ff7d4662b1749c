"""Users whose acts, or whose history, cannot have changed since the night before.

Pure: Arrow tables in and out. A user is unchanged if nothing of theirs was delivered or taken back
since the night before, and no act of theirs has crossed one of these days since then:

- for acts: the first day that a delivery may still change, and the first day of which all trades
  are remembered (`act_log.remember` keeps by these days);
- for histories: the first day of which an act makes its user active. Forgotten acts do not change a
  history, because none is forgotten that a history would show;
- for both: the night's own day, because an act counts only from its own day on.

So the acts of most users can be copied on most nights, and the histories of nearly all users.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.histories.activity import first_active_day
from pipeline.histories.acts.act_log import Memory

# The columns of `acts` that decide.
READ_COLUMNS = ("user_id", "event_date", "settled")


@dataclass(frozen=True)
class NightStep:
    """From the night that is continued (`then`) to the one that is made (`now`)."""

    then: Memory
    now: Memory
    active_days: int

    def users_whose_acts_change(self, before: pa.Table) -> pa.StringArray:
        """Ids of users with acts that may be kept, dropped or marked otherwise.

        Args:
            before: `READ_COLUMNS` of acts of the night before.
        """
        then, now = self.then, self.now
        return self._passed_by(
            before,
            (then.settled_until, now.settled_until),
            (then.trades_from, now.trades_from),
        )

    def users_whose_history_changes(self, before: pa.Table) -> pa.StringArray:
        """Ids of users whose history may become another one; `before` as above."""
        first, last = (
            first_active_day(memory.night, self.active_days) for memory in (self.then, self.now)
        )
        return self._passed_by(before, (first, last))

    def _passed_by(self, before: pa.Table, *days: tuple[dt.date, dt.date]) -> pa.StringArray:
        """Users with an act that is known only now, or an act in one of some ranges of days."""
        day = before["event_date"]
        passed = pc.greater(day, pa.scalar(self.then.night))
        for first, last in days:
            from_first = pc.greater_equal(day, pa.scalar(first))
            between = pc.and_(from_first, pc.less(day, pa.scalar(last)))
            # A settled act never changes.
            passed = pc.or_(passed, pc.and_not(between, before["settled"]))
        return unique_users(before.filter(passed))


def unique_users(rows: pa.Table) -> pa.StringArray:
    """Ids of users, each once."""
    return cast(pa.StringArray, rows["user_id"].unique())
