"""What a person may ask of a night."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pipeline.night_dag import NEWEST, PER_NIGHT
from pipeline.stages import GENERATE, names_before

# What comes after `generate` belongs to the run that generated and cannot be another's.
STARTING_STAGES = (*names_before(GENERATE), GENERATE)


@dataclass(frozen=True)
class NightOrder:
    """The date, the stage to go on from, the patience for late files, asking tables again."""

    run_date: date
    from_stage: str | None = None
    wait_minutes: int = 0
    retrain: str = PER_NIGHT
    wake_export: str = NEWEST
    fetch_again: bool = False
