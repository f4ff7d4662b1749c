"""Which deliveries judged what others brought, and so have to be cleaned again when those are.

A delivery with late rows judges their user days together with what earlier deliveries brought
(`late_rows`). Its manifest says which these were and what they held (`judged_with`: the oldest own
day that it touched, and a hash of the files of each delivery since). It is out of date as soon as
one of them is cleaned again to other files, or a new one appears among them. What is written says
so, not what a night remembers: a night that was cut off half way is made good by the next.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Collection, Iterable
from typing import Any

from pipeline.lake import Lake
from pipeline.sources.source import TIME_COLUMN

JUDGED_WITH = "judged_with"
_BESIDE = {"events": ("removed_events", "retractions"), "reviews": ("retractions",)}


class JudgedDays:
    """Reads the manifests of a lake, each at most once."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._hashes: dict[tuple[str, dt.date], str] = {}

    def judged_with(self, dataset: str, day: dt.date, oldest: dt.date) -> dict[str, Any]:
        """What a delivery's manifest has to say: see the module's docstring.

        Args:
            dataset: events or reviews.
            day: the delivery.
            oldest: the oldest own day of its late rows.
        """
        since = (date for date in self._lake.dates(f"cleaned_{dataset}", day) if date >= oldest)
        return {
            "oldest": oldest.isoformat(),
            "deliveries": {
                date.isoformat(): self._hash(dataset, date) for date in since if date < day
            },
        }

    def out_of_date(self, days: Iterable[dt.date], again: Collection[dt.date]) -> set[dt.date]:
        """Of some deliveries, those that judged with others than are there, or will be.

        Args:
            days: ascending.
            again: deliveries that are cleaned again in any case.
        """
        found = set(again)
        for day in days:
            if day not in found and any(self._is_out(name, day, found) for name in TIME_COLUMN):
                found.add(day)
        return found - set(again)

    def _is_out(self, dataset: str, day: dt.date, again: Collection[dt.date]) -> bool:
        committed = self._lake.current(f"cleaned_{dataset}", day)
        said = committed.manifest.get(JUDGED_WITH) if committed is not None else None
        if not said:
            return False
        oldest = dt.date.fromisoformat(said["oldest"])
        if any(oldest <= other < day for other in again):
            return True
        return bool(self.judged_with(dataset, day, oldest) != said)

    def _hash(self, dataset: str, day: dt.date) -> str:
        key = (dataset, day)
        if key not in self._hashes:
            files = []
            for name in (f"cleaned_{dataset}", *_BESIDE[dataset]):
                partition = self._lake.current(name, day)
                files.append(partition.manifest["files"] if partition is not None else [])
            text = json.dumps(files, sort_keys=True)
            self._hashes[key] = hashlib.sha256(text.encode()).hexdigest()[:16]
        return self._hashes[key]
