"""When a night's time is up: `night.degrade_after_minutes` after its run was started.

A run that is cleared after it had ended is started anew and has all its time again. `airflow dags
test` says that a run started at its logical date, long ago for a past night: `nightcart run` says
when by `NIGHTCART_NIGHT_STARTED`, and without that nothing ends such a run. Standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.night_dag import STARTED_VARIABLE
from pipeline.settings import Settings

SETTING = "night.degrade_after_minutes"


def ends_at(context: Mapping[str, Any], settings: Settings) -> datetime | None:
    """The moment by which the night must be published; none where nothing ends it."""
    minutes = settings.night.degrade_after_minutes
    started = _started(context["dag_run"])
    return started + timedelta(minutes=minutes) if minutes and started is not None else None


def _started(dag_run: Any) -> datetime | None:
    said = os.environ.get(STARTED_VARIABLE)
    if said:
        return datetime.fromisoformat(said)
    started: datetime | None = getattr(dag_run, "start_date", None)
    return None if started == getattr(dag_run, "logical_date", None) else started


def is_up(context: Mapping[str, Any], settings: Settings) -> bool:
    """Whether that moment has passed."""
    end = ends_at(context, settings)
    return end is not None and datetime.now(UTC) >= end


def in_words(end: datetime, settings: Settings) -> str:
    """Why a task was ended, or not begun."""
    minutes = settings.night.degrade_after_minutes
    return f"the night's time was up at {end:%Y-%m-%d %H:%M} UTC ({SETTING} = {minutes})"
