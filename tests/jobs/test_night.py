"""`nightcart run` on real Airflow: a night that cannot start, one that is stopped, a whole one."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.cli.airflow_home import night_lock
from pipeline.lake import Lake, Run
from pipeline.publishing.query import run_query
from pipeline.settings import Settings
from tests.night_runner import NightRunner
from tests.publishing.conftest import Night as PublishedNight

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.airflow

SMALL_NIGHT = """\
[shop]
name = "small shop"
[paths]
raw = "raw"
lake = "lake"
airflow = "{airflow}"
[spark]
master = "local[2]"
driver_memory = "1g"
shuffle_partitions = 2
quick_start = true
[model]
n_layer = 1
n_head = 1
n_embd = 16
n_positions = 64
text_vocab_size = 300
[training]
max_epochs = 2
text_epochs = 1
"""


@pytest.fixture
def settings_file(shop: Path, airflow_of_the_tests: Path) -> Path:
    config = shop / "nightcart.toml"
    config.write_text(SMALL_NIGHT.format(airflow=airflow_of_the_tests))
    return config


def start(*arguments: str, **streams: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.cli.main", *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **streams,
    )


def nightcart(*arguments: str) -> tuple[int, str]:
    process = start(*arguments)
    said, _ = process.communicate()
    return process.returncode, said


def processes_that_name(text: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(text in part for part in process.info["cmdline"] or ())
    ]


def test_missing_raw_files_end_the_night_with_one_message_and_publish_nothing(
    shop: Path, settings_file: Path
) -> None:
    code, said = nightcart("run", "--date", "2026-03-01")
    assert code == 1
    assert "The night failed at wait_for_raw" in said
    assert f"{shop / 'raw'} lacks date=2026-03-01/events.jsonl" in said
    assert said.count("lacks") == 1
    # Exit code 65: neither tried again, nor followed by anything but the report.
    assert "wait_for_raw, attempt 2" not in said
    assert "▸ clean" not in said
    assert "✓ report" in said
    assert "nothing yet" in said
    again = re.search(r"^ +to redo it +(.*)$", said, re.MULTILINE)
    assert again is not None
    words = shlex.split(again[1])
    assert words[-5:] == ["run", "--date", "2026-03-01", "--config", "nightcart.toml"]
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([*words, "--help"], env=environ, check=True, capture_output=True)
    log = re.search(r"^ +log +(.*)$", said, re.MULTILINE)
    assert log is not None
    assert "lacks date=2026-03-01" in Path(log[1]).read_text()
    assert Lake(shop / "lake").latest("recommendations") is None

    code, said = nightcart("status")
    assert code == 0
    assert "no: wait_for_raw failed" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_night_leaves_no_process_and_its_lock_free(
    shop: Path, settings_file: Path, airflow_of_the_tests: Path, number: signal.Signals
) -> None:
    process = start("run", "--date", "2026-03-01", "--wait-minutes", "60")
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "▸ wait_for_raw" in line:
            code, refused = nightcart("run", "--date", "2026-03-02")
            assert code == 75
            assert "another night is running" in refused
            process.send_signal(number)
    process.wait()
    assert process.returncode == 130
    assert "stopping" in "".join(said)
    assert processes_that_name(str(settings_file)) == []
    with night_lock(airflow_of_the_tests):
        pass  # free again: it would raise


@pytest.mark.slow
def test_a_demo_heeds_no_settings_of_another_shop(
    shop: Path, airflow_of_the_tests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop / "demo").mkdir()
    (shop / "demo" / "nightcart.toml").write_text(SMALL_NIGHT.format(airflow=airflow_of_the_tests))
    monkeypatch.setenv("NIGHTCART_PATHS__LAKE", str(shop / "the_real_lake"))
    monkeypatch.setenv("NIGHTCART_CONFIG", str(shop / "no_such_file.toml"))
    process = start("demo", "--small", "--keep")
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "✓ wait_for_raw" in line:
            process.send_signal(signal.SIGINT)
    assert process.wait() == 130, said
    assert "not heeded in a demo: NIGHTCART_CONFIG, NIGHTCART_PATHS__LAKE\n" in said
    assert not (shop / "the_real_lake").exists()
    assert list((shop / "demo" / "lake" / "runs").glob("*/*/wait_for_raw.json"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_small_night_is_published_and_a_rerun_gives_the_same_files(
    shop: Path, settings_file: Path, run_night: NightRunner
) -> None:
    """The rerun goes without Airflow: the bytes do not depend on what starts the jobs."""
    shop_of = ("--users", "120", "--items", "50", "--days", "3", "--out", str(shop / "raw"))
    assert nightcart("simulate", *shop_of)[0] == 0
    night = dt.date(2026, 1, 18)

    code, said = nightcart("run", "--date", night.isoformat())
    assert code == 0, said
    lake = Lake(shop / "lake")
    first = lake.latest("recommendations")
    assert first is not None
    assert first.run_date == night
    assert f"Published {first.rows:,} shoppers" in said
    records = lake.records(Run(night, first.run_id))
    stages = {path.stem: json.loads(path.read_text())["status"] for path in records.glob("*.json")}
    assert set(stages.values()) == {"done"}
    assert (records / "report.html").exists()

    sql = "SELECT count(DISTINCT user_id) AS users FROM recommendations_latest"
    assert json.loads(nightcart("query", "--format", "json", sql)[1]) == {"users": first.rows}

    run_night(settings_file, night, "again")
    second = lake.latest("recommendations")
    assert second is not None
    assert second.run_id != first.run_id
    assert second.manifest["files"] == first.manifest["files"]  # paths, bytes and SHA-256
    code, said = nightcart("status")
    assert "replaced by a later run" in said


def test_a_night_without_files_leaves_last_nights_lists_marked_where_that_is_asked_for(
    shop: Path, settings_file: Path, settings: Settings
) -> None:
    two = dataclasses.replace(settings.generation, k=2)
    before = PublishedNight(Lake(shop / "lake"), dataclasses.replace(settings, generation=two))
    before.generate()
    before.publish()
    with settings_file.open("a") as file:
        file.write("[night]\ndegrade_after_minutes = 600\n")
    tonight = before.run.run_date + dt.timedelta(days=1)
    code, said = nightcart("run", "--date", str(tonight))
    assert code == 1
    assert "The night failed at wait_for_raw" in said
    assert f"the lists of {before.run.run_date} in place of this night's" in said
    sql = "SELECT DISTINCT run_date, method, fallback_reason FROM recommendations_latest"
    rows = list(run_query(before.lake, sql).rows)
    assert rows == [(tonight, "last_night", "night_failed")]
    said = " ".join(nightcart("status")[1].split())
    assert f"no: the lists of {before.run.run_date} stand in: wait_for_raw:" in said
    (page,) = before.lake.dataset("runs").glob(f"run_date={tonight}/*/report.html")
    assert "Not made in time" in page.read_text(encoding="utf-8")
