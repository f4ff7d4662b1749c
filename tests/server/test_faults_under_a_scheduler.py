"""What only a running server shows: PostgreSQL, the DAG processor, the scheduler, all real.

The delivery comes late, the scheduler is killed with its tasks, PostgreSQL is stopped for 20 s: one
night meets them all and is published. The next one has no delivery, then a poisoned one, then a good
one: it fails twice, readers keep what they had, and one command heals it.

`benchmarks.faults_on_a_server` goes further (Spark's workers, tasks, the same night in peace);
killed jobs are in `tests/nights/test_killed_jobs.py`.
"""

from __future__ import annotations

import os
import shutil

import pytest

from benchmarks.faults_on_a_server import delivered, disturbed, healed
from pipeline.lake import Lake

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.timeout(1800)]

FAULTS = (("scheduler", "clean"), ("postgres", "build_histories"))


def test_a_night_of_faults_and_one_that_is_healed() -> None:
    server, night, missing = delivered(port=20000 + os.getpid() % 5000 * 3)
    try:
        server.up("--no-spark")
        struck = disturbed(server, night, FAULTS)
        said = healed(server, missing)
    finally:
        server.nightcart("server", "down", check=False)
    assert {each["in"] for each in struck} == {"wait_for_raw", *(stage for _, stage in FAULTS)}
    assert "lacks" in said["missing"]
    assert "column price is missing" in said["poisoned"]
    latest = Lake(server.home / "lake").latest("recommendations")
    assert latest is not None
    assert latest.run_date == missing
    assert latest.rows > 0
    shutil.rmtree(server.home)
