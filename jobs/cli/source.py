"""`nightcart source check FILE.yaml`: what of a retailer's files maps, and to what."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from jobs.cli.settings_choice import add_config_argument, chosen_settings
from pipeline.stage import iso_date

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.settings import Settings

EXAMPLES = """\
examples:
  nightcart source check my_shop.yaml --raw /data/shop --date 2026-03-01
  nightcart source check online_retail
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`source check`."""
    parser = subparsers.add_parser(
        "source",
        help="check the mapping of a retailer's files",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="say what maps, what does not, and show ten mapped rows",
        description="Read all rows of the files of one day (of a table, a sample of its newest "
        "rows; its user and password are in AIRFLOW_CONN_…) through a source YAML and say what "
        "maps, what would be refused and why, with values, what may mend it, and ten mapped rows. "
        "Exits with 65 where a night would fail or lists would be wrong. Writes nothing.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("source", help="path of a source YAML, or the name of a shipped one")
    check.add_argument("--raw", help="the folder that holds the files (default: paths.raw)")
    check.add_argument(
        "--date", type=iso_date, metavar="YYYY-MM-DD", help="the day (default: the newest there)"
    )
    add_config_argument(check)
    check.set_defaults(execute=execute_check)


def execute_check(arguments: argparse.Namespace) -> int:
    """Print the check's findings; 0 if the source maps."""
    from jobs.cli.terminal import console
    from pipeline.errors import DATA_ERROR
    from pipeline.sources.check import check_source
    from pipeline.sources.required import missing_datasets
    from pipeline.sources.source_yaml import load_source
    from pipeline.sources.tables.spark_jars import with_jars
    from pipeline.spark_session import open_spark

    settings = chosen_settings(arguments)
    shown = console()
    with shown.status("starting Spark …"):
        spark = open_spark(settings.spark, "source check")
        try:
            with_jars(spark, settings.spark.jars)
            checks = check_source(
                spark,
                arguments.source,
                arguments.raw or settings.paths.raw,
                arguments.date,
                settings.shop.timezone,
            )
        finally:
            spark.stop()
    for check in checks:
        for line in check.lines():
            shown.print(line, markup=False)
        shown.print()
    missing = missing_datasets(load_source(arguments.source))
    for fault in missing:
        shown.print(f"FAULT {fault}\n", markup=False)
    _print_made_otherwise(shown, settings, arguments.source)
    faulty = [check.dataset for check in checks if not check.ok]
    faulty += ["datasets"] if missing else []
    if faulty:
        shown.print(f"[bold red]✗[/] {', '.join(faulty)}: see FAULT above")
        return DATA_ERROR
    shown.print("[bold green]✓[/] every dataset maps")
    return 0


def _print_made_otherwise(shown: Console, settings: Settings, source: str) -> None:
    """What the shop's lake was cleaned by, and which snapshots are kept, if this is its source."""
    from pathlib import Path

    from pipeline.cleaning.deliveries.made_by import described
    from pipeline.lake import Lake
    from pipeline.sources.snapshots import all_snapshots

    same = Path(settings.shop.source).absolute() == Path(source).absolute()
    if not same or not Path(settings.paths.lake).is_dir():
        return
    for line in described(Lake(settings.paths.lake), settings):
        shown.print(f"in the lake: {line}\n", markup=False)
    for store in all_snapshots(settings.paths.snapshots):
        if said := store.said():
            shown.print(f"{store.root.name}: {said}\n", markup=False)
