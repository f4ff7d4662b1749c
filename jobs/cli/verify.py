"""`nightcart verify`: every file of the lake against its checksum."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from jobs.cli.settings_choice import add_config_argument, chosen_settings
from pipeline.errors import DATA_ERROR, OK
from pipeline.stage import iso_date

SECONDS_BETWEEN_LINES = 2.0
MEGABYTE = 1_000_000

EXAMPLES = """\
examples:
  nightcart verify                     all of the lake, and the kept snapshots
  nightcart verify --date 2026-03-01   what is of one night or delivery
exit codes:
  0   everything is what was written
  65  something is not; a line names each, with the command that makes it again
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`verify`."""
    parser = subparsers.add_parser(
        "verify",
        help="every file of the lake against its checksum",
        description="Read every dataset, pointer and manifest, of every run, and compare them with "
        "the checksums that were written with them; name what is damaged, missing or stray.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--date", type=iso_date, metavar="YYYY-MM-DD", help="only of this date")
    add_config_argument(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Print the faults and what was looked at."""
    from pipeline.lake import Lake
    from pipeline.sources.snapshots import all_snapshots
    from pipeline.verification import verify_lake

    settings = chosen_settings(arguments)
    lake = Lake(settings.paths.lake)
    said = time.monotonic()

    def progress(directory: Path, done: int) -> None:
        nonlocal said
        if time.monotonic() - said >= SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            print(f"{done / MEGABYTE:,.0f} MB read; {directory}", file=sys.stderr, flush=True)

    found = verify_lake(lake, arguments.date, progress)
    if arguments.date is None:
        for store in all_snapshots(settings.paths.snapshots):
            found.faults += store.faults()
    for note in found.notes:
        print(f"note: {note}")
    for fault in found.faults:
        print(f"FAULT: {fault}")
    print(
        f"{found.files:,} files ({found.bytes / MEGABYTE:,.1f} MB) of {found.directories:,} "
        f"directories and {found.pointers:,} pointers: {len(found.faults) or 'no'} "
        f"{'fault' if len(found.faults) == 1 else 'faults'}"
    )
    return DATA_ERROR if found.faults else OK
