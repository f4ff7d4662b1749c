"""Find the night's triggers (why to write to which shopper, about which item) and lists of items.

Reads the date's histories, acts and catalogue, how prices and stock were before, and the champion's
vectors of items; writes the datasets `triggers`, `similar_items` and `bought_together`. Only
shoppers who are active and agree get triggers; `[triggers]` and `[item_lists]` in the settings say
which there are and how many. A retry makes them again.

The night's lists come first: where triggers or lists of items cannot be made, there are none, a
warning says why, and the night goes on. It stops where a setting is wrong, where the quiet list
cannot be read, and where a retry may help (no room on the disk).
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from typing import TypeVar

from pipeline.error_words import in_words, traceback_without_values
from pipeline.errors import TRANSIENT_ERROR, NightcartError, QuietListError, SettingsError
from pipeline.lake import Run
from pipeline.ledger import write_ledger
from pipeline.stage import Report, Stage, run_stage, stage_parser
from pipeline.stages import TARGET
from pipeline.targeting.item_lists import make_item_lists, no_item_lists
from pipeline.targeting.triggers import make_triggers, no_triggers

log = logging.getLogger("nightcart")

FAULT = "fault"  # the ledger's name for it
T = TypeVar("T")


def target(stage: Stage, _arguments: argparse.Namespace) -> Report:
    """Find them, then account for every shopper and every candidate."""
    lake, run, settings = stage.lake, stage.run, stage.settings
    warnings: list[str] = []
    made = _or_none(
        "triggers",
        lambda: make_triggers(lake, run, settings),
        lambda: no_triggers(lake, run, FAULT),
        warnings,
        run,
    )
    items = _or_none(
        "lists of items",
        lambda: make_item_lists(lake, run, settings),
        lambda: no_item_lists(lake, run, FAULT),
        warnings,
        run,
    )
    warnings += items.warnings
    lines = [*made.lines, *items.lines]
    write_ledger(lake, run, stage.name, lines)
    for line in lines:
        log.info("%s", line)
    return made.report | {"items": items.report} | ({"warnings": warnings} if warnings else {})


def _or_none(
    what: str, make: Callable[[], T], none: Callable[[], T], warnings: list[str], run: Run
) -> T:
    """What `make` makes; where a fault stops it, what `none` makes, and a warning."""
    try:
        return make()
    except Exception as error:
        if _stops(error):
            raise
        log.warning("%s", traceback_without_values(error).rstrip())
        warnings.append(
            f"no {what} were made, and the lists are published without: {in_words(error)}. When "
            f"that is mended: nightcart redo --date {run.run_date} --from target"
        )
        log.warning("%s", warnings[-1])
        return none()


def _stops(error: Exception) -> bool:
    """Whether the night may not go on without."""
    if isinstance(error, NightcartError):
        mended_first = isinstance(error, SettingsError | QuietListError)
        return mended_first or error.exit_code == TRANSIENT_ERROR
    # Engines raise it for files that they cannot read, too, but without a number of the system's.
    return isinstance(error, OSError) and error.errno is not None


def main(argv: list[str] | None = None) -> int:
    """Run the stage; returns the process's exit code."""
    return run_stage(TARGET, stage_parser(TARGET, __doc__), target, argv)


if __name__ == "__main__":
    raise SystemExit(main())
