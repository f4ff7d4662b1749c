"""The commit protocol: what a reader can and cannot see at every moment of a write."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import DATA_ERROR, DamagedError, InputError, StorageError
from pipeline.intact import file_sha256
from pipeline.lake import Lake, Partition, Run, run_id_of
from tests.lake_rows import point_latest

MARCH_1 = dt.date(2026, 3, 1)
MARCH_2 = dt.date(2026, 3, 2)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def write(lake: Lake, run: Run, text: str) -> None:
    directory = lake.begin("histories", run)
    (directory / "part-0.parquet").write_text(text)
    lake.commit("histories", run, rows=len(text))


def contents(lake: Lake, date: dt.date) -> str | None:
    partition = lake.current("histories", date)
    return partition.files[0].read_text() if partition else None


def test_a_run_is_seen_only_after_its_commit(lake: Lake) -> None:
    directory = lake.begin("histories", Run(MARCH_1, "a"))
    (directory / "part-0.parquet").write_text("half")
    assert contents(lake, MARCH_1) is None
    assert lake.dates("histories") == []
    lake.commit("histories", Run(MARCH_1, "a"), rows=4)
    assert contents(lake, MARCH_1) == "half"
    assert lake.dates("histories") == [MARCH_1]


def test_a_rerun_leaves_the_old_run_readable_until_its_own_commit(lake: Lake) -> None:
    write(lake, Run(MARCH_1, "a"), "first")
    directory = lake.begin("histories", Run(MARCH_1, "b"))
    (directory / "part-0.parquet").write_text("sec")
    assert contents(lake, MARCH_1) == "first"
    lake.commit("histories", Run(MARCH_1, "b"), rows=3)
    assert contents(lake, MARCH_1) == "sec"


def test_a_retry_that_writes_again_leaves_what_was_committed(lake: Lake) -> None:
    run = Run(MARCH_1, "a")
    write(lake, run, "first")
    first = lake.require("histories", MARCH_1)
    for text in ("second", "third"):
        seen = contents(lake, MARCH_1)
        (lake.begin("histories", run) / "left-over.parquet").write_text("half")
        directory = lake.begin("histories", run)
        assert list(directory.iterdir()) == [], "what an unfinished attempt left is removed"
        assert contents(lake, MARCH_1) == seen, "what was committed is read until the commit"
        (directory / "part-0.parquet").write_text(text)
        lake.commit("histories", run, rows=1)
        assert contents(lake, MARCH_1) == text
    assert [attempt.files[0].read_text() for attempt in lake.attempts("histories", run)] == [
        "first",
        "second",
        "third",
    ]
    assert lake.partition("histories", MARCH_1, first.directory_id) == first
    newest = lake.require("histories", MARCH_1)
    assert (newest.run_id, newest.directory_id) == ("a", "a.3")
    assert lake.committed("histories", run) == newest


@pytest.mark.parametrize("first", ["a", "a.2", "a" * 120])
def test_runs_whose_directories_have_like_names_are_kept_apart(lake: Lake, first: str) -> None:
    # `a.2` is the second directory of the run `a`, and may be the name of another run.
    runs = [Run(MARCH_1, run_id) for run_id in (first, first, "a.2", "a", "a" * 110 + ".2", first)]
    written: dict[str, list[str]] = {}
    for number, run in enumerate(runs):
        write(lake, run, f"text {number}")
        written.setdefault(run.run_id, []).append(f"text {number}")
        assert lake.require("histories", MARCH_1).run_id == run.run_id
    for run in runs:
        found = [attempt.files[0].read_text() for attempt in lake.attempts("histories", run)]
        assert found == written[run.run_id]


def test_what_is_closed_is_not_written_again(lake: Lake) -> None:
    write(lake, Run(MARCH_1, "a"), "first")
    with pytest.raises(StorageError, match="begin comes first"):
        lake.commit("histories", Run(MARCH_1, "a"), rows=2)
    assert contents(lake, MARCH_1) == "first"


def test_the_manifest_holds_every_file_with_its_checksum(lake: Lake) -> None:
    directory = lake.begin("histories", Run(MARCH_1, "a"))
    (directory / "b").mkdir()
    for name in ("part-1.parquet", "b/part-0.parquet", "_SUCCESS", ".part-1.parquet.crc"):
        (directory / name).write_text(name)
    partition = lake.commit("histories", Run(MARCH_1, "a"), rows=2, model_version="m")
    assert [entry["path"] for entry in partition.manifest["files"]] == [
        "b/part-0.parquet",
        "part-1.parquet",
    ]
    for entry, file in zip(partition.manifest["files"], partition.files, strict=True):
        assert entry["sha256"] == file_sha256(file)
        assert entry["bytes"] == file.stat().st_size
    assert partition.manifest["model_version"] == "m"
    written = json.loads((partition.path / "manifest.json").read_text())
    assert written == partition.manifest | {"seal": written["seal"]}
    assert lake.partition("histories", MARCH_1, "a") == partition


def test_the_past_ends_at_the_date(lake: Lake) -> None:
    write(lake, Run(MARCH_2, "a"), "later")
    write(lake, Run(MARCH_1, "a"), "earlier")
    assert [partition.run_date for partition in lake.past("histories", MARCH_1)] == [MARCH_1]
    assert lake.dates("histories") == [MARCH_1, MARCH_2]


def test_the_latest_pointer_never_moves_backwards(lake: Lake) -> None:
    for date, run_id in ((MARCH_2, "a"), (MARCH_1, "a"), (MARCH_2, "b")):
        write(lake, Run(date, run_id), f"{date} {run_id}")
    assert lake.latest("histories") is None
    assert point_latest(lake, "histories", Run(MARCH_2, "a"))
    assert not point_latest(lake, "histories", Run(MARCH_1, "a"))
    assert point_latest(lake, "histories", Run(MARCH_2, "b"))
    latest = lake.latest("histories")
    assert latest is not None
    assert latest.files[0].read_text() == "2026-03-02 b"


def test_the_latest_stays_while_its_date_is_written_again(lake: Lake) -> None:
    write(lake, Run(MARCH_1, "a"), "first")
    point_latest(lake, "histories", Run(MARCH_1, "a"))
    write(lake, Run(MARCH_1, "b"), "second")
    latest = lake.latest("histories")
    assert latest is not None
    assert latest.files[0].read_text() == "first"


def test_what_goes_beside_the_pointers_may_still_refuse(lake: Lake) -> None:
    write(lake, Run(MARCH_1, "a"), "first")
    point_latest(lake, "histories", Run(MARCH_1, "a"))
    (lake.begin("histories", Run(MARCH_2, "a")) / "part-0.parquet").write_text("second")
    closed = lake.close("histories", Run(MARCH_2, "a"), rows=1)

    @contextmanager
    def refusing(newest: Partition) -> Iterator[None]:
        assert newest == closed
        raise OSError(28, "No space left on device")
        yield

    with pytest.raises(StorageError, match="cannot publish .*No space left"):
        lake.publish("histories", closed, refusing)
    assert lake.dates("histories") == [MARCH_1]
    latest = lake.latest("histories")
    assert latest is not None
    assert latest.run_date == MARCH_1


_POINT_AT_EVERY_OTHER_DATE = """
import datetime as dt, sys
from pipeline.lake import Lake, Run
lake = Lake(sys.argv[1])
for day in range(int(sys.argv[2]), 120, 2):
    date = dt.date(2026, 1, 1) + dt.timedelta(days=day)
    lake.publish("histories", lake.committed("histories", Run(date, "a")))
    found = lake.latest("histories").run_date
    assert found >= date, f"the latest is {found} after {date} was published"
