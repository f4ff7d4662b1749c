"""Find the night's triggers (why to write to which shopper, about which item) and lists of items.

Reads the date's histories, acts and catalogue, how prices and stock were before, and the champion's
vectors of items; writes the datasets `triggers`, `similar_items` and `bought_together`. Only
shoppers who are active and agree get triggers; `[triggers]` and `[item_lists]` in the settings say
which there are and how many. A retry makes them again.
"""

from __future__ import annotations

import argparse
import logging

from pipeline.ledger import write_ledger
from pipeline.stage import Report, Stage, run_stage, stage_parser
from pipeline.stages import TARGET
from pipeline.targeting.item_lists import make_item_lists
from pipeline.targeting.triggers import make_triggers

log = logging.getLogger("nightcart")


def target(stage: Stage, _arguments: argparse.Namespace) -> Report:
    """Find them, then account for every shopper and every candidate."""
    made = make_triggers(stage.lake, stage.run, stage.settings)
    items = make_item_lists(stage.lake, stage.run, stage.settings)
    lines = [*made.lines, *items.lines]
    write_ledger(stage.lake, stage.run, stage.name, lines)
    for line in lines:
        log.info("%s", line)
    return made.report | {"items": items.report}


def main(argv: list[str] | None = None) -> int:
    """Run the stage; returns the process's exit code."""
    return run_stage(TARGET, stage_parser(TARGET, __doc__), target, argv)


if __name__ == "__main__":
    raise SystemExit(main())
