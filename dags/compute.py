"""Where a job runs: a process here, `spark-submit`, or a pod. Only this module decides it.

- in a process on this machine, by default;
- `spark-submit` to a master, for the Spark stages (and `generate` with `generation.runner`
  "spark"), when `compute.spark_connection` names an Airflow connection (`spark://host:7077`): the
  driver stays here, the executors are the cluster's;
- a Kubernetes pod with a GPU, for the stages that run the model, when `compute.kubernetes_image`
  names an image, by `kubectl` and its own login. This last one is thin and was never exercised.

Every way gives the same argument list to the same job, and its exit code back. A driver that is
lost and started twice does no harm: jobs commit by rename.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.class_archive import archive_options
from pipeline.settings import Settings
from pipeline.spark_network import network_options
from pipeline.stages import GENERATE, STAGES, Engine

SPARK_JOBS = frozenset(stage.job for stage in STAGES if stage.engine is Engine.SPARK)
GPU_JOBS = frozenset(stage.job for stage in STAGES if stage.gpu)
ROOT = Path(__file__).resolve().parents[1]
LOG_SETTINGS = ROOT / "pipeline" / "spark_log4j2.properties"

MasterOf = Callable[[str], str]  # Airflow connection id -> Spark master


@dataclass(frozen=True)
class Command:
    """A process: its argument list and what its environment has beside the task's own."""

    arguments: list[str]
    environ: Mapping[str, str] = field(default_factory=dict)


def command(job: str, arguments: Sequence[str], settings: Settings, master_of: MasterOf) -> Command:
    """The process that runs a job."""
    here = [sys.executable, "-m", f"jobs.{job}", *arguments]
    on_spark = job in SPARK_JOBS or (job == GENERATE and settings.generation.runner == "spark")
    if settings.compute.spark_connection and on_spark:
        return _submitted(job, arguments, settings, master_of(settings.compute.spark_connection))
    if settings.compute.kubernetes_image and job in GPU_JOBS:
        return Command(_pod(job, arguments, settings.compute.kubernetes_image))
    return Command(here)


def master_of_connection(connection_id: str) -> str:
    """`spark://host:port` from an Airflow connection, or its host as it is (`yarn`, `k8s://…`)."""
    from airflow.sdk import Connection  # inside a task only: it asks Airflow's API

    connection = Connection.get(connection_id)
    host = connection.host or ""
    if "://" in host or not connection.port:
        return str(host)
    return f"spark://{host}:{connection.port}"


def _submitted(job: str, arguments: Sequence[str], settings: Settings, master: str) -> Command:
    """`spark-submit` in client mode: its exit code is the job's."""
    java = f"-Dlog4j2.configurationFile={LOG_SETTINGS.as_uri()} {archive_options()}"
    options = {
        "--master": master,
        "--deploy-mode": "client",
        "--name": f"nightcart {job}",
        "--driver-memory": settings.spark.driver_memory,
        "--driver-java-options": java.strip(),
    }
    submit = [str(Path(sys.executable).with_name("spark-submit"))]
    for name, value in options.items():
        submit += [name, value]
    for name, value in network_options(master).items():
        submit += ["--conf", f"{name}={value}"]
    environ = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    return Command([*submit, str(ROOT / "jobs" / f"{job}.py"), *arguments], environ)


def _pod(job: str, arguments: Sequence[str], image: str) -> list[str]:
    """A pod with one GPU that ends with the job.

    The lake and the settings must be mounted by the cluster's own defaults.
    """
    program = ["python", "-m", f"jobs.{job}", *arguments]
    words = "-".join(["nightcart", job, *arguments])
    name = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:60].strip("-")
    container = {
        "name": name,
        "image": image,
        "command": program,
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    overrides = {"apiVersion": "v1", "spec": {"containers": [container]}}
    return [
        *("kubectl", "run", name, "--rm", "--attach", "--quiet", "--restart=Never"),
        *(f"--image={image}", f"--overrides={json.dumps(overrides)}"),
    ]
