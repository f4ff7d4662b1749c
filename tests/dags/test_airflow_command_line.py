"""What Airflow itself does with the DAGs: refuses params that are wrong, tests the export."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.cli.airflow_home import airflow_environment
from pipeline.exports.folder import read_export
from pipeline.lake import Lake
from pipeline.settings import Settings
from tests.publishing.conftest import NIGHT, Night

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(900)]

# The pages' form posts to this; the server is asked without a socket, as the operator.
TRIGGER = """
import json, sys
from airflow.api_fastapi.app import create_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from fastapi.testclient import TestClient
app = create_app(apps="core")
app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(
    username="admin", role="admin"
)
for mounted in app.routes:
    if hasattr(mounted, "app") and hasattr(mounted.app, "dependency_overrides"):
        mounted.app.dependency_overrides[get_user] = app.dependency_overrides[get_user]
dag, conf = sys.argv[1:]
body = {"logical_date": None, "conf": json.loads(conf)}
answer = TestClient(app).post(f"/api/v2/dags/{dag}/dagRuns", json=body)
print("ANSWER", json.dumps([answer.status_code, answer.text]))
"""


def airflow(home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        env={**airflow_environment(home, os.environ), **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def home(airflow_of_the_tests: Path) -> Path:
    """Airflow knows the DAGs as a DAG processor would have told it."""
    done = airflow(airflow_of_the_tests, "-m", "airflow", "dags", "reserialize")
    assert done.returncode == 0, done.stderr
    return airflow_of_the_tests


@pytest.mark.parametrize(
    ("dag", "conf", "says"),
    [
        ("nightly_recommendations", {"retrain": "monthly"}, "monthly"),
        ("export_lists", {"run_date": "1 March"}, "1 March"),
    ],
)
def test_a_wrong_param_is_refused_on_the_command_line_and_in_the_form(
    home: Path, dag: str, conf: dict[str, str], says: str
) -> None:
    words = ("-m", "airflow", "dags", "trigger", dag, "--conf", json.dumps(conf))
    done = airflow(home, *words)
    assert done.returncode != 0
    assert says in done.stdout + done.stderr
    done = airflow(home, "-c", TRIGGER, dag, json.dumps(conf))
    assert "ANSWER" in done.stdout, done.stdout + done.stderr
    code, text = json.loads(done.stdout.partition("ANSWER")[2].splitlines()[0])
    assert code == 400, text
    assert says in text


def test_the_export_by_airflow_dags_test(
    home: Path, tmp_path: Path, lake: Lake, settings: Settings
) -> None:
    config = tmp_path / "shop.toml"
    config.write_text('[paths]\nlake = "lake"\n[exports]\nids = "pseudonym"\n')
    assert Path(settings.paths.lake) == tmp_path / "lake"
    words = ("-m", "airflow", "dags", "test", "export_lists", str(NIGHT + dt.timedelta(days=1)))
    done = airflow(home, *words, NIGHTCART_CONFIG=str(config))
    assert done.returncode != 0
    assert "nothing is published" in done.stdout + done.stderr
    two = dataclasses.replace(settings.generation, k=2)
    night = Night(lake, dataclasses.replace(settings, generation=two))
    night.generate()
    night.publish()
    done = airflow(home, *words, NIGHTCART_CONFIG=str(config))
    assert done.returncode == 0, done.stdout + done.stderr
    exported = read_export(tmp_path / "exports" / "csv" / NIGHT.isoformat())
    assert exported.manifest["counts"]["exported"] == 3
