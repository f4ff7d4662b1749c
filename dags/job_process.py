"""One job process: started in a group of its own, its output followed, ended with its task.

Whatever ends the task (kill, time-out, interrupt) ends the whole group; a SIGKILL of the task ends
the job through `bound_to_parent` (Linux).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pipeline

# `pipeline.stage.run_stage` ends a failed job with "<stage> <date> failed: <error>".
FAILED = " failed: "

# Airflow escalates from SIGTERM to SIGKILL after 5 s; the job must be gone before that.
TERMINATION_GRACE_SECONDS = 3.0

BINDER = Path(__file__).with_name("bound_to_parent.py")


class JobProcess:
    """Runs one command; `end` may come from another thread or a signal handler."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._ended = threading.Event()
        self.out_of_time = False

    def run(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        started: Callable[[int], None],
        line: Callable[[str], None],
        held: Sequence[int] = (),
        seconds: float | None = None,
    ) -> tuple[int, str]:
        """Run to the end; returns the exit code and the last words.

        Args:
            started: told the process id.
            line: told every line of output.
            held: descriptors that the job keeps open, so that a lock lives as long as the job.
            seconds: after which the job is ended, and `out_of_time` is true.
        """
        self._ended.clear()
        self.out_of_time = False
        bound = [sys.executable, "-I", "-S", str(BINDER), str(os.getpid())]
        process = subprocess.Popen(  # noqa: S603  # lists; no shell reads them
            [*bound, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=job_environment(environ),
            start_new_session=True,
            pass_fds=tuple(held),
        )
        self._process = process
        started(process.pid)
        # Reads end when the last holder of the pipe closes it. A grandchild that outlives the
        # job would keep the task waiting for ever, so the group goes when the job goes.
        threading.Thread(target=self._reap, args=(process,), daemon=True).start()
        clock = threading.Timer(seconds or 0.0, self._end_for_time)
        clock.daemon = True
        if seconds is not None:
            clock.start()
        last_words = ""
        try:
            assert process.stdout is not None
            for text in map(str.rstrip, process.stdout):
                if text:
                    # What a dying JVM says after the job's verdict must not hide it.
                    if FAILED in text or FAILED not in last_words:
                        last_words = text
                    line(text)
            self._ended.wait()
        finally:
            clock.cancel()
            self.end()
        return process.returncode, last_words

    def end(self) -> None:
        """End the job and everything it started."""
        if self._process is None or self._ended.is_set():
            return
        _signal_group(self._process.pid, signal.SIGTERM)
        if not self._ended.wait(TERMINATION_GRACE_SECONDS):
            _signal_group(self._process.pid, signal.SIGKILL)
            self._ended.wait(TERMINATION_GRACE_SECONDS)

    def _end_for_time(self) -> None:
        self.out_of_time = not self._ended.is_set()
        self.end()

    def _reap(self, process: subprocess.Popen[str]) -> None:
        process.wait()
        _signal_group(process.pid, signal.SIGKILL)
        self._ended.set()


def job_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The task's environment, with this code importable and every line sent at once.

    Threads that compute together sleep while they wait for each other, unless the environment says
    otherwise: by default they spin, and on busy cores that was 5 to 10 times slower
    (docs/experiments/starts.md).
    """
    root = str(Path(pipeline.__file__).resolve().parent.parent)
    path = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        "OMP_WAIT_POLICY": "PASSIVE",
        **os.environ,
        **extra,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
        "PYTHONUNBUFFERED": "1",
    }


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        # Nobody is left in the group; macOS says "not permitted" when only a zombie is.
        return
