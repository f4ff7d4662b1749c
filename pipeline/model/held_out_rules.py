"""Whether a model was trained under the rules that say tonight which event is held out.

A model that was trained under others may have learned what is held out now.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.settings import Settings

TRAINING_REPORT = "training_report.json"
RULES = ("generation.exclude_owned", "histories.target_event_types")


def held_out_otherwise(directory: Path, settings: Settings) -> str | None:
    """What was different when a model was trained; None also where its report does not say.

    Args:
        directory: of the model.
        settings: tonight's.
    """
    try:
        report = json.loads((directory / TRAINING_REPORT).read_text(encoding="utf-8"))
        before: dict[str, Any] = report["settings"]
        now = json.loads(json.dumps({name: settings.values()[name] for name in RULES}))
        changed = [name for name in RULES if name in before and _of(before[name]) != _of(now[name])]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not changed:
        return None
    return f"it was trained under another {' and '.join(changed)}, and may know what is held out"


def _of(value: Any) -> Any:
    """The order of event types decides nothing."""
    return sorted(value) if isinstance(value, list) else value
