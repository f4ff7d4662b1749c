"""Drift of shares: nulls by column, refused rows by reason, rows by value of a column."""

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
    more_often,
    shares_of,
    usual_shares,
)

_ANY_OTHER = "any other reason"


@dataclass(frozen=True, kw_only=True)
class NullSharesLikePast(DriftRule):
    """The share of nulls of every column against its own past (`drift_limits.more_often`)."""

    factor: float
    floor: float

    def limits(self, dataset: str, like: Comparable) -> Expected | TooLittle:
        """Limits by column; columns that are always null have none."""
        rows = statistics.median(before.rows(dataset) or 0 for before in like.deliveries)
        limits = {}
        for column in like.deliveries[-1].of(dataset):
            seen = [before.of(dataset).get(column) for before in like.deliveries]
            usual = statistics.median(counts.nulls / counts.rows for counts in seen if counts)
            limit = more_often(usual, rows, self.factor, self.floor)
            if usual < 1:
                limits[column] = limit
        return Expected(limits, like.basis)

    def observe(self, dataset: str, today: DayProfile, _expected: Expected) -> dict[str, float]:
        """Null shares by column."""
        return {
            column: counts.nulls / counts.rows
            for column, counts in today.of(dataset).items()
            if counts.rows
        }

    def describe(self, name: str, value: float, expected: Expected) -> str:
        """In shares of the rows."""
        limit = expected.limits[name]
        return (
            f"{name} is null in {value:.1%} of the rows, usually {limit.usual:.1%} "
            f"({expected.basis}), allowed are up to {limit.high:.1%}"
        )


@dataclass(frozen=True, kw_only=True)
class RefusalsLikePast(DriftRule):
    """The share of rows refused for each reason against its own past, as for nulls.

    Missing values of a column that must have one are seen here: those rows never get to the
    dataset.
    """

    factor: float
    floor: float

    def limits(self, dataset: str, like: Comparable) -> Expected | TooLittle:
        """Limits by reason, for every earlier reason; `any other reason` has the floor."""
        rows = statistics.median(before.rows(dataset) or 0 for before in like.deliveries)
        days = [self._shares(dataset, before) for before in like.deliveries]
        limits = {
            reason: more_often(
                statistics.median(day.get(reason, 0.0) for day in days),
                rows,
                self.factor,
                self.floor,
            )
            for reason in sorted({reason for day in days for reason in day})
        }
        return Expected({_ANY_OTHER: Limit(0, None, self.floor), **limits}, like.basis)

    def observe(self, dataset: str, today: DayProfile, expected: Expected) -> dict[str, float]:
        """Shares by reason; new reasons are summed up."""
        shares = self._shares(dataset, today)
        new = {reason: share for reason, share in shares.items() if reason not in expected.limits}
        return {**shares, _ANY_OTHER: sum(new.values())}

    def describe(self, name: str, value: float, expected: Expected) -> str:
        """In shares of the rows."""
        limit = expected.limits[name]
        return (
            f"{value:.1%} of the rows were refused as {name}, usually {limit.usual:.1%} "
            f"({expected.basis}), allowed are up to {limit.high:.1%}"
        )

    def remark(self, dataset: str, today: DayProfile, _expected: Expected) -> str:
        """All reasons of the day, the most frequent first."""
        shares = sorted(self._shares(dataset, today).items(), key=lambda entry: -entry[1])
        return "refused were " + ", ".join(f"{reason} {share:.1%}" for reason, share in shares[:4])

    def _shares(self, dataset: str, profile: DayProfile) -> dict[str, float]:
        refused = profile.refusals(dataset)
        rows = (profile.rows(dataset) or 0) + sum(refused.values())
        return {reason: count / rows for reason, count in refused.items()}


@dataclass(frozen=True, kw_only=True)
class SharesLikePast(DriftRule):
    """How far a column's shares by value have moved: the total variation distance, 0 to 1."""

    column: str
    distance: float

    def limits(self, dataset: str, like: Comparable) -> Expected | TooLittle:
        """The limit of the distance, and the usual share of each value, which has no limit."""
        usual = usual_shares(dataset, self.column, like.deliveries)
        if not usual:
            return TooLittle(f"{self.column} had no value before")
        shares = {value: Limit(share) for value, share in usual.items()}
        return Expected({self.column: Limit(0, None, self.distance), **shares}, like.basis)

    def observe(self, dataset: str, today: DayProfile, expected: Expected) -> dict[str, float]:
        """The distance, minus what chance makes of few rows."""
        shares = shares_of(today.of(dataset).get(self.column))
        values = (shares.keys() | expected.limits.keys()) - {self.column}
        usual = {value: limit.usual for value, limit in expected.limits.items()}
        apart = sum(abs(shares.get(value, 0) - usual.get(value, 0)) for value in values) / 2
        chance = math.sqrt(len(values) / max(1, today.rows(dataset) or 0)) / 2
        return {self.column: max(0.0, apart - chance)}

    def remark(self, dataset: str, today: DayProfile, expected: Expected) -> str:
        """The values that moved most, with their shares."""
        shares = shares_of(today.of(dataset).get(self.column))
        usual = {v: limit.usual for v, limit in expected.limits.items() if v != self.column}
        moved = sorted(
            shares.keys() | usual.keys(),
            key=lambda value: (-abs(shares.get(value, 0) - usual.get(value, 0)), value),
        )
        return ", ".join(
            f"{value} {shares.get(value, 0):.1%} (usually {usual.get(value, 0):.1%})"
            for value in moved[:3]
        )

    def describe(self, name: str, value: float, expected: Expected) -> str:
        """The distance in words; the shares are remarked on."""
        shares = f"{value:.1%} of the rows have another {name} than is usual ({expected.basis})"
        return f"{shares}, allowed are up to {self.distance:.1%}"
