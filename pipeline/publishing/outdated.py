"""Which published nights were made without rows that are in the lake now.

Reads pointers and manifests, and the rows of a delivery that was cleaned again to other bytes. Two
things are told apart:

    late     a later delivery brought rows of days up to the night. The night knew what it knew, and
             made again it would be the same (docs/adr/0007); the nights from that delivery on have
             the rows.
    changed  a delivery that the night read was cleaned again to other rows since (a file of it came
             late or was corrected, rows were released): made again the night would have them. What
             a night read is in the lineage of its histories.

A row of an event can come late by `cleaning.late_horizon_days`; nights before that are settled.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets import ACTED, HISTORIES, RECOMMENDATIONS, source_of
from pipeline.encryption.parquet_files import open_parquet
from pipeline.lake import Lake, Partition
from pipeline.lineage import Lineage, inputs_upto, lineage_of
from pipeline.publishing.list_origin import input_of, is_degraded
from pipeline.retention.expired import expired_until

_LATE = {name: source_of(name) for name in ACTED}


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
        for night in lake.dates(RECOMMENDATIONS)
        if night >= oldest
        and (lists := lake.whole(RECOMMENDATIONS, night)) is not None
        and not is_degraded(lists)
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
        changed = reader.changed_since(lake.require(RECOMMENDATIONS, night))
        if rows or changed:
            found.append(Outdated(night, dict(rows), last, tuple(changed)))
    return found


class _Reader:
    """Compares what nights read with what the pointers name now, each pointer read once."""

    def __init__(self, lake: Lake, newest: dt.date) -> None:
        self._lake = lake
        self._expired = expired_until(lake)
        self._now = Lineage(inputs_upto(lake, _LATE, newest)).after(self._expired)

    def changed_since(self, lists: Partition) -> list[dt.date]:
        """Deliveries up to a night of which the lists were made from other rows."""
        then = lineage_of(input_of(self._lake, HISTORIES, lists))
        if then is None:
            return []
        then, now = then.after(self._expired), self._now.upto(lists.run_date)
        differing = then.other_inputs(now)
        return sorted(
            {
                day
                for name in _LATE
                if name in then.inputs
                for day in map(dt.date.fromisoformat, differing.get(name, ()))
                if not self._same(name, day, then, now)
            }
        )

    def _same(self, name: str, day: dt.date, then: Lineage, now: Lineage) -> bool:
        """Whether two directories hold the same rows: a day cleaned again mostly does."""
        old, new = (which.directory(name, day) for which in (then, now))
        if old is None or new is None:
            return False
        return _same_rows(*(self._lake.partition(name, day, which) for which in (old, new)))


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
    with open_parquet(one) as left, open_parquet(other) as right:
        return left.metadata.num_rows == right.metadata.num_rows and bool(
            left.read().equals(right.read())
        )
