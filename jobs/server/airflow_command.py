"""One command of Airflow's, to its end, also where its database is busy.

SQLite has one writer at a time; who waits too long is refused. Nothing was written then (see
`airflow_cli`), but for a backfill without runs, which the scheduler closes after two minutes. One
whose runs have all ended it closes within half a minute. Until then no other may be made.
"""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Mapping, Sequence

from pipeline.errors import StorageError

log = logging.getLogger("nightcart")

LOCKED = "database is locked"
LEFT_BEHIND = "AlreadyRunningBackfill"
PATIENCE_SECONDS = 300.0
CLOSING_SECONDS = 60.0  # for another backfill, which may have ended just now
PAUSE_SECONDS = 10.0


def run_airflow(command: Sequence[str], environ: Mapping[str, str], name: str) -> str:
    """Run it, again where its database was busy; what it wrote to standard output.

    Raises:
        StorageError: Airflow refused; its last words are in the message.
    """
    started, was_locked = time.monotonic(), False
    while True:
        done = subprocess.run(  # noqa: S603  # our own lists
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if not done.returncode:
            return done.stdout
        said = done.stderr.strip() or done.stdout.strip()
        was_locked = was_locked or LOCKED in said
        patience = PATIENCE_SECONDS if was_locked else CLOSING_SECONDS
        is_busy = LOCKED in said or LEFT_BEHIND in said
        if not is_busy or time.monotonic() - started > patience:
            raise StorageError(f"{name} refused: {_last_words(said)}")
        log.info("not now (%s); asking again for up to %.0f s", _last_words(said), patience)
        time.sleep(PAUSE_SECONDS)


def _last_words(said: str) -> str:
    """The error itself: SQLAlchemy's ends with its statement and an address to read on."""
    lines = [
        line for line in said.splitlines() if not line.startswith(("[SQL", "[parameters", "(Backg"))
    ]
    return lines[-1].strip() if lines else "without a word"
