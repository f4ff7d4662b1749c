"""What was said to be done survives a power cut, by the model of `tests.power_cut`."""

from __future__ import annotations

import datetime as dt
import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline import durable
from pipeline.lake import Lake, Run
from pipeline.ledger import LedgerLine, write_ledger
from tests.power_cut import power_cuts

MARCH_1 = dt.date(2026, 3, 1)


def fill(lake: Lake, run: Run, text: str, files: int = 3) -> None:
    directory = lake.begin("histories", run)
    for number in range(files):
        below = directory / f"event_date=2026-02-{number + 1:02d}"
        below.mkdir()
        (below / "part-0.parquet").write_text(f"{text} {number}")


def test_commits_hold_at_every_cut(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with power_cuts(tmp_path) as disk:
        for day in range(8):
            for run_id in ("a", "b", "a"):
                run = Run(MARCH_1 + dt.timedelta(days=day), run_id)
                fill(lake, run, f"{day} {run_id}")
                partition = lake.close("histories", run, rows=1)
                lake.publish("histories", partition)
                write_ledger(lake, run, "clean", [LedgerLine(run.run_date, run_id, "c", "d", 1, 1)])
    assert disk.cuts >= 50


def test_commits_of_many_days_at_once_hold_at_every_cut(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")

    def commit(day: int) -> None:
        run = Run(MARCH_1 + dt.timedelta(days=day), "a")
        fill(lake, run, f"{day}")
        lake.commit("histories", run, rows=1)

    with power_cuts(tmp_path) as disk, ThreadPoolExecutor(8) as pool:
        list(pool.map(commit, range(30)))
    assert disk.cuts >= 60


def test_files_that_another_process_wrote_are_flushed(tmp_path: Path) -> None:
    # As Spark's: written into scratch by the JVM, then renamed into the run's directory.
    lake, scratch = Lake(tmp_path / "lake"), tmp_path / "lake" / "work"
    with power_cuts(tmp_path):
        scratch.mkdir(parents=True)
        directory = lake.begin("histories", Run(MARCH_1, "a"))
        os.system(f"echo text > {scratch}/part-0.parquet")
        shutil.move(scratch / "part-0.parquet", directory / "part-0.parquet")
        lake.commit("histories", Run(MARCH_1, "a"), rows=1)


def test_directories_that_a_killed_process_made_are_flushed(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with power_cuts(tmp_path):
        lake.date_directory("histories", MARCH_1).mkdir(parents=True)  # and it died here
        fill(lake, Run(MARCH_1, "a"), "text")
        lake.commit("histories", Run(MARCH_1, "a"), rows=1)


def test_a_file_is_whole_or_of_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "directory" / "name.txt"
    with power_cuts(tmp_path) as disk:
        durable.put_text(path, "first")
        durable.put_text(path, "second")
        with pytest.raises(TypeError), durable.in_place(path) as file:
            file.writelines([b"half", None])  # type: ignore[list-item]
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]
    inode = disk.late(path)
    assert inode is not None
    assert disk.contents[inode] == b"second"


def test_a_private_file_is_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with durable.in_place(path, durable.PRIVATE) as file:
        (aside,) = tmp_path.iterdir()
        assert aside.stat().st_mode & 0o777 == 0o600
        file.write(b"secret")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("code", "raised"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_flush_that_fails_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, raised: bool
) -> None:
    # EINVAL is what file systems say that cannot flush a directory, EIO what lost pages are.
    def refuse(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match=os.strerror(code)):
        durable.sync_files([tmp_path / "file"])
    if raised:
        with pytest.raises(OSError, match=os.strerror(code)):
            durable.sync_directory(tmp_path)
    else:
        durable.sync_directory(tmp_path)
