"""Of whom nothing changes from one night to the next, so that what is known of them can be copied.

Pure: Arrow tables in and out. A user is quiet of whom nothing was delivered or taken back since the
night before, and none of whose acts one of some dates has passed since then. Two dates more than
others change what `acts.remember` keeps: the first day that a delivery may still change, and the
first of which all trades are remembered. What `history.pasts` says does not depend on these,
because nothing is forgotten that it would have said; it depends on the first day of which an act
makes its user active. For both an act counts only from its own day on. So of most users of most
nights the acts can be copied, and of nearly all of them the pasts.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.histories.acts import Memory

# The columns of `acts` that are looked at.
JUDGED_BY = ("user_id", "event_date", "settled")


@dataclass(frozen=True)
class Passage:
    """From the night that is gone on from to the one that is made."""

    then: Memory
    now: Memory
    active_days: int

    def acts_change(self, before: pa.Table) -> pa.StringArray:
        """`user_id` of those of whose acts other ones may be kept, or as something else.

        Args:
            before: `JUDGED_BY` of acts of the night before.
        """
        then, now = self.then, self.now
        return self._passed_by(
            before,
            (then.settled_until, now.settled_until),
            (then.trades_from, now.trades_from),
        )

    def pasts_change(self, before: pa.Table) -> pa.StringArray:
        """`user_id` of those whose acts may come to say something else; `before` as above."""
        start = dt.timedelta(days=self.active_days - 1)
        return self._passed_by(before, (self.then.night - start, self.now.night - start))

    def _passed_by(self, before: pa.Table, *days: tuple[dt.date, dt.date]) -> pa.StringArray:
        """Users with an act that is known only now, or of days up to and without the second."""
        day = before["event_date"]
        passed = pc.greater(day, pa.scalar(self.then.night))
        for first, last in days:
            from_first = pc.greater_equal(day, pa.scalar(first))
            between = pc.and_(from_first, pc.less(day, pa.scalar(last)))
            # A settled act means the same whatever happens around it.
            passed = pc.or_(passed, pc.and_not(between, before["settled"]))
        return unique_users(before.filter(passed))


def unique_users(rows: pa.Table) -> pa.StringArray:
    """`user_id`, each once."""
    return cast(pa.StringArray, rows["user_id"].unique())
