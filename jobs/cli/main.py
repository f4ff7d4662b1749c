"""The `nightcart` command: reads arguments, hands over to one module per subcommand.

A `NightcartError` is one line on stderr and its exit code. Modules of subcommands import engines
inside their functions, so that `nightcart --help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys

from jobs.cli import (
    backfill,
    config,
    contracts,
    demo,
    erase,
    expire,
    export,
    key,
    models,
    quarantine,
    query,
    readers,
    recommend,
    redo,
    run,
    server,
    show,
    simulate,
    source,
    status,
    verify,
)
from pipeline.errors import NightcartError
from pipeline.file_modes import as_before

COMMANDS = (
    run,
    backfill,
    redo,
    readers,
    status,
    server,
    demo,
    erase,
    simulate,
    config,
    source,
    quarantine,
    query,
    show,
    recommend,
    export,
    models,
    key,
    contracts,
    verify,
    expire,
)
INTERRUPTED = 130  # what a shell reports for Ctrl-C

EXAMPLES = """\
first steps:
  nightcart demo --small              a simulated shop and one night of it, in ./demo
  nightcart status                    what the last nights did
  nightcart readers --to 2026-03-01   readers see that night's lists
  nightcart query "SELECT * FROM recommendations_latest LIMIT 5"
your own shop:
  nightcart source check my_shop.yaml which of your columns map, and to what
  nightcart run --date 2026-03-01     one night
"""


def command_parser() -> argparse.ArgumentParser:
    """Every subcommand's arguments."""
    parser = argparse.ArgumentParser(
        prog="nightcart",
        description="Nightly recommendations, written by a GPT-2 fine-tuned on one shop.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    arguments = command_parser().parse_args(argv)
    try:
        with as_before():  # a command sets the umask of what it writes
            code: int = arguments.execute(arguments)
        sys.stdout.flush()
    except NightcartError as error:
        print(f"nightcart: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("nightcart: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # `nightcart query … | head`: the reader has had enough, which is no error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


if __name__ == "__main__":
    raise SystemExit(main())
