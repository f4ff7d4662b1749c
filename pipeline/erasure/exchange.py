"""A directory changes places with another in one step, so that its name always names a whole one.

Linux exchanges two names atomically (`renameat2` with `RENAME_EXCHANGE`, since 3.15; ext4, xfs,
btrfs, tmpfs and overlayfs know it). Elsewhere there are two renames, and between them the name
names nothing: a reader may then find no directory for some microseconds, and what a kill leaves
there, `restore` puts back. Standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import durable

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NOT_KNOWN = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}


def aside_of(directory: Path) -> Path:
    """Where the new content of a directory is made: hidden, so that nobody takes it for a run."""
    return directory.with_name(f".{directory.name}.erasing")


def put_in_place(directory: Path) -> None:
    """Give a directory the content of its `aside_of`, which is on the disk; remove the old one."""
    aside = aside_of(directory)
    if not _exchange(aside, directory):
        old = _old(directory)
        directory.rename(old)
        aside.rename(directory)
        durable.sync_directory(directory.parent)
        shutil.rmtree(old)
        return
    durable.sync_directory(directory.parent)
    shutil.rmtree(aside)


def take_away(directory: Path) -> None:
    """Remove a directory: first its name, at once, then what was in it."""
    old = _old(directory)
    directory.rename(old)
    durable.sync_directory(directory.parent)
    shutil.rmtree(old)


def restore(parent: Path) -> None:
    """Clear up what a kill left in the directory of a date."""
    for old in parent.glob(".run_id=*.erased"):
        name = old.with_name(old.name.removeprefix(".").removesuffix(".erased"))
        if not name.exists() and aside_of(name).exists():  # between the two renames
            old.rename(name)
        else:
            shutil.rmtree(old)
    for aside in parent.glob(".run_id=*.erasing"):
        shutil.rmtree(aside)


def _old(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.erased")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names; false where the system or the file system cannot."""
    call = _renameat2()
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_KNOWN:
        return False
    raise OSError(number, os.strerror(number), str(other))


@cache
def _renameat2() -> Any:
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return None
    path = ctypes.c_char_p
    call.argtypes = (ctypes.c_int, path, ctypes.c_int, path, ctypes.c_uint)
    call.restype = ctypes.c_int
    return call
