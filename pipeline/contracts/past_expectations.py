"""`contracts.past_rules` as Great Expectations expectations over a delivery's profile.

The batch is the rows of `profiles` of one delivery day, as a pandas frame: what was counted once in
one pass is what is judged and what is kept, and a rule costs no further look at the data. Importing
this module registers the expectations with Great Expectations; it does nothing else.

A rule with too little past is there as well, holds, and says that it was not evaluated.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.expectations.registry import get_expectation_impl

from pipeline.contracts.contract import DatasetRule
from pipeline.contracts.day_profile import DayProfile, profile_figures
from pipeline.contracts.past_limits import Expected, Limit, TooLittle
from pipeline.contracts.past_rules import past_rule

_METRIC = "table.delivery_profile"


class DeliveryProfile(TableMetricProvider):  # type: ignore[misc]  # GX is untyped
    """The rows of a profile, as records."""

    metric_name = _METRIC

    @metric_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(
        cls,  # noqa: N805
        execution_engine: PandasExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        **_: Any,
    ) -> list[dict[str, Any]]:
        frame, _, _ = execution_engine.get_compute_domain(
            domain_kwargs=metric_domain_kwargs, domain_type=MetricDomainTypes.TABLE
        )
        records: list[dict[str, Any]] = frame.to_dict("records")
        return records


class ExpectLikePast(BatchExpectation):  # type: ignore[misc]  # GX is untyped
    """Expect a delivery to be like the ones before it; subclasses are named by the contracts.

    `limits` and `basis` are an `Expected`; without any, `not_evaluated` says why.
    """

    of_dataset: str
    rule: dict[str, Any]
    day: str
    day_end: str
    limits: dict[str, Any] = {}  # noqa: RUF012  pydantic copies it
    basis: str = ""
    not_evaluated: str = ""

    metric_dependencies: ClassVar[tuple[str, ...]] = (_METRIC,)
    success_keys: ClassVar[tuple[str, ...]] = (
        "of_dataset",
        "rule",
        "day",
        "day_end",
        "limits",
        "basis",
        "not_evaluated",
    )

    def _validate(self, metrics: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        if self.not_evaluated:
            return _result(True, f"not evaluated: {self.not_evaluated}")
        today = DayProfile(
            dt.date.fromisoformat(self.day),
            dt.datetime.fromisoformat(self.day_end),
            profile_figures(metrics[_METRIC]),
        )
        expected = Expected({name: Limit(**kept) for name, kept in self.limits.items()}, self.basis)
        judged = past_rule(self.expectation_type, self.rule).judge(self.of_dataset, today, expected)
        return _result(judged.kept, judged.found)


class ExpectRowsLikeSameWeekday(ExpectLikePast):
    """See `past_rules.RowsLikeSameWeekday`."""


class ExpectDistinctLikeSameWeekday(ExpectLikePast):
    """See `past_rules.DistinctLikeSameWeekday`."""


class ExpectNullSharesLikePast(ExpectLikePast):
    """See `past_rules.NullSharesLikePast`."""


class ExpectRefusalsLikePast(ExpectLikePast):
    """See `past_rules.RefusalsLikePast`."""


class ExpectSharesLikePast(ExpectLikePast):
    """See `past_rules.SharesLikePast`."""


class ExpectValuesLikePast(ExpectLikePast):
    """See `past_rules.ValuesLikePast`."""


class ExpectNewestLikeSameWeekday(ExpectLikePast):
    """See `past_rules.NewestLikeSameWeekday`."""


def past_expectation(
    rule: DatasetRule,
    dataset: str,
    today: DayProfile,
    past: Sequence[DayProfile],
    **stated: Any,
) -> Any:
    """A rule with its limits for a day.

    Args:
        rule: one of `past_rules.KINDS`.
        dataset: its name in the profiles.
        today: what the day is; nothing of it but its date is used here.
        past: earlier deliveries, oldest first.
        **stated: what every expectation is given.
    """
    expected = past_rule(rule.expectation, rule.kwargs).expect(dataset, today.day, past)
    drawn: dict[str, Any] = (
        {"not_evaluated": expected.reason}
        if isinstance(expected, TooLittle)
        else {
            "limits": {name: asdict(limit) for name, limit in expected.limits.items()},
            "basis": expected.basis,
        }
    )
    kind: Any = get_expectation_impl(rule.expectation)
    return kind(
        of_dataset=dataset,
        rule=dict(rule.kwargs),
        day=today.day.isoformat(),
        day_end=today.day_end.isoformat(),
        **drawn,
        **stated,
    )


def _result(kept: bool, found: str) -> dict[str, Any]:
    return {"success": kept, "result": {"observed_value": found}}
