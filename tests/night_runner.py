"""Whole nights, stage by stage, through the jobs that the DAG starts, in the test's process."""

from __future__ import annotations

import datetime as dt
import importlib
import os
from collections.abc import Callable
from pathlib import Path

from pipeline.datasets import RUNS
from pipeline.settings import load_settings
from pipeline.stages import REPORT, STAGES, NightStage
from tests.lake_spy import Seen, lake_spy
from tests.power_cut import power_cuts

# These nights do not show learning: a model of a few thousand weights sees the shop once.
SMALL_NIGHT = """\
[spark]
master = "local[2]"
driver_memory = "1g"
shuffle_partitions = 2
quick_start = true
[histories]
max_events = 20
[model]
n_layer = 1
n_head = 1
n_embd = 16
n_positions = 64
text_vocab_size = 300
[training]
max_epochs = 1
text_epochs = 1
min_users = 5
[generation]
k = 3
shards = 2
"""

Ending = tuple[str, int]  # the last stage that was run, and its exit code
NightRunner = Callable[[Path, dt.date, str], dict[str, Seen]]
StageRunner = Callable[..., Ending]


def run_stages(
    config: Path,
    run_date: dt.date,
    run_id: str,
    *,
    last: str = REPORT,
    seen: dict[str, Seen] | None = None,
) -> Ending:
    """Run a night's stages in order, to the first that fails or to `last`.

    Whatever a stage says it has committed would be there after a power cut.
    """
    lake = Path(load_settings(config, os.environ).paths.lake)
    common = ["--config", str(config), "--date", run_date.isoformat(), "--run-id", run_id]
    for stage in STAGES:
        main = importlib.import_module(f"jobs.{stage.job}").main
        with lake_spy() as looked_at, power_cuts(lake):
            code = main([*common, *stage.arguments])
        _assert_declared(stage, looked_at)
        if seen is not None:
            seen[stage.name] = looked_at
        if code or stage.name == last:
            break
    return stage.name, code


def run_night(config: Path, run_date: dt.date, run_id: str) -> dict[str, Seen]:
    """Run every stage of a night; the first that fails fails the test. What each one saw."""
    seen: dict[str, Seen] = {}
    assert run_stages(config, run_date, run_id, seen=seen) == (REPORT, 0)
    return seen


def _assert_declared(stage: NightStage, seen: Seen) -> None:
    """A stage looks at no dataset and writes none but those that the table of stages names."""
    named = {RUNS, *stage.reads, *stage.reads_before, *stage.writes}
    assert seen.touched <= named, f"{stage.name}: {seen.touched - named} not in pipeline/stages.py"
    assert seen.begun <= set(stage.writes), stage.name
