"""When a night's time is up: `night.degrade_after_minutes` after its run was started.

A run that is cleared after it had ended is started anew and has all its time again. Standard library
only.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.settings import Settings

SETTING = "night.degrade_after_minutes"


def ends_at(context: Mapping[str, Any], settings: Settings) -> datetime | None:
    """The moment by which the night must be published; none where nothing ends it."""
    minutes = settings.night.degrade_after_minutes
    started: datetime | None = getattr(context["dag_run"], "start_date", None)
    return started + timedelta(minutes=minutes) if minutes and started is not None else None


def is_up(context: Mapping[str, Any], settings: Settings) -> bool:
    """Whether that moment has passed."""
    end = ends_at(context, settings)
    return end is not None and datetime.now(UTC) >= end


def in_words(end: datetime, settings: Settings) -> str:
    """Why a task was ended, or not begun."""
    minutes = settings.night.degrade_after_minutes
    return f"the night's time was up at {end:%Y-%m-%d %H:%M} UTC ({SETTING} = {minutes})"
