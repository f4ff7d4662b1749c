"""The consoles that commands print to."""

from __future__ import annotations

import sys

from rich.console import Console

WIDTH_OF_A_FILE = 2000


def console(*, errors: bool = False) -> Console:
    """A console as wide as the terminal; unlimited where there is none."""
    stream = sys.stderr if errors else sys.stdout
    width = None if stream.isatty() else WIDTH_OF_A_FILE
    return Console(file=stream, width=width, highlight=False, soft_wrap=True)
