"""The note that a run's training failed, and why, for the evaluation that follows.

fine_tune writes `<lake>/runs/run_date=D/run_id=R/training_fault.json` if the model that it trained
is broken although the shop's data is not. The night then goes on with the champion.
"""

from __future__ import annotations

import json

from pipeline.lake import Lake, Run, storage_errors, write_json

FAULT_FILE = "training_fault.json"


def write_fault(lake: Lake, run: Run, why: str) -> None:
    """Write the note."""
    path = lake.records(run) / FAULT_FILE
    with storage_errors(f"cannot write {path}"):
        write_json(path, {"why": why})


def clear_fault(lake: Lake, run: Run) -> None:
    """Remove the note of an earlier attempt of the run."""
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
