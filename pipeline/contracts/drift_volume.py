"""Drift of volume: rows and different values, compared with the same weekday's usual number."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from pipeline.contracts.day_profile import DayProfile
from pipeline.contracts.drift_limits import Comparable, Expected, Limit, SameWeekday, TooLittle

_A_HANDFUL = 20  # distinct values; fewer come and go by chance


@dataclass(frozen=True, kw_only=True)
class RowsLikeSameWeekday(SameWeekday):
    """Rows between `low` and `high` times the usual."""

    low: float
    high: float

    def limits(self, dataset: str, like: Comparable) -> Expected | TooLittle:
        """The limit of `rows`."""
        usual = statistics.median(before.rows(dataset) or 0 for before in like.deliveries)
        return Expected({"rows": Limit(usual, self.low * usual, self.high * usual)}, like.basis)

    def observe(self, dataset: str, today: DayProfile, _expected: Expected) -> dict[str, float]:
        """Rows."""
        return {"rows": today.rows(dataset) or 0}

    def describe(self, _name: str, value: float, expected: Expected) -> str:
        """In rows, and as a share of the usual."""
        limit = expected.limits["rows"]
        return (
            f"{value:,.0f} rows, {value / limit.usual:.0%} of the usual {limit.usual:,.0f} "
            f"({expected.basis}), allowed are {limit.low:,.0f} to {limit.high:,.0f}"
        )


@dataclass(frozen=True, kw_only=True)
class DistinctLikeSameWeekday(SameWeekday):
    """Different values of some columns between `low` and `high` times the usual."""

    columns: tuple[str, ...]
    low: float
    high: float

    def limits(self, dataset: str, like: Comparable) -> Expected | TooLittle:
        """Limits by column; a column that usually has a handful of values has none."""
        limits = {}
        for column in self.columns:
            seen = [before.of(dataset).get(column) for before in like.deliveries]
            numbers = [counts.distinct for counts in seen if counts and counts.distinct is not None]
            usual = statistics.median(numbers) if numbers else 0
            if usual >= _A_HANDFUL:
                limits[column] = Limit(usual, self.low * usual, self.high * usual)
        if not limits:
            return TooLittle(f"fewer than {_A_HANDFUL} different values are usual")
        return Expected(limits, like.basis)

    def observe(self, dataset: str, today: DayProfile, _expected: Expected) -> dict[str, float]:
        """Different values by column."""
        return {
            column: counts.distinct
            for column, counts in today.of(dataset).items()
            if column in self.columns and counts.distinct is not None
        }

    def describe(self, name: str, value: float, expected: Expected) -> str:
        """In values."""
        limit = expected.limits[name]
        return (
            f"{name} has about {value:,.0f} different values, usually {limit.usual:,.0f} "
            f"({expected.basis}), allowed are {limit.low:,.0f} to {limit.high:,.0f}"
        )
