"""The waiting job: what it names, when it gives up, what it takes for delivered."""

from __future__ import annotations

import datetime as dt
import json
import threading
from pathlib import Path

import pytest

from jobs import wait_for_raw
from pipeline.errors import DATA_ERROR, InputError
from pipeline.night_dates import refuse_the_future

SOURCE = """\
source: corner_shop
description: Two files a day, one of which may be missing.
datasets:
  events:
    files: "events/{date}.csv"
    format: csv
    columns: [who, what]
    map: {user_id: who, item_id: what}
  items:
    files: "items/{date}.csv"
    format: csv
    columns: [what]
    map: {item_id: what}
  users:
    files: "events/{date}.csv"
    format: csv
    columns: [who, what]
    map: {user_id: who, consent: "true"}
  reviews:
    files: "reviews/{date}.csv"
    format: csv
    required: false
    columns: [who]
    map: {user_id: who}
"""


@pytest.fixture
def corner_shop(shop: Path) -> Path:
    (shop / "corner_shop.yaml").write_text(SOURCE)
    (shop / "nightcart.toml").write_text(
        '[shop]\nsource = "corner_shop.yaml"\n[paths]\nraw = "raw"\nlake = "lake"\n'
    )
    return shop


def run(*arguments: str) -> int:
    return wait_for_raw.main(["--date", "2026-03-01", "--config", "nightcart.toml", *arguments])


def deliver(shop: Path, name: str) -> None:
    path = shop / "raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("who,what\n")


def record(shop: Path) -> dict[str, object]:
    path = shop / "lake/runs/run_date=2026-03-01/run_id=manual/wait_for_raw.json"
    return dict(json.loads(path.read_text()))


def test_names_every_required_file_that_is_missing_and_the_folder(
    corner_shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(corner_shop, "events/2026-02-28.csv")  # yesterday's is not today's
    assert run() == 65
    said = capsys.readouterr().err
    for part in (str(corner_shop / "raw"), "events/2026-03-01.csv", "items/2026-03-01.csv"):
        assert part in said
    assert "reviews" not in said
    assert record(corner_shop)["status"] == "failed"


def test_is_done_once_the_required_files_are_there(corner_shop: Path) -> None:
    deliver(corner_shop, "events/2026-03-01.csv")
    assert run() == 65
    deliver(corner_shop, "items/2026-03-01.csv")
    assert run() == 0
    assert record(corner_shop)["status"] == "done"


def test_waits_for_a_file_that_comes_late(
    corner_shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(corner_shop, "events/2026-03-01.csv")
    looked = threading.Event()

    def deliver_instead_of_sleeping(seconds: float) -> None:
        assert 0 < seconds <= wait_for_raw.POLL_SECONDS
        looked.set()
        deliver(corner_shop, "items/2026-03-01.csv")

    monkeypatch.setattr(wait_for_raw.time, "sleep", deliver_instead_of_sleeping)
    assert run("--timeout-minutes", "5") == 0
    assert looked.is_set()


def test_a_day_that_has_not_begun_is_refused(
    corner_shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the shop's own zone; files of such a date may well be there."""
    deliver(corner_shop, "events/9999-12-31.csv")
    deliver(corner_shop, "items/9999-12-31.csv")
    assert wait_for_raw.main(["--date", "9999-12-31", "--config", "nightcart.toml"]) == DATA_ERROR
    assert "9999-12-31 has not begun: the shop's today is" in capsys.readouterr().err
    late = dt.datetime(2026, 3, 1, 20, tzinfo=dt.UTC)
    refuse_the_future(dt.date(2026, 3, 2), "Asia/Tokyo", late)
    with pytest.raises(InputError, match="today is 2026-03-01 .UTC."):
        refuse_the_future(dt.date(2026, 3, 2), "UTC", late)


def test_a_source_without_users_ends_the_night_before_it_begins(
    corner_shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not after minutes of cleaning; all files are there."""
    without = SOURCE[: SOURCE.index("  users:")] + SOURCE[SOURCE.index("  reviews:") :]
    (corner_shop / "corner_shop.yaml").write_text(without)
    deliver(corner_shop, "events/2026-03-01.csv")
    deliver(corner_shop, "items/2026-03-01.csv")
    assert run() == DATA_ERROR
    assert "Map users with user_id and consent" in capsys.readouterr().err
