"""What training cost: time, processor time, and energy where the machine tells it.

Energy is read from Intel's or AMD's RAPL counters (`/sys/class/powercap`), which count everything
that the packages did in the time. Where they cannot be read, it is estimated from processor time at
`WATTS_PER_CORE`, and said to be an estimate. A GPU's energy is not counted. Standard library only.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WATTS_PER_CORE = 10.0  # a busy server core with its share of the package
_COUNTERS = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Meter:
    """Counters as they stood at the start."""

    wall: float
    cpu: float
    joules: float | None

    @staticmethod
    def start(counters: Path = _COUNTERS) -> Meter:
        """Begin to count."""
        return Meter(time.monotonic(), _cpu_seconds(), _joules(counters))

    def spent(self, counters: Path = _COUNTERS) -> dict[str, Any]:
        """Seconds, processor seconds, watt-hours, and how the energy is known."""
        cpu = _cpu_seconds() - self.cpu
        now = _joules(counters)
        # A counter that wrapped around has counted less than before: not known then.
        measured = now is not None and self.joules is not None and now >= self.joules
        if measured and now is not None and self.joules is not None:
            joules, source = now - self.joules, "measured by RAPL, the whole machine"
        else:
            joules = cpu * WATTS_PER_CORE
            source = f"estimated at {WATTS_PER_CORE:.0f} W a core"
        return {
            "seconds": round(time.monotonic() - self.wall, 1),
            "processor_seconds": round(cpu, 1),
            "watt_hours": round(joules / 3600, 3),
            "energy_source": source,
        }


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _joules(counters: Path) -> float | None:
    """Sum over packages (`intel-rapl:0`, not its parts `intel-rapl:0:0`); none without any."""
    paths = [
        path for path in counters.glob("intel-rapl:*/energy_uj") if path.parent.name.count(":") == 1
    ]
    try:
        return sum(int(path.read_text()) for path in paths) / 1e6 if paths else None
    except (OSError, ValueError):
        return None
