"""Drift of values: a usual value is gone, or rows were refused for a value that is not known."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from pipeline.contracts.day_profile import DayProfile
from pipeline.contracts.drift_limits import (
    Comparable,
    DriftRule,
    Expected,
    Limit,
    TooLittle,
    shares_of,
    usual_shares,
)

REFUSED_AS = "unknown_value"  # the reason of `contracts.row_checks` for a value that is not known
_EXPECTED_ROWS = 20  # so many of a value expected, and none there, is no chance (e^-20)


@dataclass(frozen=True, kw_only=True)
class ValuesLikePast(DriftRule):
    """A renamed or new value: a usual one is gone, or rows were refused for an unknown one."""

    column: str
    fewest_share: float
    unknown_share: float
    factor: float = 3.0

    @property
    def refused_as(self) -> str:
        """The reason that a row with an unknown value is refused for."""
        return f"{self.column}_{REFUSED_AS}"

    def limits(self, dataset: str, like: Comparable) -> Expected | TooLittle:
        """The usual values, each of which must be there, and the most rows that may be refused."""
        days = [shares_of(before.of(dataset).get(self.column)) for before in like.deliveries]
        limits = {
            value: Limit(share, math.ulp(0.0))
            for value, share in usual_shares(dataset, self.column, like.deliveries).items()
            # A value that only some days have may be missing on any day.
            if share >= self.fewest_share and all(value in day for day in days)
        }
        refused = statistics.median(self._refused(dataset, before) for before in like.deliveries)
        most = max(self.unknown_share, self.factor * refused)
        return Expected({self.refused_as: Limit(refused, None, most), **limits}, like.basis)

    def observe(self, dataset: str, today: DayProfile, expected: Expected) -> dict[str, float]:
        """The share refused, and the share of each usual value that so many rows should have."""
        shares = shares_of(today.of(dataset).get(self.column))
        rows = today.rows(dataset) or 0
        found = {
            value: shares.get(value, 0.0)
            for value, limit in expected.limits.items()
            if limit.usual * rows >= _EXPECTED_ROWS
        }
        return {**found, self.refused_as: self._refused(dataset, today)}

    def describe(self, name: str, value: float, expected: Expected) -> str:
        """What is missing, or was refused."""
        limit = expected.limits[name]
        if name == self.refused_as:
            return (
                f"{value:.1%} of the rows were refused as {name}, usually {limit.usual:.1%} "
                f"({expected.basis}), allowed are up to {limit.high:.1%}"
            )
        share = f"{value:.1%} of the rows have" if value else "no row has"
        return f"{share} {self.column} {name}, usually {limit.usual:.1%} ({expected.basis})"

    def remark(self, dataset: str, today: DayProfile, _expected: Expected) -> str:
        """The unknown words, with their rows."""
        words = today.refused(dataset, self.refused_as).counts
        named = ", ".join(f"{word!r} ({rows:,} rows)" for word, rows in words.items())
        return f"unknown words are {named}" if named else ""

    def _refused(self, dataset: str, profile: DayProfile) -> float:
        refused = profile.refused(dataset, self.refused_as).rows
        return refused / max(1, refused + (profile.rows(dataset) or 0))
