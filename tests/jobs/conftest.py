"""A shop's folder with a settings file, and the `nightcart` command in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.cli.main import main

Nightcart = Callable[..., tuple[int, str, str]]

SETTINGS = """\
[shop]
name = "test shop"
[paths]
raw = "raw"
lake = "lake"
airflow = "airflow"
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with settings and nothing else, away from the caller's own settings."""
    for name in [name for name in os.environ if name.startswith("NIGHTCART_")]:
        monkeypatch.delenv(name)
    (tmp_path / "nightcart.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def nightcart(shop: Path, capsys: pytest.CaptureFixture[str]) -> Nightcart:
    """Run a command in the shop's folder; gives exit code, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(list(arguments))
        except SystemExit as exit_:  # argparse
            code = int(exit_.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call
