"""The same act told twice: a double click, a page that was loaded again, a tracker that fired twice.

Two events of one user, item and type (of a search: of the same words) that lie no more than some
seconds apart are one act. Which one wins: **the earliest, and of equal times the one with the
smaller id**. Each later one is removed as `near_duplicate`, also where it follows another that is
itself removed: a chain of quick repetitions is one act, however long it is. So what wins does not
depend on the order in which rows are read or delivered.

Only the types in `cleaning.near_duplicate_types`: a purchase is money, and two lines of one invoice
are two lines unless their ids say otherwise. Exact copies are gone before this is asked. A bot's
haste is evidence, so bots are told before anything is removed here; but as all of a bot's acts of
browsing go, it makes no difference to who repeats whom.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.cleaning.tagging import REMOVED
from pipeline.cleaning.verdicts import Ints, Rows, Verdicts


def repetitions(
    rows: Rows, verdicts: Verdicts, seconds: float, types: Sequence[str]
) -> tuple[Ints, Ints]:
    """Which good rows repeat which.

    Args:
        rows: whole days of users, in the order of time and id.
        verdicts: of the rows so far.
        seconds: how far apart two events may lie to be one act; 0 switches the rule off.
        types: the event types that are asked.
    """
    acts = rows.acts
    if acts is None or not seconds or not types:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    at = np.flatnonzero(verdicts.is_good & acts.is_one_of(types))
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


def without_repetitions(rows: Rows, verdicts: Verdicts, found: tuple[Ints, Ints]) -> None:
    """Say of `repetitions` that are good still that they go."""
    repeats, repeated = found
    stay = verdicts.is_good[repeats]
    ids = rows.key.take(repeated[stay])
    verdicts.say(repeats[stay], REMOVED, "near_duplicate", repeats_event_id=ids)
