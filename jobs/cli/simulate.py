"""`nightcart simulate`: a seeded simulated shop, written as raw files."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.stage import iso_date

if TYPE_CHECKING:
    from pipeline.simulator.shop import Summary

EXAMPLES = """\
examples:
  nightcart simulate --out demo/raw
  nightcart simulate --users 5000 --items 800 --days 60 --seed 7 --out /tmp/shop/raw
  nightcart simulate --language zh --timezone Asia/Shanghai --out /tmp/shop/raw
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`simulate`."""
    parser = subparsers.add_parser(
        "simulate",
        help="write a simulated shop's raw files",
        description="Write the raw files of a simulated shop: shoppers with tastes, sessions, "
        "searches, purchases, reviews in several languages, and realistic dirt. The same "
        "arguments give the same bytes. The ground truth is written beside them, in _truth/.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--users", type=int, default=1000, help="shoppers (default: 1000)")
    parser.add_argument("--items", type=int, default=300, help="catalogue size (default: 300)")
    parser.add_argument("--days", type=int, default=45, help="days of history (default: 45)")
    parser.add_argument("--seed", type=int, default=20260301, help="(default: 20260301)")
    parser.add_argument(
        "--start", type=iso_date, metavar="YYYY-MM-DD", help="first day (default: 2026-01-16)"
    )
    parser.add_argument("--timezone", default="UTC", help="of the shop's clock (default: UTC)")
    parser.add_argument("--language", default="en", help="of titles (default: en)")
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Write the shop and say what is in it."""
    from jobs.cli.terminal import console

    summary = simulate(
        arguments.out,
        users=arguments.users,
        items=arguments.items,
        days=arguments.days,
        seed=arguments.seed,
        start=arguments.start,
        timezone=arguments.timezone,
        language=arguments.language,
    )
    console().print(
        f"{arguments.out}: {summary.first_date} to {summary.last_date}, "
        f"{summary.events:,} events, {summary.reviews:,} reviews, "
        f"{summary.faults:,} planted faults (see _truth/)",
        markup=False,
    )
    return 0


def simulate(
    out: Path,
    *,
    users: int,
    items: int,
    days: int,
    seed: int,
    start: date | None = None,
    timezone: str = "UTC",
    language: str = "en",
) -> Summary:
    """Simulate, with the days counted on the terminal."""
    from jobs.cli.terminal import console
    from pipeline.simulator.shop import DEFAULT_START, simulate_shop

    with console().status("simulating a shop …") as status:

        def tell(done: int, of: int, events: int) -> None:
            status.update(f"simulating a shop: day {done} of {of}, {events:,} events")

        return simulate_shop(
            out,
            users=users,
            items=items,
            days=days,
            seed=seed,
            start_date=start or DEFAULT_START,
            timezone=timezone,
            language=language,
            progress=tell,
        )
