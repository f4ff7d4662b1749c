"""Which published nights were made without rows that are in the lake now.

Reads pointers and manifests, and the rows of a delivery that was cleaned again to other bytes. Two things are told apart:

    late     a later delivery brought rows of days up to the night. The night knew what it knew, and
             made again it would be the same (docs/adr/0007); the nights from that delivery on have
             the rows.
    changed  a delivery that the night read was cleaned again to other rows since (a file of it came
             late or was corrected, rows were released): made again the night would have them. What a
             night read is in the manifest of its histories (`read`).

A row of an event can come late by `cleaning.late_horizon_days`; nights before that are settled.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.lake import Lake, Partition
from pipeline.publishing.made_from import input_of, is_degraded

DATASET = "recommendations"
READ = "read"
_LATE = {"cleaned_events": "events", "cleaned_reviews": "reviews"}


@dataclass(frozen=True)
class Outdated:
    """One published night and what it was made without."""

    run_date: dt.date
    late: dict[str, int]  # rows by what they are, of days up to the night
    complete_from: dt.date | None  # the first night that has all of them
    changed: tuple[dt.date, ...]  # deliveries that were cleaned again

    def __str__(self) -> str:
        return ", ".join(f"{rows:,} {what}" for what, rows in sorted(self.late.items()))


def outdated_nights(lake: Lake, horizon_days: int) -> list[Outdated]:
    """Published nights that lack something, ascending; none older than the horizon."""
    deliveries = {name: lake.dates(name) for name in _LATE}
    newest = max((dates[-1] for dates in deliveries.values() if dates), default=None)
    if newest is None:
        return []
    oldest = newest - dt.timedelta(days=horizon_days)
    # Lists that stand in for a night's own are known to be wanting, and `status` says so.
    nights = [
        night
        for night in lake.dates(DATASET)
        if night >= oldest and not is_degraded(lake.require(DATASET, night))
    ]
    late = {
        (name, day): lake.require(name, day).manifest.get("late", {})
        for name, dates in deliveries.items()
        for day in dates
        if nights and day > nights[0]
    }
    reader = _Reader(lake, newest)
    found = []
    for night in nights:
        rows: Counter[str] = Counter()
        last = None
        for (name, day), by_day in late.items():
            brought = sum(n for own, n in by_day.items() if dt.date.fromisoformat(own) <= night)
            if day > night and brought:
                rows[_LATE[name]] += brought
                last = max(last or day, day)
        changed = reader.changed_since(lake.require(DATASET, night))
        if rows or changed:
            found.append(Outdated(night, dict(rows), last, tuple(changed)))
    return found


class _Reader:
    """Compares what nights read with what the pointers name now, each pointer read once."""

    def __init__(self, lake: Lake, newest: dt.date) -> None:
        self._lake = lake
        self._now: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for name in _LATE:
            pointers = lake.pointers(name, newest)
            self._now[name] = {day.isoformat(): directory for day, directory in pointers.items()}

    def changed_since(self, lists: Partition) -> list[dt.date]:
        """Deliveries up to a night of which the lists were made from other rows."""
        said = input_of(self._lake, "histories", lists).manifest.get(READ, {})
        changed = set()
        for name, then in said.items():
            now = {
                day: directory
                for day, directory in self._now[name].items()
                if day <= lists.run_date.isoformat()
            }
            changed |= {
                dt.date.fromisoformat(day)
                for day in {*then, *now}
                if then.get(day) != now.get(day) and not self._same(name, day, then, now)
            }
        return sorted(changed)

    def _same(self, name: str, day: str, then: dict[str, str], now: dict[str, str]) -> bool:
        """Whether two directories hold the same rows: a day cleaned again mostly does."""
        if day not in then or day not in now:
            return False
        date = dt.date.fromisoformat(day)
        old, new = (self._lake.partition(name, date, which[day]) for which in (then, now))
        return _same_rows(old, new)


def _same_rows(old: Partition, new: Partition) -> bool:
    """Whether the files of the same names hold the same rows in the same order.

    Equal checksums say so at once. Unequal ones say nothing: Java writes the list of encodings in a
    file's footer in another order in each process. Then the rows are read, a file at a time.
    """
    if old.manifest["files"] == new.manifest["files"]:
        return True
    if old.manifest.get("rows") != new.manifest.get("rows"):
        return False
    before, after = (
        {file.relative_to(part.path): file for file in part.files} for part in (old, new)
    )
    return before.keys() == after.keys() and all(
        _equal_files(file, after[name]) for name, file in before.items()
    )


def _equal_files(one: Path, other: Path) -> bool:
    with pq.ParquetFile(one) as left, pq.ParquetFile(other) as right:
        return left.metadata.num_rows == right.metadata.num_rows and bool(
            left.read().equals(right.read())
        )