"""


def test_two_processes_do_not_move_the_latest_backwards(lake: Lake) -> None:
    for day in range(120):
        lake.begin("histories", Run(dt.date(2026, 1, 1) + dt.timedelta(days=day), "a"))
        lake.close("histories", Run(dt.date(2026, 1, 1) + dt.timedelta(days=day), "a"))
    both = [
        subprocess.Popen(
            [sys.executable, "-c", _POINT_AT_EVERY_OTHER_DATE, str(lake.root), start],
            cwd=Path(__file__).resolve().parent.parent,
            stderr=subprocess.PIPE,
            text=True,
        )
        for start in ("0", "1")
    ]
    for process in both:
        _, said = process.communicate()
        assert process.returncode == 0, said


def test_what_is_not_there_is_named_with_what_is(lake: Lake) -> None:
    with pytest.raises(InputError, match="no histories for 2026-03-01 .*there is none at all"):
        lake.require("histories", MARCH_1)
    write(lake, Run(MARCH_1, "a"), "x")
    with pytest.raises(InputError, match="newest there is 2026-03-01"):
        lake.require("histories", MARCH_2)


@pytest.mark.parametrize("damage", ["empty", "shorter", "gone", "no manifest", "half a manifest"])
def test_what_is_damaged_counts_as_not_committed(
    lake: Lake, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(MARCH_1, "a")
    write(lake, run, "first")
    directory = lake.run_directory("histories", run)
    file, manifest = directory / "part-0.parquet", directory / "manifest.json"
    {
        "empty": lambda: file.write_bytes(b""),
        "shorter": lambda: file.write_bytes(b"firs"),
        "gone": file.unlink,
        "no manifest": manifest.unlink,
        "half a manifest": lambda: manifest.write_bytes(manifest.read_bytes()[:40]),
    }[damage]()
    named = str(manifest if "manifest" in damage else file)
    for read in (lake.current, lake.require, lake.past):
        with pytest.raises(DamagedError) as raised:
            read("histories", MARCH_1)
        assert raised.value.exit_code == DATA_ERROR, "a retry reads the same"
        assert str(raised.value).startswith(
            f"histories of 2026-03-01 in {lake.root} counts as not made"
        )
        assert named in str(raised.value)
        assert "nightcart redo --date 2026-03-01 --from build_histories" in str(raised.value)
    assert lake.whole("histories", MARCH_1) is None
    assert named in caplog.text, "what is left out is said"
    assert lake.past_whole("histories", MARCH_1) == []
    assert lake.committed("histories", run) is None
    write(lake, run, "second")
    assert contents(lake, MARCH_1) == "second", "the same run makes it again"


@pytest.mark.parametrize("pointer", ["current.json", "latest.json"])
@pytest.mark.parametrize("content", ["", "[]", "{}", '{"run_id": "a", "run_d'])
def test_a_damaged_pointer_is_named_and_mended(lake: Lake, pointer: str, content: str) -> None:
    write(lake, Run(MARCH_1, "a"), "first")
    point_latest(lake, "histories", Run(MARCH_1, "a"))
    (path,) = lake.dataset("histories").rglob(pointer)
    path.write_text(content)
    with pytest.raises(DamagedError, match="nightcart redo --date 2026-03-01"):
        _ = lake.latest("histories"), lake.current("histories", MARCH_1)
    assert point_latest(lake, "histories", Run(MARCH_1, "a"))
    latest = lake.latest("histories")
    assert latest is not None
    assert latest == lake.require("histories", MARCH_1)


def test_a_damaged_delivery_is_made_again_by_the_newest_night(lake: Lake) -> None:
    for date in (MARCH_1, MARCH_2):
        (lake.begin("cleaned_events", Run(date, "a")) / "part-0.parquet").write_text("x")
        lake.commit("cleaned_events", Run(date, "a"), rows=1)
    lake.require("cleaned_events", MARCH_1).files[0].write_bytes(b"")
    with pytest.raises(DamagedError, match="nightcart redo --date 2026-03-02 --from clean"):
        lake.require("cleaned_events", MARCH_1)


def test_a_lake_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file where the lake should be")
    with pytest.raises(StorageError, match="cannot write .*histories.*Not a directory"):
        Lake(tmp_path / "lake").begin("histories", Run(MARCH_1, "a"))


@pytest.mark.parametrize("run_id", ["", "../up", "a/b", ".hidden", "a" * 121])
def test_a_run_id_is_a_directory_name(run_id: str) -> None:
    with pytest.raises(InputError, match="run_id"):
        Run(MARCH_1, run_id)


def test_any_text_becomes_a_run_id() -> None:
    for text in ("manual__2026-03-01T00:00:00+00:00", "../../etc", "", "名前", "a" * 500):
        assert Run(MARCH_1, run_id_of(text)).run_id == run_id_of(text)
