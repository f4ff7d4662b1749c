"""Up to which day deliveries are not needed any more. Standard library only.

A night that is kept needs the deliveries that it read itself: those since the night that it went on
from. What came before it has as acts and histories. Rows that come late are judged with deliveries
since their own day. And nothing expires that the newest acts do not hold yet.

Gives up: a night that has to be made from the whole past all the same (other code, other settings,
a delivery cleaned again) knows only what is left, and says so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence

from pipeline.datasets import (
    ACTED,
    ACTS,
    EXPIRING_DELIVERIES,
    GENERATED,
    HISTORIES,
    RECOMMENDATIONS,
    RETRACTIONS,
)
from pipeline.lake import Lake
from pipeline.lineage import LINEAGE, SINCE, Lineage, inputs_upto
from pipeline.retention.directories import Directory, Key

_REMEMBERED = (*ACTED, RETRACTIONS)
_OF_A_NIGHT = (ACTS, HISTORIES, GENERATED, RECOMMENDATIONS)


def needed_from(
    lake: Lake,
    found: Sequence[Directory],
    kept: Collection[Key],
    late_horizon_days: int,
    expired: dt.date | None,
) -> tuple[dt.date, str]:
    """The newest day whose delivery may go, and what needs the next one.

    Args:
        lake: whose pointers are read.
        found: all of its directories.
        kept: keys of those that stay, without deliveries.
        late_horizon_days: by how many days an event may come late.
        expired: up to which day deliveries have expired before.
    """
    return min(_limits(lake, found, kept, late_horizon_days, expired), key=lambda limit: limit[0])


def _limits(
    lake: Lake,
    found: Sequence[Directory],
    kept: Collection[Key],
    late_horizon_days: int,
    expired: dt.date | None,
) -> Iterator[tuple[dt.date, str]]:
    nights = [one for one in found if one.dataset in _OF_A_NIGHT and one.key in kept]
    acts = [one for one in nights if one.dataset == ACTS and one.pointed]
    if not acts:
        yield dt.date.min, "no night has taken it in yet"
        return
    why = _not_in(lake, acts[-1], expired)
    if why:
        yield dt.date.min, why
    for one in nights:
        since = (one.manifest or {}).get(SINCE) if one.dataset == ACTS else None
        before = dt.date.fromisoformat(since) if since else one.date - dt.timedelta(days=1)
        yield before, f"{one} was made from it"
    newest = max((date for name in EXPIRING_DELIVERIES for date in lake.dates(name)), default=None)
    if newest is not None:
        why = f"events come up to {late_horizon_days} days late (cleaning.late_horizon_days)"
        yield newest - dt.timedelta(days=late_horizon_days), why


def _not_in(lake: Lake, acts: Directory, expired: dt.date | None) -> str:
    """Why the next night cannot go on from the newest acts; empty where it can."""
    said = (acts.manifest or {}).get(LINEAGE)
    if said is None:
        return f"{acts} do not say what they were made from"
    then = Lineage(said["inputs"]).after(expired)
    now = Lineage(inputs_upto(lake, _REMEMBERED, acts.date)).after(expired)
    for name, days in now.other_inputs(then).items():
        return f"{acts} were made from another {name} of {days[0]}: a night has to be made first"
    return ""
