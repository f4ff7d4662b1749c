"""Rules that compare with the past: hand-computed limits, and a real shop's year."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.contracts.contract import contract_files, load_contract
from pipeline.contracts.day_profile import QUARANTINE, DayProfile, ProfileCounts
from pipeline.contracts.drift_limits import DriftResult, Expected, TooLittle
from pipeline.contracts.drift_rules import KINDS, drift_rule

EVENTS = "cleaned_events"
MONDAY = dt.date(2026, 3, 2)


def profile(day: dt.date, rows: int = 100, refused: int = 0, **column: Any) -> DayProfile:
    """A day with one column `c`, and rows refused for an unknown `c`."""
    end = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), tzinfo=dt.UTC)
    columns = {(EVENTS, "c"): ProfileCounts(rows, **column)}
    if refused:
        words = {"sale": refused}
        columns[QUARANTINE, "events.c_unknown_value"] = ProfileCounts(refused, counts=words)
    return DayProfile(day, end, columns)


def days_before(n: int, make: Callable[[int], DayProfile] | None = None) -> list[DayProfile]:
    """`n` days before MONDAY, oldest first; `make` is given how many days before."""
    made = make or (lambda back: profile(MONDAY - dt.timedelta(days=back)))
    return [made(back) for back in range(n, 0, -1)]


def checked(
    expectation: str, today: DayProfile, past: list[DayProfile], **kwargs: Any
) -> DriftResult:
    rule = drift_rule(expectation, kwargs)
    expected = rule.expect(EVENTS, today.day, past)
    assert isinstance(expected, Expected), expected
    return rule.check(EVENTS, today, expected)


def ago(back: int) -> dt.date:
    return MONDAY - dt.timedelta(days=back)


VOLUME = {"low": 0.25, "high": 4.0}


def test_rows_are_compared_with_the_same_weekday() -> None:
    # Mondays have 400, 500, 600, 700 rows, other days 10,000.
    mondays = {7: 400, 14: 500, 21: 600, 28: 700}
    past = days_before(28, lambda back: profile(ago(back), mondays.get(back, 10_000)))
    for rows, holds in ((137, False), (138, True), (2200, True), (2201, False)):
        found = checked("expect_rows_like_same_weekday", profile(MONDAY, rows), past, **VOLUME)
        assert found.holds is holds, rows
        assert "of the usual 550 (median of the last 4 Mondays), allowed are 138 to 2,200" in (
            found.found
        )


def test_with_few_same_weekdays_the_last_days_count() -> None:
    past = days_before(14, lambda back: profile(ago(back), 100 + back))
    found = checked("expect_rows_like_same_weekday", profile(MONDAY, 20), past, **VOLUME)
    assert not found.holds
    assert "usual 108 (median of the last 14 deliveries)" in found.found


@pytest.mark.parametrize(
    ("past", "reason"),
    [
        (days_before(4), "4 earlier deliveries are there to compare with, 5 are needed"),
        (days_before(9, lambda back: profile(ago(back), 49)), "49 rows are usual, 50 are needed"),
        # Deliveries of nothing are no past for shares.
        (days_before(9, lambda back: profile(ago(back), 0 if back < 6 else 90)), "4 earlier"),
    ],
)
@pytest.mark.parametrize("expectation", sorted(KINDS))
def test_too_little_past_refuses_nothing(
    expectation: str, past: list[DayProfile], reason: str
) -> None:
    shipped = next(
        rule
        for name in contract_files()
        for rule in load_contract(name.split(".")[0]).dataset_rules
        if rule.expectation == expectation
    )
    expected = drift_rule(expectation, shipped.kwargs).expect(EVENTS, MONDAY, past)
    assert isinstance(expected, TooLittle)
    assert reason in expected.reason


def test_nulls_may_not_become_a_multiple_of_the_usual() -> None:
    past = days_before(10, lambda back: profile(ago(back), 10_000, nulls=2000))
    for nulls, holds in ((4000, True), (4001, False)):
        today = profile(MONDAY, 10_000, nulls=nulls)
        found = checked("expect_null_shares_like_past", today, past, factor=2.0, floor=0.05)
        assert found.holds is holds, nulls
    assert "c is null in 40.0% of the rows, usually 20.0%" in found.found


def test_a_column_that_is_mostly_null_may_not_lose_half_of_its_values() -> None:
    past = days_before(10, lambda back: profile(ago(back), 10_000, nulls=8000))
    for nulls, holds in ((9000, True), (9001, False)):
        today = profile(MONDAY, 10_000, nulls=nulls)
        found = checked("expect_null_shares_like_past", today, past, factor=2.0, floor=0.05)
        assert found.holds is holds, nulls


def test_few_nulls_stay_below_the_floor_and_few_rows_are_left_to_chance() -> None:
    full = days_before(10, lambda back: profile(ago(back), 10_000))
    rule = {"factor": 2.0, "floor": 0.05}
    kind = "expect_null_shares_like_past"
    assert checked(kind, profile(MONDAY, 10_000, nulls=500), full, **rule).holds
    assert not checked(kind, profile(MONDAY, 10_000, nulls=501), full, **rule).holds
    # Of 100 rows 10 % are 10 ± 3; four of those deviations are allowed: 22.
    small = days_before(10, lambda back: profile(ago(back), 100, nulls=10))
    assert checked(kind, profile(MONDAY, 100, nulls=22), small, **rule).holds
    assert not checked(kind, profile(MONDAY, 100, nulls=23), small, **rule).holds


def test_distinct_values_are_compared_with_the_usual() -> None:
    past = days_before(10, lambda back: profile(ago(back), 5000, distinct=1000))
    rule = {"columns": ["c"], "low": 0.2, "high": 5.0}
    for distinct, holds in ((199, False), (200, True), (5000, True), (5001, False)):
        today = profile(MONDAY, 5000, distinct=distinct)
        assert checked("expect_distinct_like_same_weekday", today, past, **rule).holds is holds
    few = days_before(10, lambda back: profile(ago(back), 5000, distinct=19))
    expected = drift_rule("expect_distinct_like_same_weekday", rule).expect(EVENTS, MONDAY, few)
    assert isinstance(expected, TooLittle)


def test_shares_move_by_the_total_variation_distance() -> None:
    past = days_before(10, lambda back: profile(ago(back), 10**6, counts={"a": 70, "b": 30}))
    for a, holds in ((50, True), (40, False)):
        today = profile(MONDAY, 10**6, counts={"a": a, "b": 100 - a})
        found = checked("expect_shares_like_past", today, past, column="c", distance=0.25)
        assert found.holds is holds
    assert "29.9% of the rows have another c than is usual" in found.found
    for share in ("a 40.0% (usually 70.0%)", "b 60.0% (usually 30.0%)"):
        assert share in found.found


VALUES = {"column": "c", "fewest_share": 0.005, "unknown_share": 0.01}


def test_a_renamed_value_is_named_with_the_one_that_is_missing() -> None:
    past = days_before(10, lambda back: profile(ago(back), 1000, counts={"a": 900, "b": 100}))
    found = checked(
        "expect_values_like_past", profile(MONDAY, 900, 100, counts={"a": 900}), past, **VALUES
    )
    assert not found.holds
    assert "no row has c b, usually 10.0%" in found.found
    assert "10.0% of the rows were refused as c_unknown_value, usually 0.0%" in found.found
    assert found.found.endswith("unknown words are 'sale' (100 rows)")


def test_a_value_that_is_rare_or_not_there_every_day_may_be_missing() -> None:
    def day(back: int) -> DayProfile:
        counts = {"a": 900, "b": 100 if back != 4 else 0, "c": 3}
        return profile(ago(back), 1003, counts=counts)

    today = profile(MONDAY, 900, counts={"a": 900})
    assert checked("expect_values_like_past", today, days_before(10, day), **VALUES).holds
    # Ten rows are no sign that something is missing.
    always = days_before(10, lambda back: profile(ago(back), 1000, counts={"a": 900, "b": 100}))
    tiny = profile(MONDAY, 10, counts={"a": 10})
    assert checked("expect_values_like_past", tiny, always, **VALUES).holds


def test_refusals_are_compared_by_reason_and_new_reasons_together() -> None:
    past = days_before(10, lambda back: profile(ago(back), 9800, 200))
    rule = {"factor": 2.5, "floor": 0.01}
    kind = "expect_refusals_like_past"
    assert checked(kind, profile(MONDAY, 9500, 500), past, **rule).holds
    found = checked(kind, profile(MONDAY, 9400, 600), past, **rule)
    assert not found.holds
    assert "6.0% of the rows were refused as c_unknown_value, usually 2.0%" in found.found
    never = days_before(10, lambda back: profile(ago(back), 10_000))
    assert not checked(kind, profile(MONDAY, 9800, 200), never, **rule).holds


@pytest.mark.parametrize("usually", [18, 0], ids=["a shop that closes", "dates without a time"])
def test_the_newest_row_may_be_some_hours_older_than_usual(usually: int) -> None:
    def at(back: int, hour: int) -> DayProfile:
        midnight = dt.datetime.combine(ago(back), dt.time(), tzinfo=dt.UTC)
        return profile(ago(back), latest=midnight + dt.timedelta(hours=hour))

    past = days_before(28, lambda back: at(back, usually))
    for hour, holds in ((usually - 6, True), (usually - 7, False)):
        rule = {"column": "c", "hours_more": 6}
        found = checked("expect_newest_like_same_weekday", at(0, hour), past, **rule)
        assert found.holds is holds
    assert f"usually {24 - usually:.1f} (median of the last 4 Mondays)" in found.found


def test_a_rule_refuses_arguments_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="lowest"):
        drift_rule("expect_rows_like_same_weekday", {"lowest": 0.2, "high": 4.0})


def test_of_300_trading_days_of_a_real_shop_two_would_be_stopped(shared_data: Path) -> None:
    """The last two days before its Christmas break, with 11 % and 19 % of the usual rows."""
    files = shared_data / "online_retail" / "*.csv"
    found = duckdb.sql(
        f"""SELECT regexp_extract(filename, '([0-9-]{{10}})[.]csv', 1)::DATE AS day,
            count(*) AS n, approx_count_distinct(CustomerID) AS users,
            approx_count_distinct(StockCode) AS items,
            count_if(InvoiceNo LIKE 'C%') AS returns, max(InvoiceDate::TIMESTAMP) AS latest
        FROM read_csv('{files}', all_varchar = true, filename = true, header = true)
        WHERE CustomerID IS NOT NULL AND UnitPrice::DOUBLE > 0
        GROUP BY day ORDER BY day"""
    ).fetchall()
    year = []
    for day, n, users, items, returns, latest in found:
        end = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), tzinfo=dt.UTC)
        counts = {"purchase": n - returns, "return": returns}
        columns = {
            "user_id": ProfileCounts(n, distinct=users),
            "item_id": ProfileCounts(n, distinct=items),
            "event_type": ProfileCounts(n, counts=counts),
            "event_time": ProfileCounts(n, latest=latest.replace(tzinfo=dt.UTC)),
        }
        by_column = {(EVENTS, name): counts for name, counts in columns.items()}
        year.append(DayProfile(day, end, by_column))
    stopped: dict[dt.date, set[str]] = {}
    evaluated = 0
    for rule in load_contract(EVENTS).dataset_rules:
        if rule.expectation not in KINDS or rule.severity != "stop":
            continue
        kind = drift_rule(rule.expectation, rule.kwargs)
        for place, today in enumerate(year):
            expected = kind.expect(EVENTS, today.day, year[max(0, place - 56) : place])
            if isinstance(expected, Expected):
                evaluated += 1
                if not kind.check(EVENTS, today, expected).holds:
                    stopped.setdefault(today.day, set()).add(rule.name)
    assert len(year) == 305
    assert evaluated > 300
    assert sorted(stopped) == [dt.date(2010, 12, 22), dt.date(2010, 12, 23)]
    assert all("volume" in names for names in stopped.values())
