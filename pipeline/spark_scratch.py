"""Where Spark keeps what it spills: below the lake, for its user alone, and gone with its process.

What lies there is rows: pseudonyms, texts. Spark would keep it in the system's temporary directory,
readable by everybody, and a JVM that is killed leaves it there. Here each process has a directory
of its own below one root, and holds a lock as long as it lives. Whoever comes next removes the
directories whose lock nobody holds, so that what a killed process left does not stay.

Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from pathlib import Path

from pipeline.lake import Lake, storage_errors

PRIVATE_DIRECTORY, PRIVATE_FILE = 0o700, 0o600
# Descriptors of the locks of this process: closed by the system when it ends, however it ends.
_held: dict[Path, int] = {}


def scratch_root(lake: Lake) -> Path:
    """The directory below which Spark's processes that work for a lake have theirs."""
    return lake.root / "work" / "spark"


def claim_scratch(root: Path) -> Path:
    """Make a directory for this process; what ended processes left below the root is removed.

    Raises:
        StorageError: it cannot be made.
    """
    with storage_errors(f"cannot make Spark's scratch directory in {root}"):
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(PRIVATE_DIRECTORY)
        sweep(root)
        while True:
            path = root / f"{os.getpid()}-{secrets.token_hex(4)}"
            lock = _lock_of(path)
            held = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
            fcntl.flock(held, fcntl.LOCK_EX)
            if lock.exists():  # else swept between the two lines above
                break
            os.close(held)
        path.mkdir(mode=PRIVATE_DIRECTORY)
    _held[path] = held
    return path


def release_scratch(path: Path) -> None:
    """Remove a directory that this process has claimed."""
    shutil.rmtree(path, ignore_errors=True)
    _lock_of(path).unlink(missing_ok=True)
    held = _held.pop(path, None)
    if held is not None:
        os.close(held)


def sweep(root: Path) -> None:
    """Remove what processes that have ended left below a root."""
    for lock in root.glob("*.lock"):
        try:
            held = os.open(lock, os.O_RDWR)
        except OSError:
            continue  # another one sweeps, or it is not ours
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # its process lives
        else:
            with contextlib.suppress(OSError):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink()
        finally:
            os.close(held)


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")
