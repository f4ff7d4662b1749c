"""Dataset rules that compare a delivery with the ones before it, as plain arithmetic.

A contract's `dataset_rules` name a rule by its expectation (`KINDS`); its `kwargs` are the fields
here. From the past a rule draws limits (`expect`), from the day what the limits hold (`observe`);
what compares the two is Great Expectations (`contracts.past_expectations`). No engine is imported.

Guarantees: where there is too little past to say what is usual, a rule gives `TooLittle` and
refuses nothing. Medians are compared with, so that one bad day in the past moves no limit.

Gives up: a change that creeps in over weeks is never seen, because the past moves along with it.
"""

from __future__ import annotations

import datetime as dt
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.contracts.day_profile import DayProfile
from pipeline.contracts.past_limits import (
    Expected,
    Limit,
    PastRule,
    SameWeekday,
    TooLittle,
    more_often,
    shares_of,
    usual_shares,
)

REFUSED_AS = "unknown_value"  # the reason of `contracts.row_checks` for a value that is not known
_A_HANDFUL = 20  # distinct values; fewer come and go by chance
_EXPECTED_ROWS = 20  # so many of a value expected, and none there, is no chance (e^-20)
_ANY_OTHER = "any other reason"

Past = Sequence[DayProfile]


@dataclass(frozen=True, kw_only=True)
class RowsLikeSameWeekday(SameWeekday):
    """Rows between `low` and `high` times the usual."""

    low: float
    high: float

    def expect(self, dataset: str, day: dt.date, past: Past) -> Expected | TooLittle:
        """The limit of `rows`."""
        alike = self.alike(dataset, day, past)
        if isinstance(alike, TooLittle):
            return alike
        usual = statistics.median(before.rows(dataset) or 0 for before in alike.deliveries)
        return Expected({"rows": Limit(usual, self.low * usual, self.high * usual)}, alike.basis)

    def observe(self, dataset: str, today: DayProfile, _expected: Expected) -> dict[str, float]:
        """Rows."""
        return {"rows": today.rows(dataset) or 0}

    def say(self, _name: str, value: float, expected: Expected) -> str:
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

    def expect(self, dataset: str, day: dt.date, past: Past) -> Expected | TooLittle:
        """Limits by column; a column that usually has a handful of values has none."""
        alike = self.alike(dataset, day, past)
        if isinstance(alike, TooLittle):
            return alike
        limits = {}
        for column in self.columns:
            seen = [before.of(dataset).get(column) for before in alike.deliveries]
            counts = [kept.distinct for kept in seen if kept and kept.distinct is not None]
            usual = statistics.median(counts) if counts else 0
            if usual >= _A_HANDFUL:
                limits[column] = Limit(usual, self.low * usual, self.high * usual)
        if not limits:
            return TooLittle(f"fewer than {_A_HANDFUL} different values are usual")
        return Expected(limits, alike.basis)

    def observe(self, dataset: str, today: DayProfile, _expected: Expected) -> dict[str, float]:
        """Different values by column."""
        return {
            column: kept.distinct
            for column, kept in today.of(dataset).items()
            if column in self.columns and kept.distinct is not None
        }

    def say(self, name: str, value: float, expected: Expected) -> str:
        """In values."""
        limit = expected.limits[name]
        return (
            f"{name} has about {value:,.0f} different values, usually {limit.usual:,.0f} "
            f"({expected.basis}), allowed are {limit.low:,.0f} to {limit.high:,.0f}"
        )


