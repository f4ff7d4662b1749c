"""Which past deliveries a day is compared with, and the limits that they give.

Pure arithmetic over `DayProfile`s. Guarantees: too little past gives `TooLittle`, never a limit.
"""

from __future__ import annotations

import datetime as dt
import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.contracts.day_profile import DayProfile, ProfileCounts

_WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


@dataclass(frozen=True)
class Limit:
    """A figure's usual value, and the bounds that it may lie in."""

    usual: float
    low: float | None = None
    high: float | None = None

    def holds(self, value: float) -> bool:
        """Whether a figure is within the limit."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True)
class Expected:
    """Limits by the figure that they limit, and the deliveries behind them, in words."""

    limits: Mapping[str, Limit]
    basis: str


@dataclass(frozen=True)
class TooLittle:
    """There is too little past to evaluate a rule; `reason` says how much is missing."""

    reason: str


@dataclass(frozen=True)
class Comparable:
    """Deliveries that a day may be compared with, and a name for them."""

    deliveries: Sequence[DayProfile]
    basis: str


@dataclass(frozen=True)
class DriftResult:
    """Whether a rule holds for a day, and what was found in words."""

    holds: bool
    found: str


@dataclass(frozen=True, kw_only=True)
class DriftRule(ABC):
    """A rule that compares a day with the last deliveries that had rows."""

    days: int = 28
    fewest_days: int = 5
    fewest_rows: int = 50  # usual rows; below, shares and factors say nothing

    def expect(
        self, dataset: str, day: dt.date, past: Sequence[DayProfile]
    ) -> Expected | TooLittle:
        """Limits for a day from the deliveries before it, oldest first."""
        like = self.comparable(dataset, day, past)
        return like if isinstance(like, TooLittle) else self.limits(dataset, like)

    @abstractmethod
    def limits(self, dataset: str, like: Comparable) -> Expected | TooLittle:
        """Limits for a day from the deliveries that it is compared with."""

    @abstractmethod
    def observe(self, dataset: str, today: DayProfile, expected: Expected) -> dict[str, float]:
        """The day's figures, by the names of the limits; a missing figure is not checked."""

    @abstractmethod
    def describe(self, name: str, value: float, expected: Expected) -> str:
        """A figure and its limit in words."""

    def remark(self, _dataset: str, _today: DayProfile, _expected: Expected) -> str:
        """More about a day that breaks the rule; empty: nothing."""
        return ""

    def check(self, dataset: str, today: DayProfile, expected: Expected) -> DriftResult:
        """Compare a day with its limits."""
        observed = self.observe(dataset, today, expected)
        held = {name: value for name, value in observed.items() if name in expected.limits}
        broken = [name for name, value in held.items() if not expected.limits[name].holds(value)]
        if broken:
            found = [self.describe(name, held[name], expected) for name in broken]
            remark = self.remark(dataset, today, expected)
            return DriftResult(False, "; ".join([*found, remark] if remark else found))
        limited = [n for n in held if expected.limits[n].low or expected.limits[n].high]
        return DriftResult(
            True, "; ".join(self.describe(name, held[name], expected) for name in limited)
        )

    def comparable(
        self, dataset: str, _day: dt.date, past: Sequence[DayProfile]
    ) -> Comparable | TooLittle:
        """The last deliveries, if there are enough of them with enough rows."""
        found = [before for before in past if before.rows(dataset)][-self.days :]
        if len(found) < self.fewest_days:
            return TooLittle(
                f"{len(found)} earlier deliveries are there to compare with, "
                f"{self.fewest_days} are needed"
            )
        return self._with_rows(dataset, found, "deliveries")

    def _with_rows(
        self, dataset: str, found: Sequence[DayProfile], which: str
    ) -> Comparable | TooLittle:
        usual = statistics.median(before.rows(dataset) or 0 for before in found)
        if usual < self.fewest_rows:
            return TooLittle(f"{usual:,.0f} rows are usual, {self.fewest_rows} are needed")
        return Comparable(found, f"median of the last {len(found)} {which}")


@dataclass(frozen=True, kw_only=True)
class SameWeekday(DriftRule):
    """A rule that compares with the last same weekdays, or with the last days if those are few."""

    days: int = 14
    weekdays: int = 4
    fewest_weekdays: int = 3

    def comparable(
        self, dataset: str, day: dt.date, past: Sequence[DayProfile]
    ) -> Comparable | TooLittle:
        """The deliveries most like a day, if there are enough of them with enough rows."""
        same = [before for before in past if before.day.weekday() == day.weekday()]
        same = [before for before in same if before.rows(dataset) is not None][-self.weekdays :]
        if len(same) < self.fewest_weekdays:
            return super().comparable(dataset, day, past)
        return self._with_rows(dataset, same, _WEEKDAYS[day.weekday()])


def more_often(usual: float, rows: float, factor: float, floor: float) -> Limit:
    """The limit of a share: it must not become `factor` times the usual.

    Where the share is large already, the rest of the rows must not be divided by the factor. The
    limit is never below `floor`, nor below what chance makes of the usual in so many rows.
    """
    chance = 4 * math.sqrt(usual * (1 - usual) / rows)
    more = min(factor * usual, 1 - (1 - usual) / factor)
    return Limit(usual, None, max(more, floor, usual + chance))


def shares_of(column: ProfileCounts | None) -> dict[str, float]:
    """The share of each value among the rows that have one."""
    if column is None or not sum(column.counts.values()):
        return {}
    total = sum(column.counts.values())
    return {value: count / total for value, count in column.counts.items() if count}


def usual_shares(dataset: str, column: str, past: Sequence[DayProfile]) -> dict[str, float]:
    """Medians of the shares; they need not add up to one exactly."""
    days = [shares_of(before.of(dataset).get(column)) for before in past]
    values = sorted({value for shares in days for value in shares})
    return {value: statistics.median(shares.get(value, 0.0) for shares in days) for value in values}
