"""Every file of a lake is for its account alone, or for the group too, whoever wrote it."""

from __future__ import annotations

import os
import stat
import sys
from collections import Counter
from pathlib import Path

import pytest

from jobs import expire, publish
from jobs.cli.main import main
from pipeline import file_modes
from pipeline.lake import Lake, Run
from pipeline.spark_scratch import claim_scratch, release_scratch, scratch_root
from tests.publishing.conftest import NIGHT, Night

LATER = Run(NIGHT, "other")


def modes(root: Path) -> dict[str, Counter[int]]:
    """How many files and directories have each mode, the root's too."""
    found: dict[str, Counter[int]] = {"files": Counter(), "directories": Counter()}
    for path in (root, *root.rglob("*")):
        kind = "directories" if path.is_dir() else "files"
        found[kind][stat.S_IMODE(path.stat().st_mode)] += 1
    return found


@pytest.mark.parametrize("group_readable", [False, True])
def test_every_file_of_a_lake(tmp_path: Path, group_readable: bool) -> None:
    os.umask(0o022)
    config = tmp_path / "shop.toml"
    config.write_text(
        f'[paths]\nlake = "lake"\ngroup_readable = {str(group_readable).lower()}\n'
        "[generation]\nk = 2\n[retention]\nlists_days = 1\n"
    )
    from pipeline.settings import load_settings

    lake = Lake(tmp_path / "lake")
    with file_modes.as_before():
        file_modes.restrict(group_readable)
        night = Night(lake, load_settings(config))
        night.generate()
        # Libraries that write with modes of their own.
        directory = lake.begin("models", night.run)
        (directory / "deep").mkdir(mode=0o700)
        for name, mode in (("deep/open", 0o666), ("closed", 0o600), ("old", 0o640)):
            (directory / name).write_text("weights")
            (directory / name).chmod(mode)
        directory.chmod(0o755)
        lake.commit("models", night.run)
        release_scratch(claim_scratch(scratch_root(lake)))
    arguments = ["--date", str(NIGHT), "--config", str(config)]
    assert publish.main([*arguments, "--run-id", "r1"]) == 0
    assert expire.main([*arguments, "--run-id", "r1"]) == 0
    assert main(["verify", "--config", str(config)]) == 0
    (umask,) = [file_modes.umask()]
    assert umask == 0o022, "as it was before"

    found = modes(lake.root)
    for_group = {"files": 0o640, "directories": 0o750} if group_readable else None
    wanted = for_group or {"files": 0o600, "directories": 0o700}
    # Spark's scratch is for the account alone in any case.
    scratch = {"directories": {0o700}} if group_readable else {}
    for kind, mode in wanted.items():
        assert set(found[kind]) - scratch.get(kind, set()) == {mode}, (kind, found[kind])
    assert found["files"].total() > 20
    assert "views.sql" in {path.name for path in lake.root.iterdir()}


def test_the_mode_of_a_set_group_stays(tmp_path: Path) -> None:
    file_modes.restrict(group_readable=True)
    tmp_path.chmod(0o2777)
    file_modes.fit(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o2750


def test_a_command_and_what_it_starts_write_as_the_settings_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import subprocess

    from jobs.cli.main import command_parser
    from jobs.cli.settings_choice import chosen_settings

    config = tmp_path / "shop.toml"
    config.write_text("[paths]\ngroup_readable = true\n")
    with file_modes.as_before():
        chosen_settings(command_parser().parse_args(["status", "--config", str(config)]))
        told = subprocess.run(
            [sys.executable, "-c", "import os; print(oct(os.umask(0)))"],
            capture_output=True,
            text=True,
            check=True,
        )
    assert told.stdout.strip() == "0o27"