@dataclass(frozen=True, kw_only=True)
class NullSharesLikePast(PastRule):
    """The share of nulls of every column against its own past (`past_limits.more_often`)."""

    factor: float
    floor: float

    def expect(self, dataset: str, _day: dt.date, past: Past) -> Expected | TooLittle:
        """Limits by column; columns that are always null have none."""
        recent = self.recent(dataset, past)
        if isinstance(recent, TooLittle):
            return recent
        rows = statistics.median(before.rows(dataset) or 0 for before in recent.deliveries)
        limits = {}
        for column in recent.deliveries[-1].of(dataset):
            seen = [before.of(dataset).get(column) for before in recent.deliveries]
            usual = statistics.median(kept.nulls / kept.rows for kept in seen if kept)
            limit = more_often(usual, rows, self.factor, self.floor)
            if usual < 1:
                limits[column] = limit
        return Expected(limits, recent.basis)

    def observe(self, dataset: str, today: DayProfile, _expected: Expected) -> dict[str, float]:
        """Null shares by column."""
        return {
            column: kept.nulls / kept.rows
            for column, kept in today.of(dataset).items()
            if kept.rows
        }

    def say(self, name: str, value: float, expected: Expected) -> str:
        """In shares of the rows."""
        limit = expected.limits[name]
        return (
            f"{name} is null in {value:.1%} of the rows, usually {limit.usual:.1%} "
            f"({expected.basis}), allowed are up to {limit.high:.1%}"
        )


@dataclass(frozen=True, kw_only=True)
class RefusalsLikePast(PastRule):
    """The share of rows refused for each reason against its own past, as for nulls.

    What a column that must have a value lacks is seen here: those rows never get to the dataset.
    """

    factor: float
    floor: float

    def expect(self, dataset: str, _day: dt.date, past: Past) -> Expected | TooLittle:
        """Limits by reason, of every reason that there was; `any other reason` has the floor."""
        recent = self.recent(dataset, past)
        if isinstance(recent, TooLittle):
            return recent
        rows = statistics.median(before.rows(dataset) or 0 for before in recent.deliveries)
        days = [self._shares(dataset, before) for before in recent.deliveries]
        limits = {
            reason: more_often(
                statistics.median(day.get(reason, 0.0) for day in days),
                rows,
                self.factor,
                self.floor,
            )
            for reason in sorted({reason for day in days for reason in day})
        }
        return Expected({_ANY_OTHER: Limit(0, None, self.floor), **limits}, recent.basis)

    def observe(self, dataset: str, today: DayProfile, expected: Expected) -> dict[str, float]:
        """Shares by reason, the reasons that are new together."""
        shares = self._shares(dataset, today)
        new = {reason: share for reason, share in shares.items() if reason not in expected.limits}
        return {**shares, _ANY_OTHER: sum(new.values())}

    def say(self, name: str, value: float, expected: Expected) -> str:
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
class SharesLikePast(PastRule):
    """How far a column's shares by value have moved: the total variation distance, 0 to 1."""

    column: str
    distance: float

    def expect(self, dataset: str, _day: dt.date, past: Past) -> Expected | TooLittle:
        """The limit of the distance, and the usual share of each value, which has no limit."""
        recent = self.recent(dataset, past)
        if isinstance(recent, TooLittle):
            return recent
        usual = usual_shares(dataset, self.column, recent.deliveries)
        if not usual:
            return TooLittle(f"{self.column} had no value before")
        shares = {value: Limit(share) for value, share in usual.items()}
        return Expected({self.column: Limit(0, None, self.distance), **shares}, recent.basis)

    def observe(self, dataset: str, today: DayProfile, expected: Expected) -> dict[str, float]:
        """The distance, less what chance makes of few rows."""
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

    def say(self, name: str, value: float, expected: Expected) -> str:
        """The distance in words; the shares are remarked on."""
        shares = f"{value:.1%} of the rows have another {name} than is usual ({expected.basis})"
        return f"{shares}, allowed are up to {self.distance:.1%}"


