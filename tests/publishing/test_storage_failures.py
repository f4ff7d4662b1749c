"""A lake that cannot be written: one clear message, and yesterday's night stays readable."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import StorageError
from pipeline.lake import Lake
from pipeline.publishing.query import run_query
from tests.lake_rows import user_id_of
from tests.publishing.conftest import NIGHT, Night, list_row, tree

YESTERDAY = NIGHT.replace(month=2)
REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def tonight(night: Night) -> Night:
    """Yesterday is published, tonight is generated."""
    yesterday = night.on(YESTERDAY, "r0")
    yesterday.generate()
    yesterday.publish()
    return night


# The limit on a file's size is the one refusal of room that the operating system gives to root,
# too, without a file system of one's own: EFBIG instead of ENOSPC, on the same write.
_PUBLISH_WITH_LITTLE_ROOM = """
import resource, signal, sys
from jobs.publish import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
raise SystemExit(main(sys.argv[2:]))
"""


# Each room lets one more file be written; the message names the one that did not fit. The last is
# the size of the views as they are: tonight's are longer.
ROOMS = [(0, "File too large"), (300, "cannot commit"), (1600, "views.sql"), (None, "views.sql")]


@pytest.mark.parametrize(("room", "where"), ROOMS)
@pytest.mark.parametrize("date", [YESTERDAY, NIGHT])
def test_no_room_to_publish(night: Night, room: int | None, where: str, date: dt.date) -> None:
    earlier = night.on(date, "r0")
    earlier.generate()
    earlier.publish()
    changed = night.with_lists(list_row("ann", ("a", "b")))
    changed.generate()
    before, pointed, seen = tree(night.lake.root), _pointed(night.lake), _seen(night.lake)
    views = (night.lake.root / "views.sql").read_bytes()
    room = len(views) if room is None else room
    done = _publish(night, "-c", _PUBLISH_WITH_LITTLE_ROOM, str(room))
    assert done.returncode == 75, done.stderr
    message = done.stderr.strip().splitlines()[-1]
    assert "File too large" in message
    assert where in message
    assert ("Nothing was published: readers see " in message) == (room > 0)
    assert "Traceback" not in done.stderr
    assert _pointed(night.lake) == pointed
    assert _seen(night.lake) == seen
    assert (night.lake.root / "views.sql").read_bytes() == views
    after = tree(night.lake.root)
    assert {name: after[name] for name in before} == before
    # With room again, the same run goes through.
    assert _publish(night, "-m", "jobs.publish").returncode == 0
    assert _pointed(night.lake) == ["r1", "r1"]
    assert (user_id_of("ann"), 1, "a") in _seen(night.lake)


@pytest.mark.parametrize(
    ("stops_at", "sentence"),
    [
        (1, "Nothing was published: readers see .*run_id=r0$"),
        (2, "It is published all the same .readers see .*run_id=r0.; the next attempt finishes"),
        (3, "It is published all the same .readers see .*run_id=r1.; the next attempt finishes"),
    ],
)
def test_the_message_says_what_readers_see(
    tonight: Night, monkeypatch: pytest.MonkeyPatch, stops_at: int, sentence: str
) -> None:
    # The three renames at the end: current.json, latest.json, views.sql.
    real, names = Path.replace, ["current.json", "latest.json", "views.sql"]

    def refusing(path: Path, target: Path) -> Path:
        if target.name == names[stops_at - 1]:
            raise PermissionError(13, "Permission denied")
        return real(path, target)

    monkeypatch.setattr(Path, "replace", refusing)
    with pytest.raises(StorageError, match=sentence):
        tonight.publish()
    monkeypatch.undo()
    tonight.publish()
    assert _readable_date(tonight.lake) == NIGHT


def test_a_file_where_the_directory_should_be(tonight: Night) -> None:
    # Root may write anywhere, so a missing permission cannot be tested by chmod; a path that is
    # no directory refuses everybody.
    blocker = tonight.lake.date_directory("recommendations", NIGHT)
    blocker.write_text("in the way")
    with pytest.raises(StorageError, match=f"{blocker}.*Nothing was published"):
        tonight.publish()
    assert _readable_date(tonight.lake) == YESTERDAY


def test_a_ledger_that_cannot_be_written(tonight: Night) -> None:
    blocker = tonight.lake.run_directory("ledger", tonight.run)
    blocker.parent.mkdir(parents=True)
    blocker.write_text("in the way")
    with pytest.raises(StorageError, match=f"{blocker}.*Nothing was published"):
        tonight.publish()
    assert _pointed(tonight.lake) == [None, "r0"]
    blocker.unlink()
    tonight.publish()
    assert _readable_date(tonight.lake) == NIGHT


def test_an_engine_without_scratch_space(tonight: Night) -> None:
    blocker = tonight.lake.work("publish", tonight.run)
    blocker.parent.mkdir(parents=True)
    blocker.write_text("in the way")
    with pytest.raises(StorageError, match="Nothing was published"):
        tonight.publish()
    assert _readable_date(tonight.lake) == YESTERDAY


def _publish(night: Night, *how: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "NIGHTCART_PATHS__LAKE": str(night.lake.root),
        "NIGHTCART_GENERATION__K": "2",
        "PYTHONPATH": str(REPOSITORY),
    }
    arguments = ["--date", NIGHT.isoformat(), "--run-id", "r1"]
    return subprocess.run(
        [sys.executable, *how, *arguments],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def _pointed(lake: Lake) -> list[str | None]:
    """What tonight's history and the latest name."""
    named = (lake.current("recommendations", NIGHT), lake.latest("recommendations"))
    return [partition.directory_id if partition else None for partition in named]


def _seen(lake: Lake) -> list[object]:
    sql = "SELECT user_id, rank, item_id FROM recommendations_latest ORDER BY ALL"
    return list(run_query(lake, sql).rows)


def _readable_date(lake: Lake) -> object:
    (row,) = run_query(lake, "SELECT DISTINCT run_date FROM recommendations_latest").rows
    return row[0]
