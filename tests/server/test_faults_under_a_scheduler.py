"""What only a running server shows: PostgreSQL, the DAG processor, the scheduler, all real.

A night is published. The next one's delivery comes late and is poisoned: the night fails, readers
keep what they had. The delivery is mended, and one command heals the night, although the scheduler
is frozen until the supervisor ends it with its tasks, and PostgreSQL is stopped for 20 s on the
way.

`benchmarks.faults_on_a_server` goes further (Spark's workers, tasks, a killed scheduler, a night
without a delivery, the same night in peace); killed jobs are in `tests/nights/test_killed_jobs.py`.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil

import pytest

from benchmarks.faults_on_a_server import backfill_of, delivered, striking, why_unpublished
from benchmarks.nights_on_a_server import published
from pipeline.lake import Lake
from tests.night_runner import NightRunner

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.timeout(1800)]

FAULTS = (("freeze", "clean"), ("postgres", "build_histories"))


def test_a_late_and_poisoned_night_is_healed_while_scheduler_and_database_fail(
    run_night: NightRunner,
) -> None:
    server, night, _ = delivered(port=20000 + os.getpid() % 5000 * 3)
    lake = Lake(server.home / "lake")
    before = night - dt.timedelta(days=1)
    run_night(server.home / "nightcart.toml", before, "before")
    readers = published(lake)
    assert list(readers) == [str(before)]
    items = server.home / f"late-{night}" / "items.csv"
    good = items.read_text("utf-8")
    items.write_text(good.replace("price", "prix", 1), "utf-8")
    try:
        server.up()
        with striking(server, night, ()) as late:
            failed = server.nightcart(*backfill_of(night), "--wait-minutes", "30", check=False)
        assert failed.returncode == 1
        assert [each["in"] for each in late] == ["wait_for_raw"]
        assert "column price is missing" in why_unpublished(server, night)
        assert published(lake) == readers
        assert server.events() == []

        delivery = server.home / "raw" / f"date={night}"
        (delivery / "items.csv").write_text(good, "utf-8")
        with striking(server, night, FAULTS) as struck:
            server.nightcart("redo", "--date", str(night))
        assert {each["in"] for each in struck} == {stage for _, stage in FAULTS}
        assert server.events() == [str(night)], "one asset event a promoted night"
    except BaseException:
        server.show_logs()
        raise
    finally:
        server.nightcart("server", "down", check=False)
    latest = lake.latest("recommendations")
    assert latest is not None
    assert latest.run_date == night
    assert latest.rows > 0
    shutil.rmtree(server.home)
