"""How fast it goes and how long it will take, in the log every few seconds."""

from __future__ import annotations

import logging
import time

log = logging.getLogger("nightcart")

SECONDS_BETWEEN_LINES = 5.0


def no_progress(n: int) -> None:
    """A listener that ignores what is done, for callers who do not ask."""


class Progress:
    """Counts what is done of a known total.

    Args:
        what: the thing counted, in the plural.
        total: how many there are.
    """

    def __init__(self, what: str, total: int) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self._skipped = 0
        self._started = self._last_line = time.monotonic()

    def add(self, n: int) -> None:
        """Some more are done."""
        self.done += n
        now = time.monotonic()
        last = self.done >= self.total and n > 0
        if now - self._last_line >= SECONDS_BETWEEN_LINES or last:
            self._last_line = now
            log.info("%s", self.line(now - self._started))

    def skip(self, n: int) -> None:
        """Some were done by an earlier attempt; they say nothing about the speed of this one."""
        self.done += n
        self._skipped += n

    def line(self, seconds: float) -> str:
        """What to say after so many seconds."""
        rate = (self.done - self._skipped) / max(seconds, 1e-9)
        left = (self.total - self.done) / rate if rate else 0.0
        return (
            f"{self.done:,} of {self.total:,} {self.what} ({self.done / max(self.total, 1):.0%}), "
            f"{rate:,.0f} {self.what}/s, {left:,.0f} s left"
        )
