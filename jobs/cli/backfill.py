"""`nightcart backfill`: past nights in turn, by Airflow's scheduler or in this process."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.cli.settings_choice import add_config_argument, chosen_config
from pipeline.datasets import RUNS
from pipeline.errors import InputError
from pipeline.file_modes import restrict
from pipeline.night_dag import NEWEST, PER_NIGHT, RETRAIN, WAKE_EXPORT
from pipeline.stage import iso_date

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from jobs.server.scheduler import Scheduler
    from pipeline.lake import Lake
    from pipeline.settings import Settings

EXAMPLES = """\
examples:
  nightcart backfill --from 2026-03-01 --to 2026-03-07 --dry-run
  nightcart backfill --from 2026-03-01 --to 2026-03-07
  nightcart backfill --from 2026-03-03 --to 2026-03-05 --reprocess completed
  nightcart backfill --from 2026-01-01 --to 2026-02-28 --retrain weekly --wake-export never
"""
REPROCESS = ("none", "failed", "completed")


@dataclass(frozen=True)
class Planned:
    """One night and what will be done with it."""

    run_date: date
    todo: bool
    why: str
    warning: str = ""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`backfill`."""
    parser = subparsers.add_parser(
        "backfill",
        help="run past nights, one after another",
        description="Run the nights of a range, one after another: by Airflow's scheduler where "
        "one runs (nightcart server up), else in this process like `nightcart run`. Says first "
        "what is done with each date, then follows to the end. Readers stay with the newest night.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--from", dest="first", type=iso_date, required=True, metavar="YYYY-MM-DD")
    parser.add_argument("--to", dest="last", type=iso_date, required=True, metavar="YYYY-MM-DD")
    parser.add_argument("--reverse", action="store_true", help="the newest night first")
    parser.add_argument(
        "--reprocess",
        choices=REPROCESS,
        default="none",
        help="which nights that have run before are run again: none (default), failed, completed "
        "(both)",
    )
    parser.add_argument(
        "--retrain",
        choices=RETRAIN,
        default=PER_NIGHT,
        help="train a model each night (default), for Sundays only, or never: then the champion "
        "as of each date generates",
    )
    parser.add_argument(
        "--wake-export",
        choices=WAKE_EXPORT,
        default=NEWEST,
        help="wake the export for a night that readers are switched to (default), always, never",
    )
    parser.add_argument("--wait-minutes", type=int, default=0, metavar="N", help="for late files")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    add_scheduler_arguments(parser)
    add_config_argument(parser)
    parser.set_defaults(execute=execute)


