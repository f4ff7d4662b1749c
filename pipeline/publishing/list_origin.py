"""Where lists come from: the night that made them, and its histories and catalogue.

A night may be begun again, and die half way: then its date points at the new histories while the
published lists are of the old ones. So the lineage of the lists names the directories that they
were made from, and what is shown beside lists is read from there. Nothing is written here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from pipeline.datasets import CATALOGUE, HISTORIES
from pipeline.lake import Lake, Partition
from pipeline.lineage import LISTS_OF, Lineage, inputs_of, lineage_of

INPUTS = (HISTORIES, CATALOGUE)
DEGRADED = "degraded"  # why they do
# In a manifest of triggers: how many a shopper gets at most; 0: no cap.
PER_SHOPPER = "per_shopper"


def lineage_of_lists(lake: Lake, lists: Partition) -> Lineage:
    """What some lists were made from, whoever publishes them.

    Raises:
        InputError: the lists do not say it, and their date has none.
    """
    night = lists_night(lists).isoformat()
    return Lineage({name: {night: _directory(lake, name, lists)} for name in INPUTS})


def with_beside(lineage: Lineage, beside: Iterable[Partition]) -> Lineage:
    """The lineage of lists that readers see together with other datasets of their night."""
    parts = {str(part.manifest["dataset"]): part for part in beside}
    return Lineage({**lineage.inputs, **inputs_of(parts)}, lineage.code, lineage.settings)


def beside_lists(lake: Lake, name: str, lists: Partition) -> Partition | None:
    """What of a dataset was published with some lists; none with lists that stand in.

    None, with a warning, also where it is damaged: the lists of every night do without it.
    """
    lineage = lineage_of(lists)
    known = lineage.directory(name, lists.run_date) if lineage else None
    return None if known is None else lake.whole(name, lists.run_date, known)


def input_of(lake: Lake, name: str, lists: Partition) -> Partition:
    """One of the partitions that lists were made from.

    Lists that do not say it are taken to be made from what their date points at.

    Raises:
        InputError: the lists do not say which, and their date has none.
        StorageError: it is not there any more.
    """
    return lake.partition(name, lists_night(lists), _directory(lake, name, lists))


def lists_night(lists: Partition) -> dt.date:
    """The night that made some lists: their own, unless they stand in for another's."""
    night = lists.manifest.get(LISTS_OF)
    return dt.date.fromisoformat(night) if night else lists.run_date


def is_degraded(lists: Partition) -> bool:
    """Whether published lists are another night's, standing in for their own."""
    return DEGRADED in lists.manifest


def _directory(lake: Lake, name: str, lists: Partition) -> str:
    night, lineage = lists_night(lists), lineage_of(lists)
    known = lineage.directory(name, night) if lineage else None
    return known or lake.require(name, night).directory_id
