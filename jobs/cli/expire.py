"""`nightcart expire`: remove what is too old by `[retention]`, and say what stays and why."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.cli.settings_choice import add_config_argument, chosen_settings
from pipeline.errors import InputError
from pipeline.stage import iso_date

if TYPE_CHECKING:
    from pipeline.retention.plan import Plan
    from pipeline.settings import Settings

SECONDS_BETWEEN_LINES = 2.0
MEGABYTE = 1_000_000

EXAMPLES = """\
examples:
  nightcart expire --dry-run            what would go, what stays and why; nothing is changed
  nightcart expire                      remove it
  nightcart expire --date 2026-03-01    as if 1 March were today
settings ([retention], days; 0, the default, keeps for ever):
  deliveries_days  cleaned events and reviews, quarantine, what was removed or taken back, kept
                   snapshots, copies of tables (paths.raw/tables); reasons of later nights use the
                   reviews that are left
  nights_days      acts, histories, catalogue, user attributes, item words, generated lists
  lists_days       published lists; as long as these stay, so does what they were made from
  models_days      models, their metrics and champion records
  records_days     run records, reports, data docs, ledger
  airflow_days     Airflow's logs and runs (only by this command, not by the task of the DAG)
  tables_days      copies of tables at least so long; 0: as long as their deliveries
  superseded_days  what was made again since, or never finished
  after_night      true: each night under Airflow ends with this
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`expire`."""
    parser = subparsers.add_parser(
        "expire",
        help="remove what is too old",
        description="Remove what is older than [retention] in the settings says, but nothing that "
        "a night that is kept was made from, and nothing that the next night needs. Waits until no "
        "stage uses the lake. A delivery that has expired is never cleaned again.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would go, change nothing")
    parser.add_argument(
        "--date", type=iso_date, metavar="YYYY-MM-DD", help="the last day that counts (today)"
    )
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="of a server, as for `nightcart server`"
    )
    add_config_argument(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Print the plan, and carry it out."""
    from functools import partial

    from pipeline.lake import Lake
    from pipeline.publishing.views import views_without
    from pipeline.retention.expire import end_what_was_cut_off, expire
    from pipeline.retention.plan import KEPT_FOR, plan_expiry
    from pipeline.settings import shop_timezone
    from pipeline.sources.shop_source import expire_snapshots
    from pipeline.sources.tables.expiry import expire_tables

    settings = chosen_settings(arguments)
    lake = Lake(settings.paths.lake)
    if not lake.root.is_dir():
        raise InputError(f"there is no lake in {lake.root} (paths.lake in the settings)")
    today = dt.datetime.now(shop_timezone(settings)).date()
    date = arguments.date or today
    if date > today:
        raise InputError(
            f"--date {date} is still to come (today is {today}): give a day of the past"
        )
    names = (*KEPT_FOR, "superseded_days", "airflow_days")
    if not any(getattr(settings.retention, name) for name in names):
        if not arguments.dry_run:
            end_what_was_cut_off(lake)
        print("Everything is kept for ever: [retention] in the settings sets no days.")
        return 0
    if arguments.dry_run:
        plan = plan_expiry(lake, settings, date)
        _print(plan, "would go", lake.root)
    else:
        plan = expire(lake, settings, date, partial(views_without, lake), _Progress())
        _print(plan, "went", lake.root)
    dates = expire_snapshots(settings, plan.deliveries_until, dry_run=arguments.dry_run)
    if dates:
        verb = "would go" if arguments.dry_run else "went"
        print(f"snapshots of {dates:,} dates in {settings.paths.snapshots} {verb}")
    days = expire_tables(settings, plan.deliveries_until, date, dry_run=arguments.dry_run)
    if days:
        verb = "would go" if arguments.dry_run else "went"
        print(f"copies of tables of {days:,} days in {settings.paths.raw}/tables {verb}")
    if settings.retention.airflow_days:
        _expire_airflow(settings, arguments, date)
    return 0


class _Progress:
    """A line on stderr every few seconds."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, path: Path, done: int) -> None:
        if time.monotonic() - self._said >= SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            print(f"{done / MEGABYTE:,.1f} MB removed; {path}", file=sys.stderr, flush=True)


def _print(plan: Plan, verb: str, root: Path) -> None:
    from pipeline.retention.expire import totals

    for name, (number, size) in totals(plan.leaving).items():
        print(f"{name:<16} {number:>6,} {verb}  {size / MEGABYTE:>12,.1f} MB")
    number = len(plan.leaving)
    size = sum(one.bytes for one in plan.leaving)
    what = "directory" if number == 1 else "directories"
    print(f"{number:,} {what} of {root} {verb}, {size / MEGABYTE:,.1f} MB")
    if plan.deliveries_until is not None:
        print(f"deliveries up to {plan.deliveries_until} have expired: they are not cleaned again")
    staying, size_of = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for one in plan.staying:
        staying[one.dataset, one.why] += 1
        size_of[one.dataset, one.why] += one.bytes
    for (dataset, why), count in sorted(staying.items()):
        size = size_of[dataset, why]
        print(f"too old and kept: {count:,} of {dataset}, {size / MEGABYTE:,.1f} MB: {why}")


def _expire_airflow(settings: Settings, arguments: argparse.Namespace, date: dt.date) -> None:
    from jobs.cli.airflow_expiry import airflow_homes, clean_database, old_logs, remove_logs

    first = date - dt.timedelta(days=settings.retention.airflow_days)
    for home in airflow_homes(settings, arguments.state):
        logs = old_logs(home, first)
        size = sum(path.stat().st_size for path in logs) / MEGABYTE
        verb = "would go" if arguments.dry_run else "went"
        if not arguments.dry_run:
            remove_logs(home, logs)
            if home.environ is not None:
                print(f"Airflow in {home.path} cleans its database …", file=sys.stderr, flush=True)
                clean_database(home, first)
        print(f"{len(logs):,} logs of Airflow in {home.path} {verb}, {size:,.1f} MB")
        if home.environ is None:
            print(
                f"its runs before {first} stay: its database does not answer (nightcart server up)"
            )
        else:
            print(f"its runs that ended before {first} {verb}")
