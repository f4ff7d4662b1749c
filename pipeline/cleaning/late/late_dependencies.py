"""Which deliveries have late rows that depend on other deliveries, and are cleaned with them.

A delivery with late rows resolves their user days together with what earlier deliveries brought
(`late_rows`). Its manifest names these (`judged_with`: the oldest own day that it touched, and a
hash of the files of each delivery since). The delivery is out of date as soon as one of them is
cleaned again to other files, or a new one appears among them. The manifests decide this, not the
memory of a night, so the next night repairs one that was cut off half way. Deliveries that have
expired are left out: nothing is cleaned again because of them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pipeline.datasets import cleaned
from pipeline.lake import Lake, Partition
from pipeline.retention.expired import expired_until
from pipeline.sources.source import TIME_COLUMN

DEPENDENCIES = "judged_with"  # the key in the manifests of lakes that exist
_BESIDE = {"events": ("removed_events", "retractions"), "reviews": ("retractions",)}


class LateDependencies:
    """Reads the manifests of a lake, each at most once."""

    def __init__(
        self, lake: Lake, closed: Mapping[tuple[str, dt.date], Partition] | None = None
    ) -> None:
        """Of a lake, and of partitions of it that are closed and not pointed at yet."""
        self._lake, self._closed = lake, closed or {}
        self._hashes: dict[tuple[str, dt.date], str] = {}
        self._expired = expired_until(lake)

    def of_delivery(self, dataset: str, day: dt.date, oldest: dt.date) -> dict[str, Any]:
        """What a delivery's manifest says under `DEPENDENCIES`: see the module's docstring.

        Args:
            dataset: events or reviews.
            day: the delivery.
            oldest: the oldest own day of its late rows.
        """
        closed = {date for name, date in [*self._closed] if name == cleaned(dataset)}
        since = (
            date
            for date in sorted({*self._lake.dates(cleaned(dataset), day), *closed})
            if date >= oldest and not self._has_expired(date)
        )
        return {
            "oldest": oldest.isoformat(),
            "deliveries": {
                date.isoformat(): self._hash(dataset, date) for date in since if date < day
            },
        }

    def out_of_date(self, days: Iterable[dt.date], again: Collection[dt.date]) -> set[dt.date]:
        """The deliveries whose late rows depend on others than are there, or will be.

        Args:
            days: the deliveries that are checked, ascending.
            again: deliveries that are cleaned again in any case.
        """
        found = set(again)
        for day in days:
            if day not in found and any(self.is_out(name, day, found) for name in TIME_COLUMN):
                found.add(day)
        return found - set(again)

    def is_out(self, dataset: str, day: dt.date, again: Collection[dt.date] = ()) -> bool:
        """Whether a delivery has late rows that depend on others than are there."""
        committed = self._lake.whole(f"cleaned_{dataset}", day)
        recorded = committed.manifest.get(DEPENDENCIES) if committed is not None else None
        if not recorded:
            return False
        oldest = dt.date.fromisoformat(recorded["oldest"])
        if any(oldest <= other < day for other in again):
            return True
        then = {
            date: files
            for date, files in recorded["deliveries"].items()
            if not self._has_expired(dt.date.fromisoformat(date))
        }
        return bool(self.of_delivery(dataset, day, oldest)["deliveries"] != then)

    def _has_expired(self, day: dt.date) -> bool:
        return self._expired is not None and day <= self._expired

    def _hash(self, dataset: str, day: dt.date) -> str:
        key = (dataset, day)
        if key not in self._hashes:
            files = []
            for name in (cleaned(dataset), *_BESIDE[dataset]):
                partition = self._closed.get((name, day)) or self._lake.whole(name, day)
                files.append(partition.manifest["files"] if partition is not None else [])
            text = json.dumps(files, sort_keys=True)
            self._hashes[key] = hashlib.sha256(text.encode()).hexdigest()[:16]
        return self._hashes[key]
