"""`nightcart run`: one night, through the DAG, in one process on Airflow with SQLite."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from jobs.cli.invocation import command_line, from_here
from jobs.cli.night_order import STARTING_STAGES, NightOrder
from jobs.cli.settings_choice import add_config_argument, chosen_config
from pipeline.file_modes import restrict
from pipeline.stage import iso_date

if TYPE_CHECKING:
    from jobs.cli.night import Night
    from jobs.cli.night_console import NightConsole
    from pipeline.lake import Lake
    from pipeline.settings import Settings

EXAMPLES = """\
examples:
  nightcart run --date 2026-03-01
  nightcart run --date 2026-03-01 --dry-run   what it would do, and what is missing
  nightcart run --date 2026-03-01 --config shop.toml
  nightcart run --date 2026-03-01 --from-stage generate   the model of an earlier run of the date
  nightcart run --date 2026-03-01 --fetch-again           with the rows that its tables have now
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`run`."""
    parser = subparsers.add_parser(
        "run",
        help="run one night through the DAG",
        description="Run one night through the DAG, in one process, with Airflow on SQLite. "
        "Running a date again makes it again from the start, as a new run; what is published "
        "stays until the new run is published.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--date",
        type=iso_date,
        required=True,
        metavar="YYYY-MM-DD",
        help="the night: a calendar day in the shop's time zone",
    )
    parser.add_argument(
        "--from-stage",
        choices=STARTING_STAGES,
        metavar="STAGE",
        help="take the stages before this one as done, by an earlier run of the same date: "
        + ", ".join(STARTING_STAGES),
    )
    parser.add_argument(
        "--wait-minutes",
        type=int,
        default=0,
        metavar="N",
        help="how long to wait for raw files that are not there yet (default: 0)",
    )
    parser.add_argument(
        "--fetch-again",
        action="store_true",
        help="where the source reads tables: ask them again for a date whose rows were fetched "
        "before; without it a rerun sees the same rows",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be cleaned and run, what is missing and how long it will take; "
        "write nothing (65 if the night could not end with lists)",
    )
    add_config_argument(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the night; 0 only if every task succeeded."""
    from jobs.cli.dry_run import would_do
    from pipeline.encryption.keyring import use
    from pipeline.errors import DATA_ERROR, OK
    from pipeline.lake import Lake
    from pipeline.night_dates import refuse_the_future
    from pipeline.settings import load_settings
    from pipeline.sources.required import refuse_missing_datasets
    from pipeline.sources.source_yaml import load_source

    config = chosen_config(arguments)
    settings = load_settings(config, os.environ)
    order = NightOrder(
        arguments.date,
        arguments.from_stage,
        arguments.wait_minutes,
        fetch_again=arguments.fetch_again,
    )
    if not arguments.dry_run:
        restrict(settings.paths.group_readable)
    refuse_the_future(arguments.date, settings.shop.timezone, datetime.now(UTC))
    _say_which_shop(settings, config)
    if arguments.dry_run:
        use(settings)
        lines, may_end_well = would_do(settings, Lake(settings.paths.lake), order)
        print("\n".join(lines))
        return OK if may_end_well else DATA_ERROR
    refuse_missing_datasets(load_source(settings.shop.source))
    if settings.model.base_model:
        from pipeline.training.base_model import refuse_missing_base_model  # loads torch

        refuse_missing_base_model(settings.model.base_model)
    return run_night(settings, config, order, os.environ)


def _say_which_shop(settings: Settings, config: Path | None) -> None:
    """Without a settings file it is the simulated shop: that is said, or refused without its files.

    Raises:
        SettingsError: there is no settings file, and nothing was simulated here.
    """
    from pipeline.errors import SettingsError
    from pipeline.settings import Settings as Defaults

    if config is not None or settings.shop.source != Defaults().shop.source:
        return
    here = f"there is no nightcart.toml in {Path.cwd()} and no --config"
    raw = Path(settings.paths.raw)
    if not raw.is_dir():
        raise SettingsError(
            f"{here}, so this would be the simulated shop, of which there are no files in {raw}. "
            "Go to your shop's folder, or pass --config FILE; nightcart demo simulates a shop"
        )
    print(f"NOTE: {here}: this is a night of the SIMULATED shop in {raw}, not of yours")


