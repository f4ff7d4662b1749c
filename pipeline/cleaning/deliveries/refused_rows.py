"""What quarantine holds: rows by dataset, reason and delivery day, and a few samples.

Reads the current quarantine partitions of the lake without an engine, and only as many whole rows
as are shown. A file that could not be read counts as the rows that it stands for.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.datasets import QUARANTINE
from pipeline.encryption.parquet_files import open_parquet
from pipeline.lake import Lake, Partition


@dataclass(frozen=True)
class RefusedFilter:
    """Which refused rows are asked for; an empty name, or no date, means any."""

    dataset: str = ""
    reason: str = ""
    first: dt.date | None = None
    last: dt.date | None = None

    def days(self, lake: Lake) -> list[dt.date]:
        """Delivery days in the lake that the filter lets through, ascending."""
        return [
            day for day in lake.dates(QUARANTINE, self.last) if not self.first or day >= self.first
        ]


@dataclass
class Refusal:
    """The rows of one dataset that were refused for one reason."""

    dataset: str
    reason: str
    days: dict[dt.date, int] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Over all days."""
        return sum(self.days.values())


def refusals(lake: Lake, wanted: RefusedFilter, samples: int = 0) -> list[Refusal]:
    """What was refused, the most rows first, with rows of the newest days as samples."""
    found: dict[tuple[str, str], Refusal] = {}
    for day in reversed(wanted.days(lake)):
        partition = lake.require(QUARANTINE, day)
        for (dataset, reason), rows in sorted(_counts(partition).items()):
            if wanted.dataset not in ("", dataset) or wanted.reason not in ("", reason):
                continue
            refusal = found.setdefault((dataset, reason), Refusal(dataset, reason))
            refusal.days[day] = rows
            if len(refusal.samples) < samples:
                refusal.samples += _samples(partition, refusal, samples - len(refusal.samples))
    for refusal in found.values():
        refusal.days = dict(sorted(refusal.days.items()))
    return sorted(found.values(), key=lambda found: (-found.rows, found.dataset, found.reason))


def _counts(partition: Partition) -> dict[tuple[str, str], int]:
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    for batch in _batches(partition, ["dataset", "reason", "rows"]):
        table = pa.Table.from_batches([batch]).group_by(["dataset", "reason"])
        for group in table.aggregate([("rows", "sum")]).to_pylist():
            counts[group["dataset"], group["reason"]] += group["rows_sum"]
    return counts


def _samples(partition: Partition, refusal: Refusal, wanted: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for batch in _batches(partition, ["dataset", "reason", "file", "raw"]):
        same = (pc.field("dataset") == refusal.dataset) & (pc.field("reason") == refusal.reason)
        for row in (
            pa.Table.from_batches([batch]).filter(same).slice(0, wanted - len(rows)).to_pylist()
        ):
            day = partition.run_date.isoformat()
            rows.append({"run_date": day, "file": row["file"], "raw": row["raw"]})
        if len(rows) == wanted:
            break
    return rows


def _batches(partition: Partition, columns: list[str]) -> Iterator[pa.RecordBatch]:
    for path in partition.files:
        with open_parquet(path) as file:
            yield from file.iter_batches(columns=columns)
