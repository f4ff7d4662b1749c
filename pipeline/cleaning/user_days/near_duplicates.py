"""The same act twice: a double click, a page that was loaded again, a tracker that fired twice.

Two events of one user, item and type (searches: of the same words) that lie no more than some
seconds apart are one act. **The earliest wins, and of equal times the one with the smaller id.**
Each later one is removed as `near_duplicate`, also where it follows another that is itself removed:
a chain of quick repetitions is one act, however long it is. So the winner does not depend on the
order in which rows are read or delivered.

The rule holds for the types in `cleaning.near_duplicate_types` only: a purchase is money, and two
lines of one invoice are two lines unless their ids say otherwise. Exact copies are gone before.
Bots are found before anything is removed here, because a bot's haste is evidence; as all of a bot's
acts of browsing go, it makes no difference to which event repeats which.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.cleaning.rows.row_rules import REMOVED
from pipeline.cleaning.user_days.row_arrays import Ints, Outcomes, Rows


def repetitions(
    rows: Rows, outcomes: Outcomes, seconds: float, types: Sequence[str]
) -> tuple[Ints, Ints]:
    """Which good rows repeat which.

    Args:
        rows: whole days of users, in the order of time and id.
        outcomes: of the rows so far.
        seconds: how far apart two events may lie to be one act; 0 switches the rule off.
        types: the event types that the rule holds for.
    """
    acts = rows.acts
    if acts is None or not seconds or not types:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    at = np.flatnonzero(outcomes.is_good & acts.is_one_of(types))
    # Stable: what is the same act stays in its order.
    at = at[np.lexsort((acts.thing[at], acts.type[at], rows.group[at]))]
    before, after = at[:-1], at[1:]
    repeats = (
        (rows.group[before] == rows.group[after])
        & (acts.type[before] == acts.type[after])
        & (acts.thing[before] == acts.thing[after])
        & (acts.time[after] - acts.time[before] <= seconds * 1e6)
    )
    return after[repeats], before[repeats]


def remove_repetitions(rows: Rows, outcomes: Outcomes, found: tuple[Ints, Ints]) -> None:
    """Remove the `repetitions` that are still good."""
    repeats, repeated = found
    stay = outcomes.is_good[repeats]
    ids = rows.key.take(repeated[stay])
    outcomes.set(repeats[stay], REMOVED, "near_duplicate", repeats_event_id=ids)
