"""Generate tonight's recommendations for every active, consenting user.

Reads the date's champions, histories, catalogue and item_words; writes the dataset `generated`.
Users are taken shard by shard; a retry with the same --run-id makes only the shards that are
missing. Without a champion that can be used, every list is made by the fallback and says so. Once
--deadline, or generation.deadline_minutes after the start, is past, whoever has no list yet gets
last night's or the fallback's, and the row says so.
"""

from __future__ import annotations

import argparse
import datetime as dt
import logging

from pipeline.datasets import HISTORIES
from pipeline.generation.night import Night
from pipeline.ledger import LedgerLine, write_ledger
from pipeline.stage import Report, Stage, run_stage, stage_parser
from pipeline.stages import GENERATE

log = logging.getLogger("nightcart")


def generate(stage: Stage, arguments: argparse.Namespace) -> Report:
    """Generate, then account for every row of the histories."""
    deadlines = [arguments.deadline] if arguments.deadline else []
    minutes = stage.settings.generation.deadline_minutes
    if minutes:
        deadlines.append(dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes))
    deadline = min(deadlines, default=None)
    made = Night(stage.lake, stage.run, stage.settings, deadline).generate()
    removed = {
        "inactive": made.audience.inactive,
        "no_consent": made.audience.no_consent,
        "nothing_left": made.report["nothing_left"],
    }
    line = LedgerLine(
        run_date=stage.run.run_date,
        run_id=stage.run.run_id,
        stage=stage.name,
        dataset=HISTORIES,
        rows_in=made.audience.rows,
        rows_out=made.partition.rows,
        removed={rule: n for rule, n in removed.items() if n},
    )
    write_ledger(stage.lake, stage.run, stage.name, [line])
    log.info("%s", line)
    return made.report


def main(argv: list[str] | None = None) -> int:
    """Run the stage; return its exit code."""
    parser = stage_parser(GENERATE, __doc__)
    parser.add_argument(
        "--deadline", type=instant, help="an instant such as 2026-03-02T05:00:00+00:00"
    )
    return run_stage(GENERATE, parser, generate, argv)


def instant(text: str) -> dt.datetime:
    """An instant with its zone, for argparse."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an instant with its zone, like 2026-03-02T05:00:00+00:00"
        )
    return found


if __name__ == "__main__":
    raise SystemExit(main())
