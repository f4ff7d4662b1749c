"""Which settings a command uses: `--config`, else `NIGHTCART_CONFIG`, else ./nightcart.toml."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pipeline.encryption.keyring import use
from pipeline.file_modes import restrict
from pipeline.settings import Settings, load_settings
from pipeline.settings_files import CONFIG_HELP
from pipeline.settings_files import chosen_config as config_in_force


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    """`--config`, the same in every command."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=CONFIG_HELP)


def chosen_config(arguments: argparse.Namespace) -> Path | None:
    """The settings file in force, as an absolute path, or none for the defaults."""
    return config_in_force(arguments.config, os.environ)


def chosen_settings(arguments: argparse.Namespace) -> Settings:
    """The settings in force; what the command reads and writes is as they say."""
    settings = load_settings(chosen_config(arguments), os.environ)
    restrict(settings.paths.group_readable)
    use(settings)
    return settings