@dataclass(frozen=True, kw_only=True)
class ValuesLikePast(PastRule):
    """A renamed or new value: a usual one is gone, or rows were refused for one nobody knows."""

    column: str
    fewest_share: float
    unknown_share: float
    factor: float = 3.0

    @property
    def refused_as(self) -> str:
        """What a row with a value that nobody knows is refused for."""
        return f"{self.column}_{REFUSED_AS}"

    def expect(self, dataset: str, _day: dt.date, past: Past) -> Expected | TooLittle:
        """The usual values, each of which must be there, and the most rows that may be refused."""
        recent = self.recent(dataset, past)
        if isinstance(recent, TooLittle):
            return recent
        days = [shares_of(before.of(dataset).get(self.column)) for before in recent.deliveries]
        limits = {
            value: Limit(share, math.ulp(0.0))
            for value, share in usual_shares(dataset, self.column, recent.deliveries).items()
            # One that only some days have may be missing from any.
            if share >= self.fewest_share and all(value in day for day in days)
        }
        refused = statistics.median(self._refused(dataset, before) for before in recent.deliveries)
        most = max(self.unknown_share, self.factor * refused)
        return Expected({self.refused_as: Limit(refused, None, most), **limits}, recent.basis)

    def observe(self, dataset: str, today: DayProfile, expected: Expected) -> dict[str, float]:
        """The share refused, and each usual value's. Of few rows nothing need be missed."""
        shares = shares_of(today.of(dataset).get(self.column))
        rows = today.rows(dataset) or 0
        found = {
            value: shares.get(value, 0.0)
            for value, limit in expected.limits.items()
            if limit.usual * rows >= _EXPECTED_ROWS
        }
        return {**found, self.refused_as: self._refused(dataset, today)}

    def say(self, name: str, value: float, expected: Expected) -> str:
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
        """The words that nobody knows."""
        words = today.refused(dataset, self.refused_as).counts
        named = ", ".join(f"{word!r} ({rows:,} rows)" for word, rows in words.items())
        return f"unknown words are {named}" if named else ""

    def _refused(self, dataset: str, profile: DayProfile) -> float:
        refused = profile.refused(dataset, self.refused_as).rows
        return refused / max(1, refused + (profile.rows(dataset) or 0))


@dataclass(frozen=True, kw_only=True)
class NewestLikeSameWeekday(SameWeekday):
    """How long before the day's end the newest row was: at most `hours_more` than usual.

    Shops close, and some write dates without a time: what is usual is the past's, per weekday.
    """

    column: str
    hours_more: float

    def expect(self, dataset: str, day: dt.date, past: Past) -> Expected | TooLittle:
        """The most hours."""
        alike = self.alike(dataset, day, past)
        if isinstance(alike, TooLittle):
            return alike
        found = [self._hours(dataset, before) for before in alike.deliveries]
        hours = [age for age in found if age is not None]
        if not hours:
            return TooLittle(f"no earlier delivery has a {self.column}")
        usual = statistics.median(hours)
        return Expected({"hours": Limit(usual, None, usual + self.hours_more)}, alike.basis)

    def observe(self, dataset: str, today: DayProfile, _expected: Expected) -> dict[str, float]:
        """Hours from the newest row to the day's end."""
        hours = self._hours(dataset, today)
        return {} if hours is None else {"hours": hours}

    def say(self, _name: str, value: float, expected: Expected) -> str:
        """In hours."""
        limit = expected.limits["hours"]
        return (
            f"the newest {self.column} is {value:.1f} hours before the day's end, usually "
            f"{limit.usual:.1f} ({expected.basis}), allowed are up to {limit.high:.1f}"
        )

    def _hours(self, dataset: str, profile: DayProfile) -> float | None:
        kept = profile.of(dataset).get(self.column)
        if kept is None or kept.latest is None:
            return None
        return (profile.day_end - kept.latest).total_seconds() / 3600


KINDS: Mapping[str, type[Any]] = {
    "expect_rows_like_same_weekday": RowsLikeSameWeekday,
    "expect_distinct_like_same_weekday": DistinctLikeSameWeekday,
    "expect_null_shares_like_past": NullSharesLikePast,
    "expect_refusals_like_past": RefusalsLikePast,
    "expect_shares_like_past": SharesLikePast,
    "expect_values_like_past": ValuesLikePast,
    "expect_newest_like_same_weekday": NewestLikeSameWeekday,
}


def past_rule(expectation: str, kwargs: Mapping[str, Any]) -> PastRule:
    """The rule that a contract names.

    Raises:
        TypeError: arguments that the rule does not take, or lacks.
    """
    lists = {
        key: tuple(value) if isinstance(value, list) else value for key, value in kwargs.items()
    }
    rule: PastRule = KINDS[expectation](**lists)
    return rule
