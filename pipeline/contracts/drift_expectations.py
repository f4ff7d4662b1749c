"""`contracts.drift_rules` as Great Expectations expectations over a delivery's profile.

The batch is the rows of `profiles` of one delivery day, as a pandas frame. They are counted once
and stored, and the rules check the same counts, so a rule costs no further pass over the data.
Importing this module registers the expectations with Great Expectations; it does nothing else.

A rule with too little past is in the suite too; it holds, and reports that it was not evaluated.
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
from pipeline.contracts.day_profile import DayProfile, profile_counts
from pipeline.contracts.drift_limits import Expected, Limit, TooLittle
from pipeline.contracts.drift_rules import drift_rule

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


class ExpectNoDrift(BatchExpectation):  # type: ignore[misc]  # GX is untyped
    """Expect a delivery to be like the ones before it; contracts name the subclasses.

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
            profile_counts(metrics[_METRIC]),
        )
        expected = Expected(
            {name: Limit(**limit) for name, limit in self.limits.items()}, self.basis
        )
        rule = drift_rule(self.expectation_type, self.rule)
        result = rule.check(self.of_dataset, today, expected)
        return _result(result.holds, result.found)


class ExpectRowsLikeSameWeekday(ExpectNoDrift):
    """See `drift_volume.RowsLikeSameWeekday`."""


class ExpectDistinctLikeSameWeekday(ExpectNoDrift):
    """See `drift_volume.DistinctLikeSameWeekday`."""


class ExpectNullSharesLikePast(ExpectNoDrift):
    """See `drift_shares.NullSharesLikePast`."""


class ExpectRefusalsLikePast(ExpectNoDrift):
    """See `drift_shares.RefusalsLikePast`."""


class ExpectSharesLikePast(ExpectNoDrift):
    """See `drift_shares.SharesLikePast`."""


class ExpectValuesLikePast(ExpectNoDrift):
    """See `drift_values.ValuesLikePast`."""


class ExpectNewestLikeSameWeekday(ExpectNoDrift):
    """See `drift_freshness.NewestLikeSameWeekday`."""


def drift_expectation(
    rule: DatasetRule,
    dataset: str,
    today: DayProfile,
    past: Sequence[DayProfile],
    **stated: Any,
) -> Any:
    """A rule with its limits for a day.

    Args:
        rule: one of `drift_rules.KINDS`.
        dataset: its name in the profiles.
        today: the day; only its date is used here.
        past: earlier deliveries, oldest first.
        **stated: what every expectation is given.
    """
    expected = drift_rule(rule.expectation, rule.kwargs).expect(dataset, today.day, past)
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


def _result(holds: bool, found: str) -> dict[str, Any]:
    return {"success": holds, "result": {"observed_value": found}}
