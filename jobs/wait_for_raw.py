"""Wait until every file that the source requires of the day is there.

Reads the names of files below `paths.raw`, never their content; writes its run record. Guarantees
that what comes after starts with a whole delivery, or fails naming each missing file and where it
was looked for. Under a scheduler it looks once and is started again, so that waiting holds no
worker: `--look-again-until` makes what is missing an exit code 75. Gives up: a file that is still
being written counts as there (deliver by writing aside and renaming).
"""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import time

from pipeline.errors import InputError, NotYetError
from pipeline.night_dates import refuse_the_future
from pipeline.retention.expired import refuse_expired
from pipeline.sources.delivered_files import missing_files
from pipeline.sources.required import refuse_missing_datasets
from pipeline.sources.source_yaml import load_source
from pipeline.stage import Report, Stage, run_stage, stage_parser
from pipeline.stages import WAIT_FOR_RAW

log = logging.getLogger("nightcart")

POLL_SECONDS = 15.0
# In the record of a look that was not the last: the night is waiting, it has not failed.
LOOKED_FOR_AGAIN = "it is looked for again until"
SAY_EVERY_POLLS = 20  # every five minutes


def work(stage: Stage, arguments: argparse.Namespace) -> Report:
    """Poll until nothing is missing or the time is up; what has expired is not waited for."""
    refuse_expired(stage.lake, stage.run.run_date)
    refuse_the_future(stage.run.run_date, stage.settings.shop.timezone, dt.datetime.now(dt.UTC))
    source = load_source(stage.settings.shop.source)
    refuse_missing_datasets(source)
    raw, date = stage.settings.paths.raw, stage.run.run_date
    started = time.monotonic()
    deadline = started + 60 * arguments.timeout_minutes
    polls = 0
    while missing := missing_files(source, raw, date):
        if arguments.look_again_until:
            raise NotYetError(
                f"{raw} lacks {', '.join(missing)} of {date} so far; {LOOKED_FOR_AGAIN} "
                f"{arguments.look_again_until}"
            )
        left = deadline - time.monotonic()
        if left <= 0:
            raise InputError(
                f"{raw} lacks {', '.join(missing)}, which source {source.name!r} requires of "
                f"{date} (waited {max(arguments.timeout_minutes, arguments.waited_minutes):g} min); deliver what is missing, or "
                "run a date that is there"
            )
        if polls % SAY_EVERY_POLLS == 0:
            log.info("waiting for %s in %s, %.0f min left", ", ".join(missing), raw, left / 60)
        polls += 1
        time.sleep(min(POLL_SECONDS, left))
    waited = time.monotonic() - started
    log.info("all files of %s are in %s", date, raw)
    return {"source": source.name, "waited_seconds": round(waited, 1)}


def main(argv: list[str] | None = None) -> int:
    """The job's process."""
    parser = stage_parser(WAIT_FOR_RAW, __doc__)
    parser.add_argument(
        "--timeout-minutes",
        type=float,
        default=0.0,
        help="how long to wait for what is missing (default: 0, look once)",
    )
    parser.add_argument(
        "--look-again-until",
        metavar="TIME",
        help="look once; whoever starts this looks again until then (only said in the message)",
    )
    parser.add_argument(
        "--waited-minutes",
        type=float,
        default=0.0,
        help="how long was waited before (for messages)",
    )
    return run_stage(WAIT_FOR_RAW, parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
