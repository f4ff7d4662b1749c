"""How this command was started, so that what it prints can be typed as it stands."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

NAME = "nightcart"
MODULE = "jobs.cli.main"


def command_line(*arguments: str) -> str:
    """A command line that runs this program with arguments, quoted for a shell.

    `.venv/bin/nightcart` where it was started so, `nightcart` only where a shell finds this very
    one on its path.
    """
    return shlex.join([*_program(Path(sys.argv[0])), *arguments])


def from_here(path: Path) -> str:
    """A path relative to the working directory if it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _program(started: Path) -> Sequence[str]:
    if started.name == NAME:
        program = started.absolute()
        found = shutil.which(NAME)
        return [NAME if found and Path(found).absolute() == program else _runnable(program)]
    if started.name == "main.py":
        return [_runnable(Path(sys.executable)), "-m", MODULE]
    return [NAME]  # called from another program, which is not how a person would


def _runnable(program: Path) -> str:
    """Relative with a slash in it: without one a shell would look on its path."""
    text = from_here(program)
    return text if "/" in text else f"./{text}"
