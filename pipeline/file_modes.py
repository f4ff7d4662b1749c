"""Who may read what is written: the account that runs Nightcart, or its group too.

Files and directories get their modes from the umask of the process. `restrict` sets it from
`paths.group_readable`, at the edge of each process; what a process starts inherits it, Spark's JVM
too. Some libraries write with modes of their own, so a commit gives every file of a partition the
mode that it ought to have (`fit`). Nobody else may ever read: whoever may not be in the group gets
an export. Gives up: what another account has written, such as a cluster's worker. Standard library
only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PRIVATE, OF_THE_GROUP = 0o077, 0o027

# The umask that `restrict` has set; none where nobody has, and modes are left as they are.
_in_force: int | None = None


def restrict(group_readable: bool) -> None:
    """Have all that is written from here on be for its user alone, or for the group to read."""
    global _in_force  # noqa: PLW0603  # as the umask itself: one a process
    _in_force = OF_THE_GROUP if group_readable else PRIVATE
    os.umask(_in_force)


@contextmanager
def as_before() -> Iterator[None]:
    """After the block the umask is what it was."""
    global _in_force  # noqa: PLW0603
    in_force, before = _in_force, os.umask(PRIVATE)
    os.umask(before)
    try:
        yield
    finally:
        os.umask(before)
        _in_force = in_force


def umask() -> int:
    """The umask of this process. Not for several threads at once where nobody has set it."""
    if _in_force is not None:
        return _in_force
    found = os.umask(PRIVATE)
    os.umask(found)
    return found


def fit(path: Path) -> None:
    """Give a file or a directory the mode that it would have had from the umask."""
    if _in_force is None:
        return
    found = path.stat().st_mode
    wanted = (0o777 if stat.S_ISDIR(found) else 0o666) & ~_in_force
    if stat.S_IMODE(found) & 0o777 != wanted:
        # A cluster's worker may have written it by an account of its own.
        with suppress(PermissionError):
            path.chmod(wanted | (stat.S_IMODE(found) & stat.S_ISGID))
