"""Which datasets each gate of the night looks at, and what they decide together.

Reads the committed partitions of the night from the lake; writes Data Docs. Raises `GateError`
after all datasets of the group were looked at, so that one page shows everything that is wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from pipeline.contracts.contract import Contract, load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.datasets import ACTED, CLEANED, cleaned, contract_name, source_of
from pipeline.errors import GateError, InputError
from pipeline.lake import Lake, Partition, Run
from pipeline.settings import Settings
from pipeline.sources.source import Source
from pipeline.sources.source_yaml import load_source
from pipeline.stages import gates
from pipeline.validation.data_docs import open_context, write_data_docs
from pipeline.validation.failures import Outcome
from pipeline.validation.gate import Comparison, check_dataset, shape_fault
from pipeline.validation.profiles import read_or_make_profiles

log = logging.getLogger("nightcart")

# Group -> dataset in the lake -> contract.
GROUPS: dict[str, dict[str, str]] = {
    stage.arguments[-1]: {name: contract_name(name) for name in stage.reads} for stage in gates()
}

# What users did or wrote: a delivery that brings neither is broken.
_ACTS = ("cleaned_events", "cleaned_reviews")


@dataclass(frozen=True)
class _Looked:
    """A dataset that is there, and what it ought to be."""

    contract: Contract
    frame: DataFrame


def validate_group(
    spark: SparkSession, lake: Lake, run: Run, group: str, settings: Settings
) -> dict[str, Any]:
    """Check every dataset of a group that has a committed partition for the night.

    What was delivered is also compared with the deliveries before it, whose profiles are made here
    where they are missing.

    Returns:
        figures for the stage's record: rows, checks, warnings and seconds per dataset, and where
        the Data Docs are.

    Raises:
        InputError: none of the group's datasets is there.
        GateError: a check whose severity is `stop` failed, or a delivery brought no act at all.
    """
    partitions = {
        dataset: partition
        for dataset in GROUPS[group]
        if (partition := lake.current(dataset, run.run_date)) is not None
    }
    source = load_source(settings.shop.source) if group == "cleaned" else None
    if not partitions:
        raise InputError(
            f"nothing to validate for {run.run_date}: none of {', '.join(GROUPS[group])} "
            f"is in {lake.root}; run the stage that writes them for this date first"
        )
    records = lake.records(run)
    context = open_context(records)
    looked_at: dict[str, _Looked] = {}
    for dataset, partition in partitions.items():
        if not _delivered(lake, run, dataset, partition):
            log.info("%s: this source has never delivered any; not checked", dataset)
            continue
        if source and _brought_nothing(partition) and _may(source, dataset, run):
            log.info("%s: nothing was delivered, which the source allows; not checked", dataset)
            continue
        if not partition.rows and dataset in _of_snapshots(source):
            log.info("%s: the file is as it was; nothing to check", dataset)
            continue
        contract = load_contract(GROUPS[group][dataset])
        looked_at[dataset] = _Looked(contract, _read(spark, partition, contract))
    comparison = _comparison(spark, lake, run, settings, looked_at) if group == "cleaned" else None
    outcomes = [
        _check(context, dataset, looked, run, comparison) for dataset, looked in looked_at.items()
    ]
    page = write_data_docs(context, records) if outcomes else None
    # A delivery that brings nothing that shoppers did or wrote is broken, if it has to bring some.
    acted = [partitions[name] for name in ACTED if name in partitions]
    is_broken = (
        source is not None
        and not any(partition.rows for partition in acted)
        and not (all(map(_brought_nothing, acted)) and _may(source, cleaned(source.main.name), run))
    )
    _refuse(group, run, partitions, outcomes, page, is_broken=is_broken)
    return {
        "datasets": {outcome.dataset: _record_of(outcome) for outcome in outcomes},
        "data_docs": str(page),
    }


def _delivered(lake: Lake, run: Run, dataset: str, partition: Partition) -> bool:
    """Whether the source brings this dataset at all: a reviews-only shop has no events.

    Only cleaned datasets may be missing; what our own stages write is always looked at.
    """
    if partition.rows or dataset not in CLEANED:
        return True
    return any(earlier.rows for earlier in lake.past(dataset, run.run_date))


def _brought_nothing(partition: Partition) -> bool:
    """Whether there was not even a row that was refused."""
    return not partition.rows and not partition.manifest.get("raw_rows")


def _of_snapshots(source: Source | None) -> list[str]:
    """The cleaned datasets that hold what has changed in a file that is overwritten."""
    datasets = source.datasets.values() if source else ()
    return [cleaned(one.name) for one in datasets if one.delivery == "snapshot"]


def _may(source: Source, dataset: str, run: Run) -> bool:
    return dataset in CLEANED and source.may_bring_nothing(source_of(dataset), run.run_date)


def _comparison(
    spark: SparkSession,
    lake: Lake,
    run: Run,
    settings: Settings,
    looked_at: Mapping[str, _Looked],
) -> Comparison:
    leave_out = [name for name, it in looked_at.items() if shape_fault(it.frame, it.contract)]
    source = load_source(settings.shop.source)
    leave_out += _of_snapshots(source)  # what has changed today is like no other day's
    profiles = read_or_make_profiles(spark, lake, run, settings, leave_out)
    closed = source.closed
    past = tuple(profile for profile in profiles.past if profile.day not in closed)
    profiles = replace(profiles, past=past)
    return Comparison(profiles, settings.validation.only_warn)


def _check(
    context: Any, dataset: str, looked: _Looked, run: Run, comparison: Comparison | None
) -> Outcome:
    outcome = check_dataset(context, dataset, looked.frame, looked.contract, run, comparison)
    log.info(
        "%s: %d rows, %d checks, %d failed, %.1f s",
        dataset,
        outcome.rows,
        outcome.checks,
        len(outcome.failures),
        outcome.seconds,
    )
    for warning in outcome.warnings:
        log.warning("warning: %s", warning)
    return outcome


def _read(spark: SparkSession, partition: Partition, contract: Contract) -> DataFrame:
    """Without a schema and with all footers merged, so that an extra column in any file is seen."""
    files = [str(path) for path in partition.files if path.suffix == ".parquet"]
    if not files:
        return spark.createDataFrame([], spark_schema(contract))
    return spark.read.option("mergeSchema", "true").parquet(*files)


def _refuse(
    group: str,
    run: Run,
    partitions: dict[str, Partition],
    outcomes: list[Outcome],
    page: Path | None,
    *,
    is_broken: bool,
) -> None:
    """Raise if anything stops the night; `is_broken`: it has no act, and has to."""
    faults = [str(failure) for outcome in outcomes for failure in outcome.stops]
    faults += [
        f"{outcome.dataset}: its manifest says {partitions[outcome.dataset].rows:,} rows, "
        f"its files have {outcome.rows:,}"
        for outcome in outcomes
        if outcome.rows != partitions[outcome.dataset].rows
    ]
    if is_broken:
        faults.append("not one event or review was accepted: the delivery is empty or broken")
    if faults:
        docs = f" Data Docs: {page}" if page else ""
        excused = [failure for outcome in outcomes for failure in outcome.stops if failure.drift]
        if excused:
            names = ", ".join(f'"{failure.dataset}.{failure.reason}"' for failure in excused)
            docs = (
                " If the day is right as it is, run it again with "
                f"validation.only_warn = [{names}].{docs}"
            )
        raise GateError(
            f"the {group} datasets of {run.run_date} do not keep their contracts. "
            f"{'; '.join(faults)}. Nothing is published.{docs}"
        )


def _record_of(outcome: Outcome) -> dict[str, Any]:
    return {
        "rows": outcome.rows,
        "checks": outcome.checks,
        "seconds": outcome.seconds,
        "warnings": [asdict(failure) for failure in outcome.warnings],
    }
