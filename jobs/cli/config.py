"""`nightcart config`: the settings in force and where each came from; whether they can work."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from jobs.cli.settings_choice import add_config_argument, chosen_config, chosen_settings
from pipeline.errors import NightcartError
from pipeline.settings import Settings

EXAMPLES = """\
examples:
  nightcart config show
  NIGHTCART_GENERATION__K=5 nightcart config show
  nightcart config check --config shop.toml
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`config show` and `config check`."""
    parser = subparsers.add_parser(
        "config",
        help="show or check the settings",
        description="Settings come, lowest first, from the defaults, a TOML file, and "
        "environment variables named NIGHTCART_<SECTION>__<KEY>.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    show = actions.add_parser("show", help="every setting, its value, and where it came from")
    add_config_argument(show)
    show.set_defaults(execute=execute_show)
    check = actions.add_parser("check", help="whether a night could start with them")
    add_config_argument(check)
    check.set_defaults(execute=execute_check)


def execute_show(arguments: argparse.Namespace) -> int:
    """Print the table."""
    from rich.markup import escape
    from rich.table import Table

    from jobs.cli.terminal import console

    settings = chosen_settings(arguments)
    table = Table(box=None, header_style="bold")
    for name in ("setting", "value", "from"):
        table.add_column(name, overflow="fold")
    for key, value in settings.values().items():
        table.add_row(*map(escape, (key, _toml(value), settings.origin.get(key, "default"))))
    config = chosen_config(arguments)
    shown = console()
    shown.print(f"settings file: {config or 'none; defaults and environment only'}", markup=False)
    shown.print(table)
    return 0


def execute_check(arguments: argparse.Namespace) -> int:
    """Look at everything that a night needs before its first task; 0 if all is well."""
    from jobs.cli.terminal import console

    settings = chosen_settings(arguments)
    shown = console()
    faults = 0
    for name, check in CHECKS.items():
        try:
            fine = check(settings)
        except NightcartError as error:
            faults += 1
            shown.print(f"[bold red]✗[/] {name}: ", end="")
            shown.print(str(error), markup=False)
        else:
            shown.print(f"[bold green]✓[/] {name}: ", end="")
            shown.print(fine, markup=False)
    return NightcartError.exit_code if faults else 0


def _check_source(settings: Settings) -> str:
    from pipeline.sources.shop_source import shop_source

    shop_source(settings)
    return settings.shop.source


def _has_tables(settings: Settings) -> bool:
    """Whether the folder of raw files is made by the first fetch, if it is not there."""
    from pipeline.errors import ContractError
    from pipeline.sources.source_yaml import load_source

    try:
        source = load_source(settings.shop.source)
    except ContractError:
        return False
    return any(dataset.table is not None for dataset in source.datasets.values())


def _check_raw(settings: Settings) -> str:
    raw = Path(settings.paths.raw)
    if not raw.is_dir() and not _has_tables(settings):
        raise NightcartError(
            f"{raw} is not a directory; put the retailer's files there or set paths.raw"
        )
    return str(raw)


def _check_writable(settings: Settings) -> str:
    from pipeline.exports.folder import exports_root

    exports = exports_root(settings)
    snapshots = Path(settings.paths.snapshots)
    for path in (Path(settings.paths.lake), Path(settings.paths.airflow), exports, snapshots):
        there = next(folder for folder in (path, *path.parents) if folder.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise NightcartError(f"{path} cannot be written: no permission in {there}")
    return f"{settings.paths.lake}, {settings.paths.airflow}, {exports}"


def _check_base_model(settings: Settings) -> str:
    base = settings.model.base_model
    if base.startswith((".", "/", "~")) and not Path(base).expanduser().is_dir():
        raise NightcartError(f"model.base_model {base!r} is not a directory")
    return base or "none: a small GPT-2 from its configuration"


CHECKS: dict[str, Any] = {
    "source": _check_source,
    "raw files": _check_raw,
    "writable": _check_writable,
    "base model": _check_base_model,
}


def _toml(value: Any) -> str:
    """The value as it would be written in the settings file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    return str(value)
