"""Commands that are printed can be typed as they stand."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.cli.invocation import command_line, from_here


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program called nightcart in a folder with a space, which repeats its arguments."""
    path = tmp_path / "my venv" / "bin" / "nightcart"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("folder", [".", "my venv", "my venv/bin", "elsewhere"])
def test_a_program_that_is_not_on_the_path_is_named_so_that_a_shell_finds_it(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / folder)
    monkeypatch.setattr(sys, "argv", [os.path.relpath(program)])
    line = command_line("query", "FROM x LIMIT 5", "--config", "it's.toml")
    said = subprocess.run(line, shell=True, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["query", "FROM x LIMIT 5", "--config", "it's.toml"]
    assert not Path(shlex.split(line)[0]).is_absolute()


def test_the_bare_name_is_for_what_a_shell_would_find(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setattr(sys, "argv", [str(program)])
    assert command_line("status") == "nightcart status"
    # Another program of the same name on the path is not this one.
    monkeypatch.setattr(sys, "argv", [str(program.parent.parent / "nightcart")])
    assert command_line("status") != "nightcart status"


def test_a_module_is_started_again_as_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/jobs/cli/main.py"])
    words = shlex.split(command_line("--help"))
    assert words[1:] == ["-m", "jobs.cli.main", "--help"]
    subprocess.run([words[0], "-c", ""], check=True)


def test_a_path_below_the_working_directory_is_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert from_here(tmp_path / "demo" / "nightcart.toml") == "demo/nightcart.toml"
    assert from_here(tmp_path.parent) == str(tmp_path.parent)
