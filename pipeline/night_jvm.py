"""One JVM for the Spark stages of a night that `nightcart run` runs on this machine.

Each stage is a process of its own with a session of its own; only the JVM below is kept, so that
the next stage finds Spark's classes loaded and its planner compiled. `jobs.night_jvm` starts the
JVM beside Airflow and ends it with the night; `pipeline.spark_session` attaches to it; the DAG's
tasks end it early.

Protocol: the JVM's address lies in one file, which its user alone can read. A job claims the JVM by
renaming that file, stops its session when it ends, and puts the file back. So two jobs never share
the JVM, and a JVM whose job died stays claimed: what it may still be doing is ended with it
(`end`), by the task of that job or by the next job that looks for a JVM. A job that finds no JVM,
or one with other options, starts one of its own as it would without all this.

Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

# The file of the night's JVM; unset where there is none.
JVM_VARIABLE = "NIGHTCART_NIGHT_JVM"
# A JVM that has not said where it is after so long is not waited for any longer.
START_SECONDS = 30.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class NightJvm:
    """A JVM with py4j's gateway, which listens on loopback.

    Attributes:
        options: what it was started with. A session with other options needs another JVM.
    """

    port: int
    secret: str
    pid: int
    options: str

    def write(self, file: Path) -> None:
        """Say where the JVM is."""
        aside = file.with_suffix(".new")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            json.dump(asdict(self), opened)
        aside.replace(file)
        starting(file).unlink(missing_ok=True)


def starting(file: Path) -> Path:
    """There while the JVM starts."""
    return file.with_suffix(".starting")


def claimed(file: Path) -> Path:
    """Where the file lies while a job has the JVM."""
    return file.with_suffix(".claimed")


def claim(options: str, environ: Mapping[str, str]) -> tuple[NightJvm, Path] | None:
    """The night's JVM, for the calling process alone, and its file; none if there is none to have.

    A JVM that a job has left claimed is ended. One with other options stays where it is.
    """
    file = _file(environ)
    if file is None:
        return None
    if claimed(file).exists():
        end(environ)
        return None
    patience = time.monotonic() + START_SECONDS
    while starting(file).exists() and time.monotonic() < patience:
        time.sleep(_POLL_SECONDS)
    jvm = _read(file)
    if jvm is None or jvm.options != options:
        return None
    try:
        file.rename(claimed(file))
    except OSError:
        return None
    return jvm, file


def give_back(file: Path) -> None:
    """The session in the JVM has been stopped: the next job may have it."""
    try:
        claimed(file).rename(file)
    except OSError:
        return  # it was ended meanwhile


def is_claimed(environ: Mapping[str, str]) -> bool:
    """Whether a job has the JVM, or died with it."""
    file = _file(environ)
    return file is not None and claimed(file).exists()


def end(environ: Mapping[str, str]) -> None:
    """End the night's JVM, whatever it does; nothing happens where there is none."""
    file = _file(environ)
    if file is None:
        return
    for path in (file, claimed(file)):
        jvm = _read(path)
        path.unlink(missing_ok=True)
        if jvm is not None:
            _kill(jvm.pid)


def _file(environ: Mapping[str, str]) -> Path | None:
    path = environ.get(JVM_VARIABLE)
    return Path(path) if path else None


def _read(path: Path) -> NightJvm | None:
    try:
        return NightJvm(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _kill(pid: int) -> None:
    """SIGKILL: a JVM that goes in order would finish what a dead job had it do."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
