"""`nightcart source`: whether a retailer's files map, and a first mapping of files nobody knows."""

from __future__ import annotations

import argparse
import gc
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.cli.settings_choice import add_config_argument, chosen_settings
from pipeline.stage import iso_date

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.settings import Settings
    from pipeline.sources.check import DatasetCheck
    from pipeline.sources.discovery.proposal import Proposal

EXAMPLES = """\
examples:
  nightcart source check my_shop.yaml --raw /data/shop --date 2026-03-01
  nightcart source check online_retail
"""
NEW_EXAMPLES = """\
examples:
  nightcart source new /data/my_shop                        look, propose, check; the YAML comes out
  nightcart source new /data/my_shop --out my_shop.yaml     the same, into a file
  nightcart source new /data/my_shop --out my_shop.yaml --report found.html
                                                            and a page with samples of each column
  nightcart source new /data/my_shop --timezone Europe/Berlin --consent "newsletter = 'yes'"
                                                            what nobody may guess, said at once
  nightcart source new /data/exports --like shopify         from a ready mapping
  nightcart source new --list                               the ready mappings
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`source check` and `source new`."""
    parser = subparsers.add_parser(
        "source",
        help="propose and check the mapping of a retailer's files",
        epilog=EXAMPLES + NEW_EXAMPLES.removeprefix("examples:\n"),
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
    _add_new(actions)


def _add_new(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    new = actions.add_parser(
        "new",
        help="look at a folder of files and propose a source YAML",
        description="Look at a sample of the files in a folder, propose a source YAML with a "
        "comment for each guess, and check it. Who has agreed to be written to and in which time "
        "zone a clock ran are never guessed: lines marked FILL IN are left to you. Exits with 65 "
        "where the proposal cannot be used before something is filled in.",
        epilog=NEW_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    new.add_argument("folder", nargs="?", type=Path, help="the folder that holds the files")
    new.add_argument("--like", metavar="NAME", help="start from a ready mapping; see --list")
    new.add_argument("--list", action="store_true", help="name the ready mappings, and stop")
    new.add_argument(
        "--out", type=Path, metavar="FILE", help="where to write the YAML (default: printed)"
    )
    new.add_argument("--force", action="store_true", help="overwrite what --out names")
    new.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write a page (HTML) with samples of each column",
    )
    new.add_argument("--timezone", default="", help="of times without an offset, as Europe/Berlin")
    new.add_argument(
        "--consent",
        default="",
        metavar="SQL",
        help="who has agreed, over the users' columns, such as \"newsletter = 'yes'\"; 'true' only "
        "where all have",
    )
    new.add_argument("--no-check", action="store_true", help="propose only; do not start Spark")
    new.add_argument("--dry-run", action="store_true", help="write no file; print the YAML")
    add_config_argument(new)
    new.set_defaults(execute=execute_new)


def execute_check(arguments: argparse.Namespace) -> int:
    """Print the check's findings; 0 if the source maps."""
    from jobs.cli.terminal import console
    from pipeline.encryption.keyring import without
    from pipeline.errors import DATA_ERROR
    from pipeline.generation.reasons.voice import written_in
    from pipeline.sources.check import check_source
    from pipeline.sources.required import missing_datasets
    from pipeline.sources.source_yaml import load_source
    from pipeline.sources.tables.spark_jars import with_jars
    from pipeline.spark_session import open_spark

    settings = chosen_settings(arguments)
    shown = console()
    with without(), shown.status("starting Spark …"):
        spark = open_spark(settings.spark, "source check")
        try:
            with_jars(spark, settings.spark.jars)
            checks = check_source(
                spark,
                arguments.source,
                arguments.raw or settings.paths.raw,
                arguments.date,
                settings.shop.timezone,
                settings.cleaning,
                written_in(settings.reasons),
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


def execute_new(arguments: argparse.Namespace) -> int:
    """Propose a source, check it, and say what is left to the reader; 0 if it can be used."""
    from jobs.cli.terminal import console
    from pipeline import durable
    from pipeline.errors import DATA_ERROR
    from pipeline.lake import storage_errors
    from pipeline.sources.discovery.page import write_page
    from pipeline.sources.discovery.proposal import propose

    if arguments.list:
        return _list_ready()
    _refuse_new(arguments)
    settings = chosen_settings(arguments)
    prints = arguments.out is None or arguments.dry_run
    shown = console(errors=prints)  # the YAML alone goes to where it may be redirected
    with shown.status(f"looking at {arguments.folder} …") as status:
        proposal = propose(
            arguments.folder,
            like=arguments.like or "",
            timezone=arguments.timezone,
            consent=arguments.consent,
            say=lambda text: status.update(f"{text} …"),
        )
    checks = [] if arguments.no_check else _checks(shown, settings, proposal, arguments.folder)
    if prints:
        print(proposal.yaml, end="")
    else:
        with storage_errors(f"cannot write {arguments.out}"):
            durable.put_text(arguments.out, proposal.yaml)
    if arguments.report and not arguments.dry_run:
        with storage_errors(f"cannot write {arguments.report}"):
            write_page(arguments.report, proposal, checks)
    for check in checks:
        for line in check.lines():
            shown.print(line, markup=False)
        shown.print()
    faulty = [check.dataset for check in checks if not check.ok]
    _say_what_is_left(shown, arguments, proposal, faulty)
    return DATA_ERROR if faulty or proposal.missing else 0


def _refuse_new(arguments: argparse.Namespace) -> None:
    """What cannot be done is said before files are looked at."""
    from zoneinfo import available_timezones

    from pipeline.errors import SettingsError
    from pipeline.sources.yaml_entries import nearest

    if arguments.folder is None:
        raise SettingsError("source new: give the folder that holds the files (or --list)")
    if arguments.timezone and arguments.timezone not in available_timezones():
        known = sorted(available_timezones())
        raise SettingsError(
            f"--timezone {arguments.timezone!r} is no IANA time zone;"
            f"{nearest(arguments.timezone, known)}"
        )
    for path in (arguments.out, arguments.report):
        if path is None or arguments.dry_run:
            continue
        if not path.absolute().parent.is_dir():
            raise SettingsError(f"{path}: its folder is not there; make it first")
        if path.is_dir():
            raise SettingsError(f"{path} is a folder; give the name of a file")
    if arguments.out and arguments.out.suffix not in (".yaml", ".yml"):
        raise SettingsError(f"--out {arguments.out}: a source is a .yaml file")
    if arguments.out and arguments.out.exists() and not (arguments.force or arguments.dry_run):
        raise SettingsError(
            f"{arguments.out} is there already; --force overwrites it, another --out keeps it"
        )


def _checks(
    shown: Console, settings: Settings, proposal: Proposal, folder: Path
) -> list[DatasetCheck]:
    """`source check` on the proposal, where it can be read at all."""
    from pipeline.encryption.keyring import without
    from pipeline.errors import ContractError
    from pipeline.sources.check import check_source
    from pipeline.sources.source_yaml import parse_source
    from pipeline.spark_session import open_spark

    try:
        source = parse_source(proposal.yaml, f"{proposal.name}.yaml")
    except ContractError as error:
        proposal.missing.append(f"the proposal cannot be read yet: {error}")
        return []
    doing = "checking all rows of the newest day; starting Spark …"
    with without(), shown.status(doing):
        spark = open_spark(settings.spark, "source new")
        try:
            return check_source(spark, source, folder, timezone=settings.shop.timezone)
        finally:
            gc.collect()  # Java objects that are let go later would ask a gateway that is gone
            spark.stop()


def _say_what_is_left(
    shown: Console, arguments: argparse.Namespace, proposal: Proposal, faulty: list[str]
) -> None:
    for path, why in proposal.left_out:
        shown.print(f"not read: {path}: {why}", markup=False)
    for text in proposal.missing:
        shown.print(f"MISSING {text}", markup=False)
    for text in proposal.to_fill:
        shown.print(f"FILL IN {text}", markup=False)
    if proposal.like:
        shown.print(f"made from the ready mapping {proposal.like}", markup=False)
    out = arguments.out or Path(f"{proposal.name}.yaml")
    if faulty or proposal.missing:
        said = ", ".join(faulty) or "the source"
        shown.print(f"[bold red]✗[/] {said}: not usable yet, see above", highlight=False)
    elif arguments.no_check:
        shown.print("not checked; nightcart source check does it", markup=False)
    else:
        left = len(proposal.to_fill)
        asks = f"; {left} {'thing is' if left == 1 else 'things are'} left to you" if left else ""
        shown.print(f"[bold green]✓[/] every dataset maps{asks}", highlight=False)
    raw = arguments.folder.resolve()
    asks_zone = "    # FILL IN: where the shop is"
    shown.print(
        f"\nnext: answer each FILL IN in {out}, then\n"
        f"  nightcart source check {out} --raw {raw}\n"
        f"and write beside it nightcart.toml, for nightcart run --date …:\n"
        f'  [shop]\n  name = "{proposal.name}"\n  source = "{out.name}"\n'
        f'  timezone = "{arguments.timezone or "UTC"}"{"" if arguments.timezone else asks_zone}\n'
        f'  [paths]\n  raw = "{raw}"\n  lake = "lake"',
        markup=False,
    )


def _list_ready() -> int:
    from pipeline.sources.discovery.ready import ready_mappings

    for name, description in ready_mappings().items():
        print(f"{name:<18} {description}")
    return 0
