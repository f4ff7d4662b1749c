"""One model at a time on a GPU, whatever Airflow counts.

Airflow's pool keeps the queue in order, but it undercounts at times, and two Airflows on one
machine do not know of each other. So a task that runs a model also holds a file lock, which the job
inherits: the system lets go of it when the job has ended, however it ended.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOCKS_VARIABLE = "NIGHTCART_GPU_LOCKS"  # a directory that several Airflows share
VISIBLE = "CUDA_VISIBLE_DEVICES"
POLL_SECONDS = 2.0


@contextmanager
def gpu_lock(gpus: int, waiting: Callable[[Path], None]) -> Iterator[tuple[int, dict[str, str]]]:
    """Hold one of the machine's GPUs; yields the lock's descriptor and the job's environment.

    Args:
        gpus: how many there are; 1 where there is none, so that one model runs at a time.
        waiting: told once, with the directory of the locks, when all are taken.
    """
    directory = lock_directory()
    directory.mkdir(parents=True, exist_ok=True)
    told = False
    while True:
        for number in range(gpus):
            file = (directory / f"gpu-{number}.lock").open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            with file:
                # One GPU needs no naming, and a caller's own choice is kept.
                named = gpus > 1 and VISIBLE not in os.environ
                yield file.fileno(), {VISIBLE: str(number)} if named else {}
            return
        if not told:
            waiting(directory)
            told = True
        time.sleep(POLL_SECONDS)


def lock_directory() -> Path:
    """`NIGHTCART_GPU_LOCKS`, else below this Airflow's home."""
    home = os.environ.get("AIRFLOW_HOME") or str(Path.home() / "airflow")
    return Path(os.environ.get(LOCKS_VARIABLE) or Path(home) / "locks")