def run_night(
    settings: Settings, config: Path | None, order: NightOrder, environ: Mapping[str, str]
) -> int:
    """Run one night and print how it goes and what came of it; return the exit code.

    Args:
        environ: the environment of the night's processes.
    """
    from rich.markup import escape

    from jobs.cli.airflow_home import night_lock, prepare
    from jobs.cli.night import start_night
    from jobs.cli.night_console import NightConsole
    from jobs.cli.terminal import console
    from pipeline.lake import Lake

    home, lake = Path(settings.paths.airflow), Lake(settings.paths.lake)
    shown = NightConsole(console(), lake)
    with night_lock(home) as lock:
        with shown.console.status(f"setting up Airflow in {home} (once) …"):
            prepare(home, environ)
        shown.console.print(f"[bold]{escape(settings.shop.name)}[/], night of {order.run_date}")
        night = start_night(settings, config, order, lock, environ)
        previous = signal.signal(signal.SIGTERM, _interrupt)
        try:
            shown.show(night)
        except KeyboardInterrupt:
            shown.console.print("stopping …")
            night.stop()
            _say_state(shown, lake, config, night)
            raise
        finally:
            night.stop()
            signal.signal(signal.SIGTERM, previous)
    if night.process.returncode:
        _say_failure(shown, night)
        _say_state(shown, lake, config, night)
        return 1
    _say_success(shown, lake, night)
    return 0


def report_of(shown: NightConsole, lake: Lake, night: Night) -> Path | None:
    """The night's HTML page, if it was written."""
    from pipeline.lake import Run

    if shown.run_id is None:
        return None
    report = lake.records(Run(night.run_date, shown.run_id)) / "report.html"
    return report if report.exists() else None


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _say_failure(shown: NightConsole, night: Night) -> None:
    shown.console.print()
    if shown.failed_task is not None:
        shown.console.print(f"[bold red]The night failed[/] at {shown.failed_task}:")
        shown.console.print(f"  {shown.reason}", markup=False)
        return
    shown.console.print("[bold red]Airflow itself failed[/]; the end of its log:")
    for line in night.log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:]:
        shown.console.print(f"  {line}", markup=False)


def _say_state(shown: NightConsole, lake: Lake, config: Path | None, night: Night) -> None:
    """After a night that did not end well: the log, what readers see, how to go on."""
    from jobs.cli.stage_records import is_of_run
    from pipeline.datasets import RECOMMENDATIONS
    from pipeline.lake import Run
    from pipeline.publishing.list_origin import is_degraded, lists_night

    latest = lake.whole_latest(RECOMMENDATIONS)
    if latest is None:
        published = "nothing yet"
    elif is_degraded(latest) and latest.run_date == night.run_date:
        published = f"the lists of {lists_night(latest)} in place of this night's"
    elif shown.run_id is not None and is_of_run(latest, Run(night.run_date, shown.run_id)):
        published = f"this night ({latest.rows:,} shoppers); what failed came after it"
    else:
        published = f"the night of {latest.run_date} ({latest.rows:,} shoppers), as before"
    again = ["run", "--date", night.run_date.isoformat()]
    again += ["--config", from_here(config)] if config is not None else []
    say = shown.console.print
    say(f"  log           {night.log}", markup=False)
    if shown.run_id is not None:
        records = lake.records(Run(night.run_date, shown.run_id))
        say(f"  records       {records}", markup=False)
    say(f"  published     {published}", markup=False)
    say(f"  to redo it    {command_line(*again)}", markup=False)


def _say_success(shown: NightConsole, lake: Lake, night: Night) -> None:
    from jobs.cli.stage_records import fallback_share
    from pipeline.datasets import RECOMMENDATIONS
    from pipeline.lake import LATEST

    say, run_date = shown.console.print, night.run_date
    partition = lake.require(RECOMMENDATIONS, run_date)
    share = fallback_share(partition)
    say()
    say(f"[bold green]Published[/] {partition.rows:,} shoppers' recommendations for {run_date}")
    say(f"  data          {partition.path}", markup=False)
    if share is not None:
        say(f"  fallback      {share:.1%} of the lists", markup=False)
    report = report_of(shown, lake, night)
    if report is not None:
        say(f"  report        {report}", markup=False)
    say(f"  log           {night.log}", markup=False)
    latest = lake.whole_latest(RECOMMENDATIONS)
    if latest is not None and latest.run_date != run_date:
        say(
            f"  {LATEST} stays at {latest.run_date}, which is newer; readers of "
            f"recommendations_latest see that night",
            markup=False,
        )
