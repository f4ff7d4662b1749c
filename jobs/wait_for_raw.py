"""Wait until every file that the source requires of the day is there; then ask its tables.

Reads the names of files below `paths.raw`, never their content, and the tables of the source, whose
rows of the day it keeps below `paths.raw/tables` (`pipeline.sources.tables.fetch`); a date that has
its rows is not asked again, unless `--fetch-again` says so. Writes its run record. Guarantees
that what comes after starts with a whole delivery, or fails naming each missing file and where it
was looked for. Under a scheduler it looks once and is started again, so that waiting holds no
worker: `--look-again-until` makes what is missing an exit code 75. Gives up: a file that is still
being written counts as there (deliver by writing aside and renaming).
"""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pipeline.erased import digest_of, read_erased
from pipeline.errors import TRANSIENT_ERROR, InputError, NightcartError, NotYetError, SettingsError
from pipeline.lake_key import key_of_lake
from pipeline.night_dates import refuse_the_future
from pipeline.pseudonym import pseudonym
from pipeline.retention.expired import refuse_expired
from pipeline.settings import Settings, shop_timezone
from pipeline.sources.delivered_files import missing_files
from pipeline.sources.required import refuse_missing_datasets
from pipeline.sources.shop_source import shop_source
from pipeline.sources.source import Source
from pipeline.stage import Report, Stage, run_stage, stage_parser
from pipeline.stages import WAIT_FOR_RAW

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger("nightcart")

POLL_SECONDS = 15.0
# In the record of a look that was not the last: the night is waiting, it has not failed.
LOOKED_FOR_AGAIN = "it is looked for again until"
SAY_EVERY_POLLS = 20  # every five minutes


def work(stage: Stage, arguments: argparse.Namespace) -> Report:
    """Poll until nothing is missing or the time is up; what has expired is not waited for."""
    refuse_expired(stage.lake, stage.run.run_date)
    refuse_the_future(stage.run.run_date, stage.settings.shop.timezone, dt.datetime.now(dt.UTC))
    source = shop_source(stage.settings)
    refuse_missing_datasets(source)
    _refuse_base_model(stage.settings)
    if arguments.fetch_again and not has_tables(source):
        raise SettingsError(
            f"--fetch-again: source {source.name} has no tables; a file is delivered again by "
            "whoever delivers it"
        )
    fetched: Report = {}
    raw, date = stage.settings.paths.raw, stage.run.run_date
    started = time.monotonic()
    deadline = started + 60 * arguments.timeout_minutes
    polls = 0
    while missing := (
        missing_files(source, raw, date, of_tables=False)
        or _ask_tables(stage, source, arguments, fetched)
    ):
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
    tables = {"tables": fetched} if fetched else {}
    return {"source": source.name, "waited_seconds": round(waited, 1), **tables}


def _refuse_base_model(settings: Settings) -> None:
    """Before the night begins, not when it trains."""
    if settings.model.base_model:
        from pipeline.training.base_model import refuse_missing_base_model  # loads torch

        refuse_missing_base_model(settings.model.base_model)


def has_tables(source: Source) -> bool:
    """Whether any dataset is read from a table."""
    return any(dataset.table is not None for dataset in source.datasets.values())


def _ask_tables(
    stage: Stage, source: Source, arguments: argparse.Namespace, fetched: Report
) -> list[str]:
    """Fetch the source's tables; what the night lacks of them. Their records go into `fetched`.

    Raises:
        NotYetError: a database does not answer now, and it is looked for again.
    """
    if not has_tables(source):
        return []
    from pipeline.sources.tables.fetch import Asked, fetch_tables
    from pipeline.sources.tables.open_table import Access
    from pipeline.sources.tables.window import Zones

    sessions: list[SparkSession] = []
    raw = Path(stage.settings.paths.raw)
    access = Access(raw, os.environ, lambda: _spark(stage, sessions), raw)
    asked = Asked(
        stage.run.run_date,
        dt.datetime.now(dt.UTC),
        Zones(ZoneInfo(source.timezone), shop_timezone(stage.settings)),
        _first_day(stage.settings),
        arguments.fetch_again,
        _is_erased(stage),
    )
    try:
        found = fetch_tables(source, access, asked)
    except NightcartError as error:
        if error.exit_code == TRANSIENT_ERROR and arguments.look_again_until:
            until = f"{LOOKED_FOR_AGAIN} {arguments.look_again_until}"
            raise NotYetError(f"{error}; {until}") from None
        raise
    finally:
        for session in sessions:
            session.stop()
    fetched.update(found.records)
    return found.missing


def _is_erased(stage: Stage) -> Callable[[str], bool] | None:
    """Whether an id is of somebody who was erased from the lake; None where nobody was."""
    digests = read_erased(stage.lake).digests
    if not digests:
        return None
    key = key_of_lake(stage.lake, stage.settings.privacy.key_file)
    return lambda user: digest_of(pseudonym(user, key), key) in digests


def _first_day(settings: Settings) -> dt.date | None:
    """`cleaning.first_day`; what is no date there is said by the stage whose setting it is."""
    try:
        return dt.date.fromisoformat(settings.cleaning.first_day)
    except ValueError:
        return None


def _spark(stage: Stage, sessions: list[SparkSession]) -> SparkSession:
    """The session that tables are read by which no other reader reads, opened once."""
    from pipeline.sources.tables.spark_jars import with_jars
    from pipeline.spark_scratch import scratch_root
    from pipeline.spark_session import open_spark

    if not sessions:
        session = open_spark(stage.settings.spark, WAIT_FOR_RAW, scratch_root(stage.lake))
        sessions.append(with_jars(session, stage.settings.spark.jars))
    return sessions[0]


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
    parser.add_argument(
        "--fetch-again",
        action="store_true",
        help="ask the source's tables again for a date whose rows were fetched before",
    )
    return run_stage(WAIT_FOR_RAW, parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
