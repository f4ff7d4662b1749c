"""Lock files: one process at a time does something; others wait, and say for what.

The system lets go of a lock however its process ends. What a process holds already it may enter
again. A lock file of one holder is removed by who lets go of it, so none is left of a run that
ended well; that of several (`together`) stays.
Gives up: locks are those of the local file system (`flock`), not of a cluster. Standard library
only.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

log = logging.getLogger("nightcart")

_held: Counter[Path] = Counter()
_change = threading.Lock()


@contextmanager
def alone(path: Path, doing: str) -> Iterator[None]:
    """Hold a lock file, after waiting for its holder.

    Args:
        doing: what the holder does, for the log of who waits.
    """
    path = path.absolute()
    with _change:
        again = _held[path] > 0
        _held[path] += again
    if again:
        try:
            yield
        finally:
            with _change:
                _held[path] -= 1
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path, doing):
        with _change:
            _held[path] += 1
        try:
            yield
        finally:
            with _change:
                _held[path] -= 1
            path.unlink(missing_ok=True)  # while it is held


@contextmanager
def together(path: Path, waiting_for: str) -> Iterator[None]:
    """Hold a lock file with others who hold it like this; after who holds it by `apart`.

    The file stays: who lets go of it cannot know whether others hold it.
    """
    with _whole_file(path, fcntl.LOCK_SH, waiting_for):
        yield


@contextmanager
def apart(path: Path, waiting_for: str) -> Iterator[None]:
    """Hold a lock file while nobody else holds it, in either way."""
    with _whole_file(path, fcntl.LOCK_EX, waiting_for):
        yield


@contextmanager
def _whole_file(path: Path, kind: int, waiting_for: str) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for %s (%s)", waiting_for, path)
            fcntl.flock(file, kind)
        yield


def _locked(path: Path, doing: str) -> IO[str]:
    """The open file that holds the lock, and that still has its name."""
    while True:
        file = path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another process is %s (it holds %s); waiting for it", doing, path)
            fcntl.flock(file, fcntl.LOCK_EX)
        if _has_name(file, path):
            return file
        file.close()


def _has_name(file: IO[str], path: Path) -> bool:
    """Whether nobody has removed the lock file while we waited for it."""
    try:
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
