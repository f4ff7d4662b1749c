"""The gate: one dataset against its contract's Great Expectations suite.

Reads a frame and, of a delivery, its profile; writes the result to the context's store, and says
what failed. The suite runs with `BOOLEAN_ONLY`, one aggregation for all column and row checks; only
what failed is asked again for counts and, from columns that are not personal, a few sample values.
What compares a delivery with the ones before it runs over the profile, and joins the same result.

Guarantees: nothing stays cached. Great Expectations, which caches frames and never lets go of them,
is told not to, and neither do we: of 10 M events caching cost a second and a gigabyte, and the two
scans that it would save take three. A failure is a value here, not an exception: whoever calls
decides what stops the night.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from dataclasses import dataclass
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.core.run_identifier import RunIdentifier
from pyspark.sql import DataFrame

from pipeline.contracts.contract import Contract
from pipeline.contracts.expectations import expectation_suite, past_suite
from pipeline.contracts.spark import check_columns
from pipeline.errors import ContractError
from pipeline.lake import Run
from pipeline.validation.data_docs import store_result
from pipeline.validation.profiles import Profiles

log = logging.getLogger("nightcart")

SAMPLES = 5
_COLUMNS = "expect_table_columns_to_match_ordered_list"
_SHAPE = (_COLUMNS, "expect_column_type_to_be")


@dataclass(frozen=True)
class Failure:
    """One check that did not hold."""

    dataset: str
    reason: str
    expectation: str
    columns: tuple[str, ...]
    severity: str
    observed: str
    past: bool = False  # found by comparing with earlier deliveries

    def __str__(self) -> str:
        where = f" on {', '.join(self.columns)}" if self.columns else ""
        return f"{self.dataset}: {self.reason}{where} ({self.expectation}): {self.observed}"


@dataclass(frozen=True)
class Outcome:
    """What the gate saw of one dataset."""

    dataset: str
    rows: int
    checks: int
    failures: tuple[Failure, ...]
    seconds: float

    @property
    def stops(self) -> tuple[Failure, ...]:
        """The failures that end the night."""
        return tuple(failure for failure in self.failures if failure.severity == "stop")

    @property
    def warnings(self) -> tuple[Failure, ...]:
        """The failures that are only reported."""
        return tuple(failure for failure in self.failures if failure.severity != "stop")


@dataclass(frozen=True)
class Comparison:
    """What a delivery is compared with, and the rules that are only to warn this time."""

    profiles: Profiles
    only_warn: tuple[str, ...] = ()


def check_dataset(  # noqa: PLR0917  what is checked, and by what
    context: Any,
    dataset: str,
    frame: DataFrame,
    contract: Contract,
    run: Run,
    comparison: Comparison | None = None,
) -> Outcome:
    """Run the contract's suite over a frame and store the result for the Data Docs.

    Args:
        context: from `data_docs.open_context`.
        dataset: its name in the lake, which may differ from the contract's.
        frame: read without a schema, so that an extra column is seen.
        run: names the result; a retry of the run replaces it.
        comparison: of a delivery; none where nothing is compared with the past.
    """
    started = time.monotonic()
    suite, fault = expectation_suite(contract), shape_fault(frame, contract)
    if fault:
        suite.expectations = _of_shape(suite, frame)
    suite = context.suites.add_or_update(suite)
    source = context.data_sources.add_or_update_spark(dataset, persist=False)
    batches = source.add_dataframe_asset(dataset).add_batch_definition_whole_dataframe("day")
    definition = context.validation_definitions.add_or_update(
        gx.ValidationDefinition(name=dataset, data=batches, suite=suite)
    )
    checkpoint = gx.Checkpoint(
        name=dataset, validation_definitions=[definition], result_format="BOOLEAN_ONLY"
    )
    parameters = {"dataframe": frame}
    midnight = dt.datetime.combine(run.run_date, dt.time(), tzinfo=dt.UTC)
    outcome = context.checkpoints.add_or_update(checkpoint).run(
        batch_parameters=parameters,
        run_id=RunIdentifier(run_name=run.run_id, run_time=midnight),
    )
    ((key, result),) = outcome.run_results.items()
    batch = batches.get_batch(parameters)
    found = [
        _in_detail(batch, suite, check) if _wants_detail(check) else check
        for check in result.results
    ]
    if comparison and not fault:
        found += _compared(context, dataset, contract, comparison)
    for check in found:
        # For the pages, which are written from what is stored.
        check.meta = {**(check.meta or {}), "found": _observed(check) if check.result else ""}
    _put(result, found)
    failures = tuple(_failure(dataset, check, fault) for check in found if not check.success)
    store_result(context, key, result)
    return Outcome(
        dataset, frame.count(), len(found), failures, round(time.monotonic() - started, 1)
    )


def shape_fault(frame: DataFrame, contract: Contract) -> str:
    """What is wrong with a frame's columns; empty if nothing is."""
    try:
        check_columns(frame, contract)
    except ContractError as error:
        return str(error).removeprefix(f"{contract.dataset}.v{contract.version}: ")
    return ""


