"""PostgreSQL, a real scheduler, a backfill of a night, its lists again: the proof that CI can afford.

`python -m benchmarks.nights_on_a_server` runs as many nights as it is asked to; docs/experiments.md
has the figures of longer runs.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.airflow,
    pytest.mark.cluster,
    pytest.mark.timeout(2400),
]


def free_ports(count: int) -> int:
    """The first of some consecutive ports that nobody listens on."""
    for first in range(23000, 32000, 10):
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")


def test_a_night_by_backfill_and_its_lists_again() -> None:
    proof = [sys.executable, "-m", "benchmarks.nights_on_a_server", "--nights", "1", "--again", "0"]
    proof += ["--port", str(free_ports(6))]
    done = subprocess.run(proof, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert (said["nights"], said["again"], said["asset_events"]) == (1, 0, 1)
