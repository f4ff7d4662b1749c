"""Become another program that the system ends when the process that started this one ends.

    python -I -S dags/bound_to_parent.py PARENT_PID PROGRAM ARGUMENT …

A task that is killed outright (SIGKILL, a lost worker) cannot end its job, which would go on for
hours beside the retry. Linux can: `PR_SET_PDEATHSIG` survives the exec. Elsewhere nothing is bound
and a second attempt runs beside the first, which does no harm: jobs commit by rename.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind, then become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before the line above
            raise SystemExit(128 + signal.SIGKILL)
    os.execvp(program[0], program)  # noqa: S606  # the caller's own list; no shell


if __name__ == "__main__":
    main()
