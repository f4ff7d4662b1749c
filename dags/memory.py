"""Out of memory: how it is recognised, and the smaller batch that the retry is given.

A job that ran out says so in its last line (Python, torch, CUDA), or was killed by the kernel,
which counts its kills. How often a task of a run ran out is noted beside the run's records, because
Airflow keeps nothing of a failed attempt that the next could read. Each time halves the batch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.lake import Lake, Run, write_json
from pipeline.settings import Settings
from pipeline.stages import STAGES, Batch

BATCHES: Mapping[str, Batch] = {stage.job: stage.batch for stage in STAGES if stage.batch}
KILLED = -9
_SAID = re.compile(
    r"MemoryError|OutOfMemoryError|out of memory|can't allocate memory", re.IGNORECASE
)
_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))


def ran_out(code: int, last_words: str, kills_before: int) -> bool:
    """Whether a job ended for want of memory."""
    return bool(_SAID.search(last_words)) or (code == KILLED and kernel_kills() > kills_before)


def kernel_kills() -> int:
    """How many processes the kernel has killed for want of memory; 0 where it gives no number."""
    count = 0
    for path in _COUNTERS:
        try:
            lines = path.read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        count += sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return count


def note(lake: Lake, run: Run, job: str) -> None:
    """Count one more time that a job of a run ran out."""
    write_json(_path(lake, run, job), {"times": times(lake, run, job) + 1})


def times(lake: Lake, run: Run, job: str) -> int:
    """How often it did."""
    try:
        return int(json.loads(_path(lake, run, job).read_text(encoding="utf-8"))["times"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def smaller_batch(lake: Lake, run: Run, job: str, settings: Settings) -> dict[str, str]:
    """The override that the job's environment gets; empty for one that never ran out."""
    count = times(lake, run, job)
    if not count or job not in BATCHES:
        return {}
    batch = BATCHES[job]
    wanted = int(settings.values()[batch.setting])
    section, key = batch.setting.split(".")
    smaller = min(wanted, max(batch.smallest, wanted >> count))
    return {f"NIGHTCART_{section}__{key}".upper(): str(smaller)}


def _path(lake: Lake, run: Run, job: str) -> Path:
    return lake.records(run) / f"{job}.out_of_memory.json"
