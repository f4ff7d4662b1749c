"""What a model was made from: data, days, code and settings, for its card and its report."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from pipeline.code_version import code_version
from pipeline.datasets import CATALOGUE, HISTORIES, ITEM_WORDS
from pipeline.lake import Lake, Run
from pipeline.settings import Settings
from pipeline.training.night_inputs import NightInputs


def data_read(lake: Lake, run: Run, inputs: NightInputs) -> dict[str, Any]:
    """What was read, and the days that its events cover."""
    days = {time.date() for user in inputs.users for time in user.event_times[: user.n_known]}
    read = {name: lake.current(name, run.run_date) for name in (HISTORIES, CATALOGUE, ITEM_WORDS)}
    return {
        "first_day": min(days).isoformat(),
        "last_day": max(days).isoformat(),
        "days": len(days),
        "datasets": {
            name: {
                "run_date": partition.run_date.isoformat(),
                "run_id": partition.directory_id,
                "rows": partition.rows,
                "files": {entry["path"]: entry["sha256"] for entry in partition.manifest["files"]},
            }
            for name, partition in read.items()
            if partition is not None
        },
    }


def code_used() -> dict[str, Any]:
    """Package, commit, libraries, and the threads that rounding depends on."""
    libraries = f"torch {torch.__version__}, transformers {transformers.__version__}"
    return code_version() | {"libraries": libraries, "threads": torch.get_num_threads()}


def settings_used(settings: Settings) -> dict[str, Any]:
    """The settings that made the model, without paths."""
    sections = ("model.", "training.", "histories.", "reasons.", "evaluation.", "seed")
    # Validation ranks what generation may send.
    made_by = (*sections, "generation.exclude_owned")
    return {name: value for name, value in settings.values().items() if name.startswith(made_by)}
