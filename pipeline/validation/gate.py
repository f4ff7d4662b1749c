"""The gate: one dataset against its contract's Great Expectations suite.

Reads a frame and the profile of a delivery; writes the result to the context's store, and returns
the failures. The suite runs with `BOOLEAN_ONLY`, one aggregation for all column and row checks;
only failed checks run again, for counts and, from columns that are not personal, a few sample
values. Drift rules run over the profile, and join the same result.

Guarantees: nothing stays cached. Great Expectations caches frames and never releases them, so
caching is switched off: for 10 M events it cost a second and a gigabyte, and the two scans that it
would save take three seconds. A failure is a value here, not an exception: the caller decides what
stops the night.
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
from pipeline.contracts.expectations import drift_suite, expectation_suite
from pipeline.contracts.spark import check_columns
from pipeline.errors import ContractError
from pipeline.lake import Run
from pipeline.validation.data_docs import store_result
from pipeline.validation.failures import COLUMNS, Outcome, failure_of, observed
from pipeline.validation.profiles import Profiles

log = logging.getLogger("nightcart")

SAMPLES = 5
_SHAPE = (COLUMNS, "expect_column_type_to_be")


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
        check.meta = {**(check.meta or {}), "found": observed(check) if check.result else ""}
    _put(result, found)
    failures = tuple(failure_of(dataset, check, fault) for check in found if not check.success)
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

    A check of a column that is missing or of another type can only raise, and a page of such errors
    would hide the one fault that matters.
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
    suite = drift_suite(contract, dataset, profiles.today, profiles.past, comparison.only_warn)
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
    return not found.success or found.expectation_config.type == COLUMNS


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
