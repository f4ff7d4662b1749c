"""`nightcart readers`: which night readers see, and how they are put on another."""

from __future__ import annotations

import argparse
import datetime as dt

from jobs.cli.settings_choice import add_config_argument, chosen_settings
from pipeline.stage import iso_date

EXAMPLES = """\
examples:
  nightcart readers                     which night readers see, and which they do not
  nightcart readers --to 2026-03-01     readers see that night's lists from now on
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`readers`."""
    parser = subparsers.add_parser(
        "readers",
        help="which night readers see; put them on another",
        description="Say which published night readers see (latest.json and views.sql). With --to, "
        "put them on another: back from a night of a wrong date, or to an earlier night's lists. "
        "The next night that is published and newer moves them on.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--to", type=iso_date, metavar="YYYY-MM-DD", help="the published night to be seen"
    )
    add_config_argument(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Say, or switch."""
    from pipeline.datasets import RECOMMENDATIONS
    from pipeline.lake import Lake
    from pipeline.night_dates import refuse_the_future, shops_today
    from pipeline.publishing.readers import point_readers, unseen_nights

    settings = chosen_settings(arguments)
    lake, now = Lake(settings.paths.lake), dt.datetime.now(dt.UTC)
    if arguments.to is not None:
        refuse_the_future(arguments.to, settings.shop.timezone, now)
        partition = point_readers(lake, arguments.to)
        print(f"Readers see the night of {arguments.to}: {partition.rows:,} shoppers")
        return 0
    latest = lake.whole_latest(RECOMMENDATIONS)
    if latest is None:
        print(f"Nothing is published in {lake.root} yet.")
        return 0
    print(f"Readers see the night of {latest.run_date}: {latest.rows:,} shoppers")
    for line in unseen_lines(unseen_nights(lake, shops_today(settings.shop.timezone, now))):
        print(line)
    return 0


def unseen_lines(unseen: object) -> list[str]:
    """What is to be said of nights that readers do not see, and the command that mends it."""
    from jobs.cli.invocation import command_line
    from pipeline.publishing.readers import Unseen

    if not isinstance(unseen, Unseen):
        return []
    if unseen.should_see is None:
        return [f"warning: {unseen.why}; no other night is published"]
    dates = ", ".join(map(str, unseen.dates))
    again = command_line("readers", "--to", str(unseen.should_see))
    return [f"warning: {unseen.why}; they do not see {dates}. Put them on it: {again}"]
