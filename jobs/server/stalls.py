"""Which of Airflow's processes run, but do nothing any more.

A process that has ended is started again by the supervisor. One that waits for ever (a lock, a
child that never answers) ends nothing: its nights stand still and nobody is told. Airflow's public
health page has the last heartbeat of the scheduler and the DAG processor; where one has not moved
for `STALLED_SECONDS`, or where the page itself does not answer, that process is to be ended.

Source: Airflow 3, "Checking Airflow Health Status", `/api/v2/monitor/health`.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipeline.errors import SettingsError

STALLED_VARIABLE = "NIGHTCART_STALLED_SECONDS"
STALLED_SECONDS = 300.0
START_SECONDS = 120.0  # a loaded machine needs that to import Airflow
LOOK_SECONDS = 10.0
ANSWER_SECONDS = 5.0
HEALTH_PAGE = "/api/v2/monitor/health"
# Later than that after the last look, the watch itself stood still: the machine was frozen or
# paused, and with it all that is looked at.
FROZEN_SECONDS = LOOK_SECONDS + ANSWER_SECONDS + 30.0
API_SERVER = "api-server"
# Process -> its part of the page, and the heartbeat in it.
HEARTBEATS = {
    "scheduler": ("scheduler", "latest_scheduler_heartbeat"),
    "dag-processor": ("dag_processor", "latest_dag_processor_heartbeat"),
}

Heartbeats = Mapping[str, str]


def stalled_seconds(environ: Mapping[str, str]) -> float:
    """How long a process may show no life, from the environment or the default.

    Raises:
        SettingsError: the variable is not a positive number of seconds.
    """
    value = environ.get(STALLED_VARIABLE) or str(STALLED_SECONDS)
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise SettingsError(f"{STALLED_VARIABLE}: expected a number of seconds, found {value!r}")
    return seconds


def read_heartbeats(api_url: str) -> Heartbeats | None:
    """Process -> time of its last heartbeat as the page writes it; None if nothing answers.

    A process without a heartbeat yet, and all of them while the database is away, are left out.
    """
    try:
        # Our own address, on loopback.
        with urllib.request.urlopen(f"{api_url}{HEALTH_PAGE}", timeout=ANSWER_SECONDS) as page:  # noqa: S310
            parts = json.load(page)
    except urllib.error.HTTPError:
        return {}  # it answers, if only with an error
    except (OSError, ValueError):
        return None
    found = {}
    for process, (part, heartbeat) in HEARTBEATS.items():
        of_part = parts.get(part) if isinstance(parts, dict) else None
        if isinstance(of_part, dict) and of_part.get(heartbeat):
            found[process] = str(of_part[heartbeat])
    return found


@dataclass
class StallWatch:
    """Looks at the health page now and then, and remembers since when nothing has moved.

    Time is the monotonic clock's, which stands still while a laptop sleeps: a heartbeat that is
    old because the machine slept is no stall. Nor is one that is old because everything was frozen
    (a paused container or virtual machine): there the clock goes on, but no look was taken.
    """

    seconds: float
    read: Callable[[], Heartbeats | None]
    clock: Callable[[], float] = time.monotonic
    looked: float = float("-inf")
    moved: dict[str, float] = field(default_factory=dict)  # process -> when it last showed life
    known: dict[str, str] = field(default_factory=dict)  # process -> the heartbeat then

    def stalled(self, running_since: Mapping[str, float]) -> list[str]:
        """Which of the running processes (name -> start on the same clock) are to be ended."""
        now = self.clock()
        if now - self.looked < min(LOOK_SECONDS, self.seconds / 4):
            return []
        was_frozen = now - self.looked > FROZEN_SECONDS and self.looked > float("-inf")
        self.looked = now
        if was_frozen:
            self.moved = dict.fromkeys((API_SERVER, *HEARTBEATS), now)
            return []
        heartbeats = self.read()
        if heartbeats is not None:
            self.moved[API_SERVER] = now
        for process in HEARTBEATS:
            heartbeat = (heartbeats or {}).get(process)
            if heartbeat is None:
                # Nobody can tell without the page or the database: the wait starts again.
                self.moved[process] = now
            elif self.known.get(process) != heartbeat:
                self.known[process], self.moved[process] = heartbeat, now
        return [
            process
            for process in (API_SERVER, *HEARTBEATS)
            if process in running_since
            and now - self._last_life(process, running_since[process]) > self.seconds
        ]

    def _last_life(self, process: str, started: float) -> float:
        return max(self.moved.get(process, started), started + START_SECONDS)
