"""Too few file handles, as an error that says so.

A process may open `ulimit -n` files at once: files, sockets and pipes. Spark's JVM and its workers
need some hundreds as they start and more with every file of a large delivery. What fails then says
so in Java's words, or says nothing: a JVM that cannot even open its jars only exits. Standard
library only.
"""

from __future__ import annotations

import errno
import resource

from pipeline.errors import StorageError

# With fewer than these a start was seen to fail, and what it says has another name.
FEWEST_TO_START = 128
WANTED = 1024
_IN_WORDS = "Too many open files"


def explain_too_few(what: str, error: BaseException) -> None:
    """Raise an error of ours where file handles ran out, or are so few that they must have.

    Args:
        what: what failed, as the beginning of a sentence.
        error: what was raised; if it has another cause, nothing is done.

    Raises:
        StorageError: with the limit and how it is raised; a retry may help.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    too_few = limit != resource.RLIM_INFINITY and limit < FEWEST_TO_START
    if ran_out(error) or too_few:
        raise StorageError(f"{what}: {too_many_open_files()}") from error


def ran_out(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is of too few file handles."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return True
        if _IN_WORDS in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def too_many_open_files() -> str:
    """What to do, with the limit of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = "any number" if hard == resource.RLIM_INFINITY else f"{hard:,}"
    return (
        f"too few file handles: this process may open {soft:,} files at once (`ulimit -n`; up to "
        f"{most} without root). Raise it to {WANTED:,} or more where the job is started "
        "(`ulimit -n`, LimitNOFILE of systemd, --ulimit nofile of a container), then run the same "
        "date again"
    )
