"""Bots: three rules over what one user did on one day.

A view, a wish, a cart or a search is an act of browsing. The rules count acts of browsing, and
remove all of a bot's day (as `bot`). A purchase or a return stays whoever made it: it was paid for,
and a wholesaler's invoice of 500 lines at one instant is no visit.

  rate       more than `max_events` acts of browsing on the day
  breadth    more than `max_items` different items viewed on the day, and nothing put on a
             wish list, into a cart or bought
  no_dwell   at least `no_dwell_min_events` acts, of which the median time from one to the next is
             less than `no_dwell_seconds` (0: never). The rule needs a clock with seconds: where
             all times are whole minutes or days, nobody can be seen to dwell

Gives up: a scraper that spreads over many users, or waits like a person between two pages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.cleaning.rows.row_rules import REMOVED
from pipeline.cleaning.user_days.row_arrays import Bools, Ints, Outcomes, Rows

BROWSING = ("view", "wishlist", "cart", "search")
TAKING = ("cart", "purchase")  # not a wish: it costs a scraper nothing
_MINUTE = 60_000_000


@dataclass(frozen=True)
class BotLimits:
    """What a person's day does not exceed; see the settings `cleaning.bot_…`."""

    max_events: int
    max_items: int
    no_dwell_min_events: int
    no_dwell_seconds: float


def remove_bots(rows: Rows, outcomes: Outcomes, limits: BotLimits) -> None:
    """Remove bots' acts of browsing, with what was seen of the day as evidence.

    Args:
        rows: whole days of users, in the order of time.
        outcomes: of the rows so far; rows that are not good do not count.
        limits: the thresholds.
    """
    acts = rows.acts
    assert acts is not None
    days = int(rows.group[-1]) + 1
    browsing = outcomes.is_good & acts.is_one_of(BROWSING)

    def number(of: Bools) -> Ints:
        return np.bincount(rows.group[of], minlength=days)

    n_acts = number(browsing)
    views = browsing & acts.is_one_of(["view"])
    takes = number(outcomes.is_good & acts.is_one_of(TAKING)) > 0
    clock = number(browsing & (acts.time % _MINUTE != 0)) > 0
    busy = n_acts > limits.max_events
    # Different items and gaps are counted only on days that could break a rule: few.
    may_be_broad = (number(views) > limits.max_items) & ~takes
    may_be_hasty = (n_acts >= limits.no_dwell_min_events) & clock
    suspect = busy | may_be_broad | may_be_hasty
    if not suspect.any():
        return
    seen = np.flatnonzero(views & suspect[rows.group])
    pairs = np.unique(np.stack([rows.group[seen], acts.thing[seen]]), axis=1)
    n_items = np.bincount(pairs[0], minlength=days)
    broad = may_be_broad & (n_items > limits.max_items)
    at = np.flatnonzero(browsing & suspect[rows.group])
    follows = rows.group[at[1:]] == rows.group[at[:-1]]
    gaps = (acts.time[at[1:]] - acts.time[at[:-1]])[follows] / 1e6
    of_gap = rows.group[at[1:]][follows]
    short = np.bincount(of_gap[gaps < limits.no_dwell_seconds], minlength=days)
    # More than half of the gaps are short: the same as a short median, without sorting them.
    hasty = may_be_hasty & (2 * short > n_acts - 1)
    bots = np.flatnonzero(busy | broad | hasty)
    if not len(bots):
        return
    evidence = {
        day: (
            [
                name
                for name, broken in (("rate", busy), ("breadth", broad), ("no_dwell", hasty))
                if broken[day]
            ],
            float(np.median(gaps[of_gap == day])) if n_acts[day] > 1 else None,
        )
        for day in bots.tolist()
    }
    gone = at[np.isin(rows.group[at], bots)]
    of = rows.group[gone]
    outcomes.set(
        gone,
        REMOVED,
        "bot",
        bot_rules=[evidence[day][0] for day in of.tolist()],
        n_events=n_acts[of],
        n_items=n_items[of],
        median_gap_seconds=[evidence[day][1] for day in of.tolist()],
    )
