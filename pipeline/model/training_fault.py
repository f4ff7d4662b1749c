"""Why a run's training came to nothing, for the evaluation that follows it.

`<lake>/runs/run_date=D/run_id=R/training_fault.json`, written by fine_tune when the model it trained
is broken and not the shop's data: the night then goes on with the champion.
"""

from __future__ import annotations

import json

from pipeline.lake import Lake, Run, storage_errors, write_json

FAULT_FILE = "training_fault.json"


def write_fault(lake: Lake, run: Run, why: str) -> None:
    """Leave a note."""
    path = lake.records(run) / FAULT_FILE
    with storage_errors(f"cannot write {path}"):
        write_json(path, {"why": why})


def clear_fault(lake: Lake, run: Run) -> None:
    """Take back what an earlier attempt of the run left."""
    path = lake.records(run) / FAULT_FILE
    with storage_errors(f"cannot remove {path}"):
        path.unlink(missing_ok=True)


def read_fault(lake: Lake, run: Run) -> str | None:
    """The note, or none."""
    path = lake.records(run) / FAULT_FILE
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["why"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"training failed, and its note {path} cannot be read: {error}"
