"""The rules that compare a delivery with the ones before it, by the names that contracts use.

A contract's `dataset_rules` name a rule by its expectation (`KINDS`); its `kwargs` are the fields
of the rule's class. The rules are plain arithmetic: a rule draws limits from the past (`expect`)
and takes from the day what the limits hold (`observe`). Great Expectations compares the two
(`drift_expectations`). No engine is imported.

Guarantees: a rule with too little past to say what is usual gives `TooLittle` and refuses nothing.
The usual is a median, so one bad day in the past moves no limit.

Gives up: a change that creeps in over weeks is never seen, because the past moves along with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.contracts.drift_freshness import NewestLikeSameWeekday
from pipeline.contracts.drift_limits import DriftRule
from pipeline.contracts.drift_shares import NullSharesLikePast, RefusalsLikePast, SharesLikePast
from pipeline.contracts.drift_values import ValuesLikePast
from pipeline.contracts.drift_volume import DistinctLikeSameWeekday, RowsLikeSameWeekday

KINDS: Mapping[str, type[Any]] = {
    "expect_rows_like_same_weekday": RowsLikeSameWeekday,
    "expect_distinct_like_same_weekday": DistinctLikeSameWeekday,
    "expect_null_shares_like_past": NullSharesLikePast,
    "expect_refusals_like_past": RefusalsLikePast,
    "expect_shares_like_past": SharesLikePast,
    "expect_values_like_past": ValuesLikePast,
    "expect_newest_like_same_weekday": NewestLikeSameWeekday,
}


def drift_rule(expectation: str, kwargs: Mapping[str, Any]) -> DriftRule:
    """The rule that a contract names.

    Raises:
        TypeError: arguments that the rule does not take, or lacks.
    """
    lists = {
        key: tuple(value) if isinstance(value, list) else value for key, value in kwargs.items()
    }
    rule: DriftRule = KINDS[expectation](**lists)
    return rule