def add_scheduler_arguments(parser: argparse.ArgumentParser) -> None:
    """`--state` and `--in-process`."""
    parser.add_argument(
        "--state", type=Path, help="state directory of `nightcart server` (default: as there)"
    )
    parser.add_argument(
        "--in-process", action="store_true", help="here, even where a scheduler runs"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Plan, say, do, follow; 0 only if every night that was due succeeded."""
    from jobs.server.scheduler import find_scheduler
    from pipeline.lake import Lake
    from pipeline.night_dates import refuse_the_future
    from pipeline.settings import load_settings, shop_timezone

    if arguments.first > arguments.last:
        raise InputError(f"--from {arguments.first} is after --to {arguments.last}")
    if arguments.wait_minutes < 0:
        raise InputError(f"--wait-minutes must be at least 0, found {arguments.wait_minutes}")
    scheduler = None if arguments.in_process else find_scheduler(arguments.state, os.environ)
    environ = os.environ if scheduler is None else scheduler.environ
    # The server's own nights: its settings, unless others are asked for.
    theirs = config_of(environ) if scheduler is not None and arguments.config is None else None
    config = theirs or chosen_config(arguments)
    settings = load_settings(config, os.environ)
    restrict(settings.paths.group_readable)
    refuse_the_future(arguments.last, settings.shop.timezone, datetime.now(UTC))
    lake, zone = Lake(settings.paths.lake), shop_timezone(settings)
    dates = _dates(arguments)
    before = (
        _states_in_airflow(scheduler, arguments.first, arguments.last, zone)
        if scheduler is not None
        else _states_in_lake(lake, dates)
    )
    plan = [
        _plan(run_date, before.get(run_date), arguments.reprocess, settings) for run_date in dates
    ]
    _say_plan(plan, lake, scheduler)
    due = [night.run_date for night in plan if night.todo]
    if arguments.dry_run or not due:
        print("nothing was run: --dry-run" if arguments.dry_run else "there is nothing to do")
        return 0
    if scheduler is not None:
        return _by_scheduler(scheduler, arguments, config, due, zone)
    return _in_process(arguments, settings, config, due)


def config_of(environ: Mapping[str, str]) -> Path | None:
    """The server's own settings file."""
    from pipeline.settings_files import CONFIG_VARIABLE

    path = environ.get(CONFIG_VARIABLE)
    return Path(path) if path else None


def _dates(arguments: argparse.Namespace) -> list[date]:
    days = (arguments.last - arguments.first).days + 1
    dates = [arguments.first + timedelta(days=day) for day in range(days)]
    return dates[::-1] if arguments.reverse else dates


def _states_in_airflow(
    scheduler: Scheduler, first: date, last: date, zone: ZoneInfo
) -> dict[date, str]:
    return {run.run_date: run.state for run in scheduler.runs(first, last, zone)}


def _states_in_lake(lake: Lake, dates: Sequence[date]) -> dict[date, str]:
    """`success` for a night that published lists of its own, `failed` for one that only ran."""
    from pipeline.datasets import RECOMMENDATIONS
    from pipeline.publishing.list_origin import is_degraded

    states = {}
    for run_date in dates:
        published = lake.whole(RECOMMENDATIONS, run_date)
        if published is not None and not is_degraded(published):
            states[run_date] = "success"
        elif published is not None or any(lake.date_directory(RUNS, run_date).glob("run_id=*")):
            states[run_date] = "failed"
    return states


def _plan(run_date: date, state: str | None, reprocess: str, settings: Settings) -> Planned:
    """Airflow's own rules for `--reprocess-behavior`, in words."""
    from pipeline.sources.delivered_files import missing_files
    from pipeline.sources.shop_source import shop_source

    source = shop_source(settings)
    missing = missing_files(source, settings.paths.raw, run_date, of_tables=False)
    warning = f"{settings.paths.raw} lacks {', '.join(missing)}" if missing else ""
    if state is None:
        return Planned(run_date, True, "run", warning)
    if state not in ("success", "failed"):
        return Planned(run_date, False, f"skipped: it is {state} now")
    if reprocess == "completed" or (reprocess == "failed" and state == "failed"):
        return Planned(run_date, True, f"run again (was {state})", warning)
    which = "completed" if state == "success" else "failed"
    return Planned(
        run_date, False, f"skipped: has run before ({state}); --reprocess {which} runs it again"
    )


def _say_plan(plan: Sequence[Planned], lake: Lake, scheduler: Scheduler | None) -> None:
    from pipeline.datasets import RECOMMENDATIONS

    print(f"by {scheduler.name}" if scheduler is not None else "in this process")
    for night in plan:
        published = lake.whole(RECOMMENDATIONS, night.run_date)
        seen = f"published: {published.rows:,} shoppers" if published else "not published"
        print(f"  {night.run_date}  {night.why}  ({seen})")
        if night.warning:
            print(f"              {night.warning}")
    latest = lake.whole_latest(RECOMMENDATIONS)
    if latest is not None:
        print(f"readers see the night of {latest.run_date}; an older one never replaces it")


def _by_scheduler(
    scheduler: Scheduler,
    arguments: argparse.Namespace,
    config: Path | None,
    due: Sequence[date],
    zone: ZoneInfo,
) -> int:
    conf = {
        "retrain": arguments.retrain,
        "wake_export": arguments.wake_export,
        "wait_minutes": arguments.wait_minutes,
    }
    if arguments.config is not None:
        conf["config"] = str(config)
    options = ["--reprocess-behavior", arguments.reprocess, "--dag-run-conf", json.dumps(conf)]
    options += ["--run-on-latest-version"]
    options += ["--run-backwards"] if arguments.reverse else []
    scheduler.backfill(arguments.first, arguments.last, zone, options)
    runs = {
        run.run_id: run.run_date
        for run in scheduler.runs(arguments.first, arguments.last, zone)
        if run.run_date in due
    }
    return follow_runs(scheduler, runs)


def follow_runs(scheduler: Scheduler, runs: Mapping[str, date]) -> int:
    """Print what becomes of runs until all have ended; 0 only if all succeeded."""
    ended: dict[str, str] = {}
    try:
        for change in scheduler.follow(list(runs)):
            run_date, state = runs[change["run_id"]], change["state"]
            task = change.get("task")
            if task is not None:
                if state in ("running", "failed", "up_for_retry", "up_for_reschedule", "skipped"):
                    print(f"  {run_date}  {task:<18} {state.replace('_', ' ')}", flush=True)
            elif state == "queued":
                print(f"  {run_date}  queued: it starts when no other night runs", flush=True)
            elif state in ("success", "failed"):
                ended[change["run_id"]] = state
                print(f"  {run_date}  {state}", flush=True)
    except KeyboardInterrupt:
        print("not followed any more; the nights go on in Airflow")
        raise
    failed = sorted(runs[run_id] for run_id, state in ended.items() if state == "failed")
    if failed:
        print(f"{len(failed)} of {len(runs)} failed: {', '.join(map(str, failed))}")
        print(f"to heal one: nightcart redo --date {failed[0]}")
        return 1
    print(f"{len(runs)} nights succeeded")
    return 0


def _in_process(
    arguments: argparse.Namespace, settings: Settings, config: Path | None, due: Sequence[date]
) -> int:
    from jobs.cli.night_order import NightOrder
    from jobs.cli.run import run_night

    failed = []
    for run_date in due:
        order = NightOrder(
            run_date,
            wait_minutes=arguments.wait_minutes,
            retrain=arguments.retrain,
            wake_export=arguments.wake_export,
        )
        if run_night(settings, config, order, os.environ):
            failed.append(run_date)
    if failed:
        print(f"{len(failed)} of {len(due)} failed: {', '.join(map(str, failed))}")
    else:
        print(f"{len(due)} nights succeeded")
    return 1 if failed else 0
