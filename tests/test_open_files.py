"""Too few file handles are named, whichever engine ran out of them."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from pipeline.errors import StorageError
from pipeline.open_files import explain_too_few, ran_out

START = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
from pipeline.errors import NightcartError
from pipeline.settings import Spark
from pipeline.spark_session import open_spark
try:
    open_spark(Spark(master="local[1]", driver_memory="512m", shuffle_partitions=1), "few files")
except NightcartError as error:
    sys.exit(f"{type(error).__name__} {error.exit_code} {error}")
"""


def test_a_session_that_may_open_too_few_files_says_so() -> None:
    """The JVM cannot open its jars, and only exits."""
    done = subprocess.run(
        [sys.executable, "-c", START], capture_output=True, text=True, check=False, timeout=120
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("StorageError 75 Spark did not start: too few file handles: ")
    assert "48 files at once" in last
    assert "LimitNOFILE" in last


def test_an_error_within_another_counts() -> None:
    """Java's words come inside of Spark's error; Python's are an errno."""
    outer = RuntimeError("the gateway has exited")
    outer.__cause__ = OSError(errno.EMFILE, "Zu viele offene Dateien")
    assert ran_out(outer)
    with pytest.raises(StorageError, match="too few file handles"):
        explain_too_few("cleaning events", outer)
    assert ran_out(ValueError("java.io.FileNotFoundException: x (Too many open files)"))
    assert not ran_out(ValueError("no such thing"))
