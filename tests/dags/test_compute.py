"""Where a job runs: the argument list of each way, to the same job with the same arguments."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.settings import Compute, Generation, Settings

ARGUMENTS = ["--date", "2026-03-01", "--run-id", "r1"]


def command(job: str, **compute: Any) -> Any:
    from dags.compute import command as decide

    settings = dataclasses.replace(Settings(), compute=Compute(**compute))
    return decide(job, ARGUMENTS, settings, lambda name: f"spark://{name}:7077")


@pytest.mark.parametrize("job", ["clean", "fine_tune", "publish"])
def test_by_default_a_job_is_a_process_here(airflow_home: Path, job: str) -> None:
    assert command(job).arguments == [sys.executable, "-m", f"jobs.{job}", *ARGUMENTS]


SPARK_JOBS = ["clean", "validate", "build_histories"]


@pytest.mark.parametrize("job", SPARK_JOBS)
def test_spark_stages_are_submitted_to_the_connections_master(airflow_home: Path, job: str) -> None:
    words = command(job, spark_connection="cluster").arguments
    assert Path(words[0]).name == "spark-submit"
    assert words[words.index("--master") + 1] == "spark://cluster:7077"
    assert words[words.index("--deploy-mode") + 1] == "client"  # its exit code is the job's
    script = words.index(next(word for word in words if word.endswith(f"{job}.py")))
    assert Path(words[script]).is_file()
    assert words[script + 1 :] == ARGUMENTS


def test_generation_is_submitted_where_sparks_workers_make_the_shards(airflow_home: Path) -> None:
    from dags.compute import command as decide

    settings = dataclasses.replace(
        Settings(),
        compute=Compute(spark_connection="cluster"),
        generation=Generation(runner="spark"),
    )
    words = decide("generate", ARGUMENTS, settings, lambda name: f"spark://{name}:7077").arguments
    assert words[words.index("--master") + 1] == "spark://cluster:7077"
    assert command("generate", spark_connection="cluster").arguments[0] == sys.executable


def test_where_each_stages_job_can_run(airflow_home: Path) -> None:
    from dags import compute

    assert sorted(SPARK_JOBS) == sorted(compute.SPARK_JOBS)
    assert sorted(compute.GPU_JOBS) == ["fine_tune", "generate"]


def test_only_model_stages_become_pods_and_only_spark_stages_are_submitted(
    airflow_home: Path,
) -> None:
    both = {"spark_connection": "cluster", "kubernetes_image": "gpu:1"}
    assert command("fine_tune", **both).arguments[:2] == ["kubectl", "run"]
    assert Path(command("clean", **both).arguments[0]).name == "spark-submit"
    assert command("publish", **both).arguments[0] == sys.executable
