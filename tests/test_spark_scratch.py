"""Spark's scratch: for its user alone, one directory a process, and gone with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pipeline.spark_scratch import claim_scratch, release_scratch, sweep

CLAIMING = """
import sys
from pathlib import Path
from pipeline.spark_scratch import claim_scratch
path = claim_scratch(Path(sys.argv[1]))
(path / "shuffle.data").write_text("rows")
print(path, flush=True)
sys.stdin.read()
"""


def test_nobody_else_can_enter_it(tmp_path: Path) -> None:
    root = tmp_path / "work" / "spark"
    path = claim_scratch(root)
    assert {entry.stat().st_mode & 0o077 for entry in (root, path)} == {0}
    (path / "blockmgr").mkdir()
    release_scratch(path)
    assert list(root.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CLAIMING, str(tmp_path)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdout is not None
    theirs = Path(process.stdout.readline().strip())
    ours = claim_scratch(tmp_path)
    assert (theirs / "shuffle.data").exists()
    process.kill()
    process.wait()
    sweep(tmp_path)
    assert not theirs.exists()
    assert ours.is_dir()
    release_scratch(ours)
    assert list(tmp_path.iterdir()) == []
