"""What only a running server shows: PostgreSQL, the DAG processor, the scheduler, all real.

The delivery comes late, the scheduler is killed with its tasks, PostgreSQL is stopped for 20 s: one
night meets them all and is published. `benchmarks.faults_on_a_server` goes further (Spark's workers,
tasks, the same night in peace); killed jobs are in `tests/nights/test_killed_jobs.py`.
"""

from __future__ import annotations

import os
import shutil

import pytest

from benchmarks.faults_on_a_server import delivered, disturbed
from pipeline.lake import Lake

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.timeout(1800)]

FAULTS = (("scheduler", "clean"), ("postgres", "build_histories"))


def test_a_night_outlives_its_scheduler_its_database_and_a_late_delivery() -> None:
    server, night, _ = delivered(port=20000 + os.getpid() % 5000 * 3, days=3)
    try:
        server.up("--no-spark")
        struck = disturbed(server, night, FAULTS)
    finally:
        server.nightcart("server", "down", check=False)
    assert {each["in"] for each in struck} == {"wait_for_raw", *(stage for _, stage in FAULTS)}
    latest = Lake(server.home / "lake").latest("recommendations")
    assert latest is not None
    assert latest.run_date == night
    assert latest.rows > 0
    shutil.rmtree(server.home)
