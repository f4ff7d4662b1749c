"""Start the processes that train one model together, and say how they ended.

By torch's own launcher (what `torchrun` is) on this machine, or by Spark's TorchDistributor: with a
local master on this machine, else one barrier task a process on the cluster, whose workers must see
the lake. The processes are this same job; each finds its place in the environment.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import DATA_ERROR, OK
from pipeline.lake import Lake, Run, storage_errors
from pipeline.settings import Settings
from pipeline.stages import FINE_TUNE

log = logging.getLogger("nightcart")

FAILED = 1  # worth a retry
FINE_TUNE_SCRIPT = Path(__file__).with_name("fine_tune.py")  # imports this module


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
        run_id=FINE_TUNE,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,  # whether to try again is for whoever started the stage
    )
    try:
        with _signal_handlers_kept():
            elastic_launch(config, sys.executable)("-m", f"jobs.{FINE_TUNE}", *arguments)
    except ChildFailedError as error:
        codes = {failure.exitcode for failure in error.failures.values()}
        return DATA_ERROR if DATA_ERROR in codes else FAILED
    return OK


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Put back the handlers that torch's launcher replaces and leaves in this process."""
    ending = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    in_main = threading.current_thread() is threading.main_thread()  # no other may set one
    handlers = {number: signal.getsignal(number) for number in ending if in_main}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _by_spark(settings: Settings, run: Run, arguments: Sequence[str]) -> int:
    from pyspark.ml.torch.distributor import TorchDistributor
    from pyspark.sql import SparkSession

    from pipeline.spark_network import is_local
    from pipeline.spark_scratch import scratch_root
    from pipeline.spark_session import open_spark

    record = Lake(settings.paths.lake).records(run) / f"{FINE_TUNE}.json"
    with storage_errors(f"cannot replace {record}"):
        record.unlink(missing_ok=True)
    ours = SparkSession.getActiveSession() is None
    session = open_spark(settings.spark, FINE_TUNE, scratch_root(Lake(settings.paths.lake)))
    try:
        import torch

        TorchDistributor(
            num_processes=settings.training.processes,
            local_mode=is_local(settings.spark.master),
            use_gpu=torch.cuda.is_available(),
        ).run(str(FINE_TUNE_SCRIPT), *arguments)
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
