"""Following runs through a database that goes away."""

from __future__ import annotations

import json

import pytest
from sqlalchemy.exc import OperationalError

from jobs.server import airflow_runs


class Database:
    """Answers after some failures, or never."""

    def __init__(self, failures: float) -> None:
        self.failures = failures

    def __call__(self, _: object) -> dict[tuple[str, str], str]:
        self.failures -= 1
        if self.failures >= 0:
            raise OperationalError("SELECT", {}, Exception("gone"))
        return {("r", "clean"): "success", ("r", ""): "success"}


def test_a_database_that_comes_back_is_followed_and_one_that_does_not_is_given_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(airflow_runs, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(airflow_runs, "_states", Database(failures=3))
    airflow_runs.follow(["r"])
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said[-1] == {"run_id": "r", "state": "success"}
    monkeypatch.setattr(airflow_runs, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(airflow_runs, "_states", Database(failures=float("inf")))
    with pytest.raises(OperationalError):
        airflow_runs.follow(["r"])
