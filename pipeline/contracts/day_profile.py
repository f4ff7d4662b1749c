"""What a delivery was like: the small counts that the next ones are compared with.

The rows of the dataset `profiles`, by day. Standard library only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

QUARANTINE = "quarantine"


@dataclass(frozen=True)
class Figures:
    """What a profile keeps of one column of one delivery."""

    rows: int
    nulls: int = 0
    distinct: int | None = None  # about
    counts: Mapping[str, int] = field(default_factory=dict)
    latest: dt.datetime | None = None


@dataclass(frozen=True)
class DayProfile:
    """Figures by (dataset, column) of one delivery.

    Of refused rows, dataset `quarantine`, the column is `<dataset>.<reason>`.
    """

    day: dt.date
    day_end: dt.datetime  # exclusive, in the shop's zone
    figures: Mapping[tuple[str, str], Figures]

    def of(self, dataset: str) -> dict[str, Figures]:
        """A dataset's figures by column; empty if it was not delivered or not measured."""
        return {column: kept for (name, column), kept in self.figures.items() if name == dataset}

    def rows(self, dataset: str) -> int | None:
        """Rows of a dataset; none if it was not measured."""
        return next((kept.rows for kept in self.of(dataset).values()), None)

    def refused(self, dataset: str, reason: str) -> Figures:
        """Rows that were refused for a reason; `counts` are the words that they had."""
        name = dataset.removeprefix("cleaned_")
        return self.figures.get((QUARANTINE, f"{name}.{reason}"), Figures(0))

    def refusals(self, dataset: str) -> dict[str, int]:
        """Rows of a dataset that were refused, by reason."""
        name = dataset.removeprefix("cleaned_") + "."
        return {
            column.removeprefix(name): kept.rows
            for column, kept in self.of(QUARANTINE).items()
            if column.startswith(name)
        }


def profile_figures(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Figures]:
    """Rows of `profiles`, by dataset and column."""
    return {
        (row["dataset"], row["column"]): Figures(
            rows=row["rows"],
            nulls=row["nulls"],
            distinct=row["distinct"],
            counts=dict(row["counts"] or {}),
            latest=row["latest"],
        )
        for row in rows
    }
