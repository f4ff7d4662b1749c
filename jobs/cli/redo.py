"""`nightcart redo`: one night again, from the stage that failed or from a given one."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.cli.backfill import add_scheduler_arguments, follow_runs
from jobs.cli.invocation import command_line
from jobs.cli.night_order import STARTING_STAGES
from jobs.cli.settings_choice import add_config_argument, chosen_config
from pipeline.errors import InputError
from pipeline.file_modes import restrict
from pipeline.stage import iso_date
from pipeline.stages import BESIDE, EVALUATE, FINE_TUNE, NAMES, names_from, stage_named

if TYPE_CHECKING:
    from datetime import date

    from jobs.cli.stage_records import NightRecord
    from jobs.server.scheduler import Scheduler
    from pipeline.lake import Lake
    from pipeline.settings import Settings

EXAMPLES = """\
examples:
  nightcart redo --date 2026-03-01                   from the stage that failed
  nightcart redo --date 2026-03-01 --from generate   new lists by the model that is there
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`redo`."""
    parser = subparsers.add_parser(
        "redo",
        help="one night again, from a stage on",
        description="Clear a stage of a night and everything after it, and run exactly that "
        "again: in Airflow where a scheduler runs, else in this process. What came before stays.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--date", type=iso_date, required=True, metavar="YYYY-MM-DD")
    parser.add_argument(
        "--from",
        dest="stage",
        choices=NAMES,
        metavar="STAGE",
        help="the first stage to run again (default: the one that failed): " + ", ".join(NAMES),
    )
    add_scheduler_arguments(parser)
    add_config_argument(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Find where the night stopped, and go on from there."""
    from jobs.cli.backfill import config_of
    from jobs.server.scheduler import find_scheduler
    from pipeline.lake import Lake
    from pipeline.night_dates import refuse_the_future
    from pipeline.settings import load_settings, shop_timezone

    scheduler = None if arguments.in_process else find_scheduler(arguments.state, os.environ)
    environ = os.environ if scheduler is None else scheduler.environ
    # The server's own nights: its settings, unless others are asked for.
    theirs = config_of(environ) if scheduler is not None and arguments.config is None else None
    config = theirs or chosen_config(arguments)
    settings = load_settings(config, os.environ)
    restrict(settings.paths.group_readable)
    refuse_the_future(arguments.date, settings.shop.timezone, datetime.now(UTC))
    lake = Lake(settings.paths.lake)
    if scheduler is not None:
        zone = shop_timezone(settings)
        runs = scheduler.runs(arguments.date, arguments.date, zone)
        if runs:
            return _by_scheduler(scheduler, lake, arguments.date, arguments.stage, runs[-1].run_id)
        again = command_line("backfill", "--from", str(arguments.date), "--to", str(arguments.date))
        raise InputError(f"{scheduler.name} has no run of {arguments.date}; {again} makes one")
    return _in_process(lake, settings, config, arguments.date, arguments.stage)


def _by_scheduler(
    scheduler: Scheduler, lake: Lake, run_date: date, stage: str | None, airflow_run_id: str
) -> int:
    from jobs.cli.stage_records import read_night
    from pipeline.lake import Run, run_id_of

    night = read_night(lake, Run(run_date, run_id_of(airflow_run_id)))
    first = stage or _stopped_at(night)
    tasks = [*names_from(first), *BESIDE]
    print(f"{run_date}: {first} and what depends on it, in {scheduler.name}")
    scheduler.clear(airflow_run_id, tasks)
    code = follow_runs(scheduler, {airflow_run_id: run_date})
    _say_later_nights(lake, run_date, first)
    return code


def _in_process(
    lake: Lake, settings: Settings, config: Path | None, run_date: date, stage: str | None
) -> int:
    from jobs.cli.night_order import NightOrder
    from jobs.cli.run import run_night
    from jobs.cli.stage_records import nights_of

    nights = nights_of(lake, run_date)
    first = stage or (_stopped_at(nights[0]) if nights else NAMES[0])
    print(f"{run_date}: {first} and what depends on it, in this process")
    if first in STARTING_STAGES:
        code = run_night(settings, config, NightOrder(run_date, first), os.environ)
    elif not nights:
        raise InputError(f"no run of {run_date} has come as far as {first}; redo it from the start")
    else:
        # These belong to the run that generated: the same jobs, under its own id.
        code = _jobs(config, run_date, nights[0].run.run_id, names_from(first))
    _say_later_nights(lake, run_date, first)
    return code


def _jobs(config: Path | None, run_date: date, run_id: str, stages: tuple[str, ...]) -> int:
    for stage in map(stage_named, stages):
        command = [sys.executable, "-m", f"jobs.{stage.job}", "--date", run_date.isoformat()]
        command += ["--run-id", run_id, *stage.arguments]
        command += ["--config", str(config)] if config is not None else []
        code = subprocess.run(command, check=False).returncode  # noqa: S603  # our own list
        if code:
            return code
    return 0


def _stopped_at(night: NightRecord) -> str:
    """The first stage that is not done: what failed, or was killed and never said so."""
    done = {stage for stage, record in night.stages.items() if record["status"] == "done"}
    if EVALUATE in done:
        done.add(FINE_TUNE)  # a night that trains nothing has no record of it
    return next((stage for stage in NAMES if stage not in done), NAMES[0])


def _say_later_nights(lake: Lake, run_date: date, first: str) -> None:
    """What was made from the old state of this night is not changed by itself."""
    from pipeline.datasets import RECOMMENDATIONS

    later = [night for night in lake.dates(RECOMMENDATIONS) if night > run_date]
    if later and EVALUATE in names_from(first):
        words = ("backfill", "--from", str(later[0]), "--to", str(later[-1]))
        print(
            f"{len(later)} later nights were made from what this night was before; to make them "
            f"again: {command_line(*words, '--reprocess', 'completed')}"
        )
