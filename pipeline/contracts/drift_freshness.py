"""Drift of freshness: the newest row is older, at the day's end, than is usual on that weekday."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from pipeline.contracts.day_profile import DayProfile
from pipeline.contracts.drift_limits import Comparable, Expected, Limit, SameWeekday, TooLittle


@dataclass(frozen=True, kw_only=True)
class NewestLikeSameWeekday(SameWeekday):
    """How long before the day's end the newest row was: at most `hours_more` than usual.

    Shops close, and some write dates without a time, so the usual hours are those of the weekday.
    """

    column: str
    hours_more: float

    def limits(self, dataset: str, like: Comparable) -> Expected | TooLittle:
        """The most hours."""
        found = [self._hours(dataset, before) for before in like.deliveries]
        hours = [age for age in found if age is not None]
        if not hours:
            return TooLittle(f"no earlier delivery has a {self.column}")
        usual = statistics.median(hours)
        return Expected({"hours": Limit(usual, None, usual + self.hours_more)}, like.basis)

    def observe(self, dataset: str, today: DayProfile, _expected: Expected) -> dict[str, float]:
        """Hours from the newest row to the day's end."""
        hours = self._hours(dataset, today)
        return {} if hours is None else {"hours": hours}

    def describe(self, _name: str, value: float, expected: Expected) -> str:
        """In hours."""
        limit = expected.limits["hours"]
        return (
            f"the newest {self.column} is {value:.1f} hours before the day's end, usually "
            f"{limit.usual:.1f} ({expected.basis}), allowed are up to {limit.high:.1f}"
        )

    def _hours(self, dataset: str, profile: DayProfile) -> float | None:
        counts = profile.of(dataset).get(self.column)
        if counts is None or counts.latest is None:
            return None
        return (profile.day_end - counts.latest).total_seconds() / 3600
