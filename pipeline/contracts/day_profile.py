"""The profile of a delivery: the counts that later deliveries are compared with.

These are the rows of the dataset `profiles`, by day. Standard library only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.datasets import QUARANTINE, source_of


@dataclass(frozen=True)
class ProfileCounts:
    """The counts of one column of one delivery."""

    rows: int
    nulls: int = 0
    distinct: int | None = None  # approximate
    counts: Mapping[str, int] = field(default_factory=dict)
    latest: dt.datetime | None = None


@dataclass(frozen=True)
class DayProfile:
    """The counts of one delivery by (dataset, column).

    The column of refused rows, dataset `quarantine`, is `<dataset>.<reason>`.
    """

    day: dt.date
    day_end: dt.datetime  # exclusive, in the shop's zone
    columns: Mapping[tuple[str, str], ProfileCounts]

    def of(self, dataset: str) -> dict[str, ProfileCounts]:
        """A dataset's counts by column; empty if it was not delivered or not measured."""
        return {
            column: counts for (name, column), counts in self.columns.items() if name == dataset
        }

    def rows(self, dataset: str) -> int | None:
        """Rows of a dataset; none if it was not measured."""
        return next((counts.rows for counts in self.of(dataset).values()), None)

    def refused(self, dataset: str, reason: str) -> ProfileCounts:
        """Rows that were refused for a reason; `counts` are the words that they had."""
        name = dataset.removeprefix("cleaned_")
        return self.columns.get((QUARANTINE, f"{name}.{reason}"), ProfileCounts(0))

    def refusals(self, dataset: str) -> dict[str, int]:
        """Rows of a dataset that were refused, by reason."""
        name = f"{source_of(dataset)}."
        return {
            column.removeprefix(name): counts.rows
            for column, counts in self.of(QUARANTINE).items()
            if column.startswith(name)
        }


def profile_counts(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], ProfileCounts]:
    """Rows of `profiles`, by dataset and column."""
    return {
        (row["dataset"], row["column"]): ProfileCounts(
            rows=row["rows"],
            nulls=row["nulls"],
            distinct=row["distinct"],
            counts=dict(row["counts"] or {}),
            latest=row["latest"],
        )
        for row in rows
    }
