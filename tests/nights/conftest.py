"""Whole nights, stage by stage, through the jobs that the DAG starts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs import (
    build_histories,
    clean,
    evaluate,
    fine_tune,
    generate,
    publish,
    report,
    validate,
    wait_for_raw,
)

STAGES: dict[str, tuple[Callable[[list[str]], int], tuple[str, ...]]] = {
    "wait_for_raw": (wait_for_raw.main, ()),
    "clean": (clean.main, ()),
    "validate_cleaned": (validate.main, ("--dataset", "cleaned")),
    "build_histories": (build_histories.main, ()),
    "fine_tune": (fine_tune.main, ()),
    "evaluate": (evaluate.main, ()),
    "generate": (generate.main, ()),
    "validate_generated": (validate.main, ("--dataset", "generated")),
    "publish": (publish.main, ()),
    "report": (report.main, ()),
}

Ending = tuple[str, int]  # the last stage that was run, and its exit code
NightRunner = Callable[[Path, dt.date, str], None]
StageRunner = Callable[..., Ending]


@pytest.fixture(scope="session")
def run_stages(spark: SparkSession) -> StageRunner:
    """Run a night's stages in order, to the first that fails or to `last`."""

    def run(config: Path, run_date: dt.date, run_id: str, *, last: str = "report") -> Ending:
        common = ["--config", str(config), "--date", run_date.isoformat(), "--run-id", run_id]
        for name, (main, extra) in STAGES.items():
            code = main([*common, *extra])
            if code or name == last:
                break
        return name, code

    return run


@pytest.fixture(scope="session")
def run_night(run_stages: StageRunner) -> NightRunner:
    """Run every stage of a night; the first that fails fails the test."""

    def run(config: Path, run_date: dt.date, run_id: str) -> None:
        assert run_stages(config, run_date, run_id) == ("report", 0)

    return run
