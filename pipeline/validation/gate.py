"""The gate: one dataset against its contract's Great Expectations suite.

Reads a frame, writes the result to the context's store, and says what failed. The suite runs with
`BOOLEAN_ONLY`, one aggregation for all column and row checks; only what failed is asked again for
counts and, from columns that are not personal, a few sample values.

Guarantees: the frame is cached once and released; Great Expectations, which caches frames and
never lets go of them, is told not to. A failure is a value here, not an exception: whoever calls
decides what stops the night.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from dataclasses import dataclass
from typing import Any

import great_expectations as gx
from great_expectations.core.run_identifier import RunIdentifier
from pyspark.sql import DataFrame

from pipeline.contracts.contract import Contract
from pipeline.contracts.expectations import expectation_suite
from pipeline.contracts.spark import check_columns
from pipeline.errors import ContractError
from pipeline.lake import Run
from pipeline.validation.data_docs import store_result

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


def check_dataset(
    context: Any, dataset: str, frame: DataFrame, contract: Contract, run: Run
) -> Outcome:
    """Run the contract's suite over a frame and store the result for the Data Docs.

    Args:
        context: from `data_docs.open_context`.
        dataset: its name in the lake, which may differ from the contract's.
        frame: read without a schema, so that an extra column is seen.
        run: names the result; a retry of the run replaces it.
    """
    started = time.monotonic()
    suite, shape_fault = _suite(frame, contract)
    cached = frame.persist()
    try:
        rows = cached.count()
        suite = context.suites.add_or_update(suite)
        source = context.data_sources.add_or_update_spark(dataset, persist=False)
        batches = source.add_dataframe_asset(dataset).add_batch_definition_whole_dataframe("day")
        definition = context.validation_definitions.add_or_update(
            gx.ValidationDefinition(name=dataset, data=batches, suite=suite)
        )
        checkpoint = gx.Checkpoint(
            name=dataset, validation_definitions=[definition], result_format="BOOLEAN_ONLY"
        )
        parameters = {"dataframe": cached}
        midnight = dt.datetime.combine(run.run_date, dt.time(), tzinfo=dt.UTC)
        outcome = context.checkpoints.add_or_update(checkpoint).run(
            batch_parameters=parameters,
            run_id=RunIdentifier(run_name=run.run_id, run_time=midnight),
        )
        ((key, result),) = outcome.run_results.items()
        batch = batches.get_batch(parameters)
        result.results = [
            _in_detail(batch, suite, found) if _wants_detail(found) else found
            for found in result.results
        ]
        failures = tuple(
            _failure(dataset, found, shape_fault) for found in result.results if not found.success
        )
        store_result(context, key, result)
    finally:
        cached.unpersist()
    return Outcome(
        dataset, rows, len(result.results), failures, round(time.monotonic() - started, 1)
    )


def _suite(frame: DataFrame, contract: Contract) -> tuple[gx.ExpectationSuite, str]:
    """The whole suite, or only the checks of the frame's shape where that is already wrong.

    A check of a column that is missing or of another type can only raise, which would bury the
    one fault that matters below a page of consequences.
    """
    suite = expectation_suite(contract)
    try:
        check_columns(frame, contract)
    except ContractError as error:
        suite.expectations = [
            expectation
            for expectation in suite.expectations
            if expectation.expectation_type in _SHAPE
            and getattr(expectation, "column", frame.columns[0]) in frame.columns
        ]
        return suite, str(error).removeprefix(f"{contract.dataset}.v{contract.version}: ")
    return suite, ""


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


def _failure(dataset: str, found: Any, shape_fault: str) -> Failure:
    meta = found.expectation_config.meta
    kind = found.expectation_config.type
    return Failure(
        dataset=dataset,
        reason=meta["reason"],
        expectation=kind,
        columns=tuple(meta["columns"]),
        severity=meta["severity"],
        observed=shape_fault if kind == _COLUMNS else _observed(found),
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
        return f"observed {result['observed_value']!r:.200}"
    messages = [message for message in _exceptions(found.exception_info) if message]
    return f"could not be checked: {messages[0]:.300}" if messages else "not met"


def _exceptions(info: Any) -> list[str]:
    """Messages from an exception record, which may be one or a mapping of them by metric."""
    if not isinstance(info, dict):
        return []
    if "exception_message" in info:
        return [str(info["exception_message"] or "").split("\n", 1)[0]]
    return [message for entry in info.values() for message in _exceptions(entry)]
