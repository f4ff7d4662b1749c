"""Quarantine (Spark) and gate (Great Expectations) agree with every example, and so each other."""

from __future__ import annotations

from collections import Counter
from typing import Any

import great_expectations as gx
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.contracts.arrow import arrow_type
from pipeline.contracts.contract import Contract, contract_files, load_contract
from pipeline.contracts.expectations import expectation_suite
from pipeline.contracts.row_checks import column_checks
from pipeline.contracts.spark import first_broken_rule, row_rules
from tests.contracts.contract_examples import Example, columns_of, examples

ALL = examples()
DATASETS = [name.removesuffix(".v1.yaml") for name in contract_files()]
OF = {name: [e for e in ALL if e.contract.dataset == name] for name in DATASETS}


def frame_of(spark: SparkSession, contract: Contract, rows: list[dict[str, Any]]) -> DataFrame:
    """Through Arrow, so that no Python worker is asked for the rows again in every Spark job."""
    schema = pa.schema([pa.field(name, arrow_type(kind)) for name, kind in columns_of(contract)])
    return spark.createDataFrame(pa.Table.from_pylist(rows, schema=schema)).persist()


def row_reasons(contract: Contract) -> set[str]:
    return {reason for reason, _ in row_rules(contract)}


def validated(frame: DataFrame, contract: Contract) -> list[Any]:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    batch = (
        context.data_sources.add_spark("examples", persist=False)
        .add_dataframe_asset(contract.dataset)
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": frame})
    )
    return list(batch.validate(expectation_suite(contract), result_format="SUMMARY").results)


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_kind_of_check_has_an_example_that_breaks_it(dataset: str) -> None:
    contract = load_contract(dataset)
    broken = {example.expect for example in OF[dataset]}
    assert None in broken, f"{dataset} has no pass example"

    kinds: dict[str, set[str]] = {}
    for check in column_checks(contract):
        kinds.setdefault(check.kind, set()).add(check.reason)
    for kind, reasons in kinds.items():
        assert reasons & broken, f"{dataset}: no fail example for any of {kind}"
    wanted = {rule.name for rule in contract.rules}
    assert wanted <= broken, f"{dataset}: no fail example for {wanted - broken}"


@pytest.mark.parametrize("dataset", DATASETS)
def test_spark_gives_every_row_the_expected_reason(spark: SparkSession, dataset: str) -> None:
    contract = load_contract(dataset)
    per_row = row_reasons(contract)
    stated: list[tuple[Example, str | None]] = [
        (example, example.expect if example.expect in per_row else None)
        for example in OF[dataset]
        for _ in example.rows
    ]
    rows = [row for example in OF[dataset] for row in example.rows]
    found = frame_of(spark, contract, rows).select(first_broken_rule(contract)).collect()

    wrong = [
        f"{example.file}: expected {reason}, got {got}"
        for (example, reason), (got,) in zip(stated, found, strict=True)
        if got != reason
    ]
    assert not wrong


@pytest.mark.parametrize("dataset", DATASETS)
def test_great_expectations_counts_what_spark_refuses(spark: SparkSession, dataset: str) -> None:
    """Per reason, over all examples at once, so also for rows that break several rules."""
    contract = load_contract(dataset)
    rows = [row for example in OF[dataset] for row in example.rows]
    frame = frame_of(spark, contract, rows)
    rules = row_rules(contract)
    counts = frame.select(
        *(
            F.expr(f"count_if(NOT coalesce(({predicate}), false))").alias(str(i))
            for i, (_, predicate) in enumerate(rules)
        )
    ).collect()[0]
    refused: Counter[str] = Counter()
    for (reason, _), n in zip(rules, counts, strict=True):
        # A reason may be both a column's check and a rule of that name.
        refused[reason] = max(refused[reason], n)

    seen: dict[str, list[int]] = {}
    for result in validated(frame, contract):
        assert not result.exception_info.get("exception_message"), result
        if "unexpected_count" in result.result:
            reason = result.expectation_config.meta["reason"]
            seen.setdefault(reason, []).append(result.result["unexpected_count"])

    assert set(refused) <= set(seen)
    for reason, n in refused.items():
        parts = seen[reason]
        # A reason of two expectations (null; blank) counts each of its rows in at least one.
        assert max(parts) <= n <= sum(parts), f"{reason}: Spark refuses {n}, GX counts {parts}"


@pytest.mark.parametrize(
    "example",
    [e for e in ALL if e.expect and e.expect not in row_reasons(e.contract)],
    ids=lambda example: example.file,
)
def test_great_expectations_refuses_the_whole_dataset(
    spark: SparkSession, example: Example
) -> None:
    results = validated(frame_of(spark, example.contract, example.rows), example.contract)
    failed = {r.expectation_config.meta["reason"] for r in results if not r.success}
    assert failed == {example.expect}


@pytest.mark.parametrize("dataset", [d for d in DATASETS if not load_contract(d).context])
def test_great_expectations_passes_good_data(spark: SparkSession, dataset: str) -> None:
    contract = load_contract(dataset)
    rows = [row for example in OF[dataset] if example.expect is None for row in example.rows]
    results = validated(frame_of(spark, contract, rows), contract)
    assert not [r for r in results if not r.success]
