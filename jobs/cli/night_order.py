"""The stages of a night, in order, and what a person may ask of one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

STAGES = (
    "wait_for_raw",
    "clean",
    "validate_cleaned",
    "build_histories",
    "validate_histories",
    "fine_tune",
    "evaluate",
    "generate",
    "validate_generated",
    "publish",
    "report",
)
# The DAG's other tasks, which depend on the stages and are no stages of their own.
BESIDE = ("degrade", "announce", "night_complete")
# A stage's job and the arguments that the DAG gives it.
JOBS: dict[str, tuple[str, ...]] = {
    **{stage: (stage,) for stage in STAGES},
    "validate_cleaned": ("validate", "--dataset", "cleaned"),
    "validate_histories": ("validate", "--dataset", "histories"),
    "validate_generated": ("validate", "--dataset", "generated"),
}
# What comes after `generate` belongs to the run that generated and cannot be another's.
STARTING_STAGES = STAGES[: STAGES.index("generate") + 1]


@dataclass(frozen=True)
class NightOrder:
    """What was asked for: the date; the stage to go on from; the patience for late files."""

    run_date: date
    from_stage: str | None = None
    wait_minutes: int = 0
    retrain: str = "per_night"
    wake_export: str = "newest"
