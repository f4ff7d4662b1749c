"""`nightcart demo`: a simulated shop and one night of it, in ./demo.

Writes `demo/raw` (the shop), `demo/nightcart.toml` (settings to start one's own from), `demo/lake`
and `demo/.nightcart`, and nothing else: settings in the environment are not heeded. An earlier
demo is removed first, unless `--keep`: then the shop and the lake stay and the night is made again.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.cli.invocation import command_line, from_here
from pipeline import durable
from pipeline.errors import InputError
from pipeline.file_modes import restrict

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.lake import Lake
    from pipeline.settings import Settings

EXAMPLES = """\
examples:
  nightcart demo                 about three minutes on two cores
  nightcart demo --small         about two
  nightcart demo --keep          the same shop again, without starting over
"""
MARKER = "nightcart.toml"
SEED = 20260301


@dataclass(frozen=True)
class Size:
    """How big a demo is."""

    users: int
    items: int
    days: int
    max_epochs: int


SMALL = Size(users=300, items=80, days=30, max_epochs=8)
FULL = Size(users=600, items=250, days=45, max_epochs=20)

SETTINGS = """\
# Made by `nightcart demo`. `nightcart config show` lists every setting there is.
# Paths are relative to this file.

[shop]
name = "demo shop"
source = "simulator"
timezone = "UTC"

[paths]
raw = "raw"
lake = "lake"
airflow = ".nightcart/airflow"

[spark]
driver_memory = "1g"
shuffle_partitions = 2
quick_start = true

[training]
max_epochs = {max_epochs}
patience = 3
text_epochs = 16
threads = 2  # of this process; nothing else runs on a machine that shows a demo
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`demo`."""
    parser = subparsers.add_parser(
        "demo",
        help="a simulated shop and one night of it, in ./demo",
        description="Simulate a shop, run one night of it through the DAG, and show what came "
        "out. Everything is written below ./demo.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--small", action="store_true", help="a smaller shop, a shorter night")
    parser.add_argument("--keep", action="store_true", help="go on with the demo that is there")
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), help="directory to write (default: demo)"
    )
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Simulate, run, show."""
    import os

    from jobs.cli.night_order import NightOrder
    from jobs.cli.run import run_night
    from jobs.cli.simulate import simulate
    from jobs.cli.terminal import console
    from pipeline.lake import Lake
    from pipeline.settings import load_settings
    from pipeline.settings_files import without_ours

    size = SMALL if arguments.small else FULL
    out, shown = arguments.out.resolve(), console()
    config = out / MARKER
    if not arguments.keep:
        _remove_earlier(out)
    out.mkdir(parents=True, exist_ok=True)
    summary = simulate(out / "raw", users=size.users, items=size.items, days=size.days, seed=SEED)
    shown.print(
        f"[bold green]✓[/] simulated {summary.first_date} to {summary.last_date}: "
        f"{summary.events:,} events, {summary.reviews:,} reviews, {summary.faults:,} planted faults"
    )
    if not config.exists():
        durable.put_text(config, SETTINGS.format(max_epochs=size.max_epochs))
    # Another shop's `NIGHTCART_PATHS__LAKE` would have the demo published into that shop's lake.
    environ = without_ours(os.environ)
    if left_aside := sorted(os.environ.keys() - environ.keys()):
        shown.print(f"not heeded in a demo: {', '.join(left_aside)}", style="dim", markup=False)
    settings = load_settings(config, environ)
    restrict(settings.paths.group_readable)
    code = run_night(settings, config, NightOrder(summary.last_date), environ)
    if code == 0:
        _show_result(shown, Lake(settings.paths.lake), settings, config)
    return code


def _remove_earlier(out: Path) -> None:
    """Remove an earlier demo; never a directory that a demo did not make."""
    if not out.exists():
        return
    if any(out.iterdir()) and not (out / MARKER).exists() and not (out / "raw/_truth").exists():
        raise InputError(
            f"{out} exists and is not a demo of ours; remove it, or give another --out"
        )
    shutil.rmtree(out)


def _show_result(shown: Console, lake: Lake, settings: Settings, config: Path) -> None:
    import sys

    from jobs.cli.terminal import WIDTH_OF_A_FILE
    from pipeline.model.list_methods import IS_FALLBACK, MODEL
    from pipeline.publishing.query import run_query, write_result
    from pipeline.publishing.show import print_page, show_user

    width = None if sys.stdout.isatty() else WIDTH_OF_A_FILE
    shown.print("\n[bold]Some recommendations[/]")
    table = run_query(
        lake,
        "SELECT user_id, rank, title, category, price, round(score, 2) AS score, method "
        "FROM recommendations_latest WHERE rank <= 3 ORDER BY user_id, rank LIMIT 12",
    )
    write_result(table, "table", sys.stdout, width=width)
    # A shopper whose reason the model wrote, if there is one, shows more than a template.
    user = next(
        run_query(
            lake,
            f"SELECT user_id FROM recommendations_wide_latest ORDER BY {IS_FALLBACK}, "  # noqa: S608
            f"reason_method = '{MODEL}' DESC, user_id LIMIT 1",
        ).rows
    )[0]
    shown.print("\n[bold]One shopper[/]")
    print_page(show_user(lake, user, None), shown, currency=settings.shop.currency, past=8)
    shown.print("\n[bold]What to try next[/]")
    at = ("--config", from_here(config))
    keep = ("demo", "--keep", "--out", from_here(config.parent))
    for line in (
        command_line("show", user, *at),
        command_line("query", "FROM recommendations_latest LIMIT 5", *at),
        command_line("export", "--to", "braze", *at),
        command_line("status", "--stages", *at),
        command_line("source", "check", "simulator", *at),
        f"{command_line(*keep)}        the same night again, as a new run: the same files",
    ):
        shown.print(f"  {line}", markup=False)