def _of_shape(suite: gx.ExpectationSuite, frame: DataFrame) -> list[Any]:
    """Only the checks of the frame's shape, where that is already wrong.

    A check of a column that is missing or of another type can only raise, which would bury the
    one fault that matters below a page of consequences.
    """
    return [
        expectation
        for expectation in suite.expectations
        if expectation.expectation_type in _SHAPE
        and getattr(expectation, "column", frame.columns[0]) in frame.columns
    ]


def _compared(context: Any, dataset: str, contract: Contract, comparison: Comparison) -> list[Any]:
    """The results of the rules that compare with the past."""
    profiles = comparison.profiles
    suite = past_suite(contract, dataset, profiles.today, profiles.past, comparison.only_warn)
    if not suite.expectations:
        return []
    # As objects: pandas would make numbers of what is missing.
    frame = pd.DataFrame(profiles.rows, dtype=object)
    source = context.data_sources.add_or_update_pandas(f"{dataset} profile")
    batches = source.add_dataframe_asset(dataset).add_batch_definition_whole_dataframe("day")
    batch = batches.get_batch({"dataframe": frame})
    return list(batch.validate(suite, result_format="BASIC").results)


def _put(result: Any, found: list[Any]) -> None:
    """Let a suite's result say what was found, the failures first."""
    held = sum(check.success for check in found)
    result.results = sorted(found, key=lambda check: check.success)
    result.success = held == len(found)
    result.statistics = {
        "evaluated_expectations": len(found),
        "successful_expectations": held,
        "unsuccessful_expectations": len(found) - held,
        "success_percent": 100 * held / len(found),
    }


def _wants_detail(found: Any) -> bool:
    """What failed; and the columns, without which the pages cannot be rendered."""
    return not found.success or found.expectation_config.type == _COLUMNS


def _in_detail(batch: Any, suite: gx.ExpectationSuite, found: Any) -> Any:
    """Ask one expectation again, for counts and samples."""
    reason = found.expectation_config.meta["reason"]
    (expectation,) = (
        expectation
        for expectation in suite.expectations
        if expectation.meta["reason"] == reason
        and expectation.expectation_type == found.expectation_config.type
    )
    samples = 0 if expectation.meta["personal"] else SAMPLES
    detailed = batch.validate(
        expectation,
        result_format={"result_format": "SUMMARY", "partial_unexpected_count": samples},
    )
    # The page shows the stored configuration, which has the expectation's id.
    detailed.expectation_config = found.expectation_config
    return detailed


def _failure(dataset: str, found: Any, fault: str) -> Failure:
    meta = found.expectation_config.meta
    kind = found.expectation_config.type
    return Failure(
        dataset=dataset,
        reason=meta["reason"],
        expectation=kind,
        columns=tuple(meta["columns"]),
        severity=meta["severity"],
        observed=fault if kind == _COLUMNS else _observed(found),
        past=meta.get("past", False),
    )


def _observed(found: Any) -> str:
    """What was seen, in words and without personal values."""
    result = found.result or {}
    if "unexpected_count" in result:
        n, rows = result["unexpected_count"], result["element_count"]
        samples = result.get("partial_unexpected_list") or []
        shown = ", ".join(dict.fromkeys(f"{value!r:.60}" for value in samples))
        return f"{n:,} of {rows:,} rows" + (f", such as {shown}" if shown else "")
    if "observed_value" in result:
        value = result["observed_value"]
        return value if isinstance(value, str) else f"observed {value!r:.200}"
    messages = [message for message in _exceptions(found.exception_info) if message]
    return f"could not be checked: {messages[0]:.300}" if messages else "not met"


def _exceptions(info: Any) -> list[str]:
    """Messages from an exception record, which may be one or a mapping of them by metric."""
    if not isinstance(info, dict):
        return []
    if "exception_message" in info:
        return [str(info["exception_message"] or "").split("\n", 1)[0]]
    return [message for entry in info.values() for message in _exceptions(entry)]
