"""Which histories and catalogue a night's lists were made from.

A night may be begun again, and die half way: then its date points at the new histories while the
published lists are of the old ones. So the manifest of the lists names the directories that they
were made from, and what is shown beside lists is read from there. Nothing is written here.
"""

from __future__ import annotations

import datetime as dt

from pipeline.lake import Lake, Partition

INPUTS = ("histories", "catalogue")
MADE_FROM = "made_from"
LISTS_OF = "lists_of"  # the night whose lists stand in for this one (`degrade`)
DEGRADED = "degraded"  # why they do


def made_from(lake: Lake, lists: Partition) -> dict[str, str]:
    """What pointers call each input of some lists.

    Lists whose manifest does not say it are taken to be made from what their date points at.
    """
    said = lists.manifest.get(MADE_FROM, {})
    return {name: said.get(name) or _current(lake, name, lists).directory_id for name in INPUTS}


def input_of(lake: Lake, name: str, lists: Partition) -> Partition:
    """One of the partitions that lists were made from.

    Raises:
        InputError: the lists do not say which, and their date has none.
        StorageError: it is not there any more.
    """
    directory_id = lists.manifest.get(MADE_FROM, {}).get(name)
    if directory_id is None:
        return _current(lake, name, lists)
    return lake.partition(name, lists_night(lists), directory_id)


def lists_night(lists: Partition) -> dt.date:
    """The night that made some lists: their own, unless they stand in for another's."""
    said = lists.manifest.get(LISTS_OF)
    return dt.date.fromisoformat(said) if said else lists.run_date


def is_degraded(lists: Partition) -> bool:
    """Whether published lists are another night's, standing in for their own."""
    return DEGRADED in lists.manifest


def _current(lake: Lake, name: str, lists: Partition) -> Partition:
    return lake.require(name, lists_night(lists))
