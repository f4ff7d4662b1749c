"""Start the processes that train one model together, and say how they ended.

By torch's own launcher (what `torchrun` is) on this machine, or by Spark's TorchDistributor: with a
local master on this machine, else one barrier task a process on the cluster, whose workers must see
the lake. The processes are this same job; each finds its place in the environment.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import DATA_ERROR, OK
from pipeline.lake import Lake, Run, storage_errors
from pipeline.settings import Settings

log = logging.getLogger("nightcart")

FAILED = 1  # worth a retry


def launch(settings: Settings, run: Run, arguments: Sequence[str]) -> int:
    """Run `training.processes` processes of jobs.fine_tune; return the job's exit code.

    Args:
        arguments: of the job, handed on as they are; they name the same `run`.
    """
    if settings.training.launcher == "spark":
        return _by_spark(settings, run, arguments)
    return _by_torchrun(settings.training.processes, arguments)


def _by_torchrun(n_processes: int, arguments: Sequence[str]) -> int:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=n_processes,
        run_id="fine_tune",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,  # whether to try again is for whoever started the stage
    )
    try:
        elastic_launch(config, sys.executable)("-m", "jobs.fine_tune", *arguments)
    except ChildFailedError as error:
        codes = {failure.exitcode for failure in error.failures.values()}
        return DATA_ERROR if DATA_ERROR in codes else FAILED
    return OK


def _by_spark(settings: Settings, run: Run, arguments: Sequence[str]) -> int:
    from pyspark.ml.torch.distributor import TorchDistributor
    from pyspark.sql import SparkSession

    from jobs import fine_tune
    from pipeline.spark_session import open_spark

    record = Lake(settings.paths.lake).records(run) / "fine_tune.json"
    with storage_errors(f"cannot replace {record}"):
        record.unlink(missing_ok=True)
    ours = SparkSession.getActiveSession() is None
    session = open_spark(settings.spark, "fine_tune")
    try:
        import torch

        TorchDistributor(
            num_processes=settings.training.processes,
            local_mode=settings.spark.master.startswith("local"),
            use_gpu=torch.cuda.is_available(),
        ).run(str(Path(fine_tune.__file__)), *arguments)
    except RuntimeError as error:  # all it says of a process that failed; its log is in there
        log.error("%s", error)
        return FAILED
    finally:
        if ours:
            session.stop()
    # PySpark 4.1's wrapper of torchrun ends with 0 however torchrun ended.
    return OK if _is_done(record) else FAILED


def _is_done(record: Path) -> bool:
    """Whether the first process says that it came to its end."""
    try:
        return bool(json.loads(record.read_text(encoding="utf-8"))["status"] == "done")
    except (OSError, ValueError, KeyError, TypeError):
        return False
