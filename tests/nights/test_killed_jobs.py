"""A job that is killed outright while it works: the retry gives the same bytes, and nothing is left.

`generate` and `publish`, killed between any two steps, are in their own rooms' tests.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.lake import Lake, Run
from pipeline.settings import Settings
from pipeline.simulator.shop import simulate_shop
from tests import small_shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REPOSITORY = Path(__file__).resolve().parents[2]
NIGHT = small_shop.NIGHT

CONFIG = """\
[paths]
raw = "raw"
lake = "lake"
[privacy]
key_file = "user_id.key"
[spark]
master = "local[1]"
driver_memory = "1g"
shuffle_partitions = 1
[model]
n_layer = 1
n_head = 1
n_embd = 16
n_positions = 64
text_vocab_size = 300
[training]
max_epochs = 3
text_epochs = 0
min_users = 5
"""


def job(home: Path, name: str, run_id: str) -> subprocess.Popen[str]:
    words = ["--date", NIGHT.isoformat(), "--run-id", run_id]
    return subprocess.Popen(
        [sys.executable, "-m", f"jobs.{name}", *words, "--config", str(home / "nightcart.toml")],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(home: Path, name: str, run_id: str) -> None:
    said, _ = (process := job(home, name, run_id)).communicate()
    assert process.returncode == 0, said


def kill_when_it_says(home: Path, name: str, run_id: str, words: str) -> None:
    process = job(home, name, run_id)
    assert process.stdout is not None
    assert any(words in line for line in process.stdout), f"{name} never said {words!r}"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def committed(lake: Lake, names: tuple[str, ...]) -> dict[str, Any]:
    """The files of each dataset's night: names, bytes, SHA-256."""
    found = {}
    for name in names:
        for date in lake.dates(name):
            found[f"{name} {date}"] = lake.require(name, date).manifest["files"]
    return found


@pytest.fixture
def delivered(tmp_path: Path) -> Path:
    """Three days of a tiny shop; nothing is cleaned yet."""
    first = NIGHT - dt.timedelta(days=2)
    simulate_shop(tmp_path / "shop/raw", users=40, items=20, days=3, seed=7, start_date=first)
    (tmp_path / "shop/nightcart.toml").write_text(CONFIG)
    (tmp_path / "shop/user_id.key").write_text("00" * 32)
    return tmp_path / "shop"


@pytest.fixture
def built(tmp_path: Path, settings: Settings) -> Path:
    """Histories are built; nothing is trained yet."""
    home = tmp_path / "shop"
    home.mkdir()
    (home / "nightcart.toml").write_text(CONFIG)
    small_shop.fill(Lake(home / "lake"))
    return home


CLEANED = ("cleaned_events", "cleaned_items", "cleaned_users", "cleaned_reviews", "quarantine")


def test_clean(delivered: Path, tmp_path: Path) -> None:
    calm = Path(shutil.copytree(delivered, tmp_path / "calm"))
    finish(calm, "clean", "r1")
    kill_when_it_says(delivered, "clean", "r1", "days to clean")
    assert Lake(delivered / "lake").dates("cleaned_events") == []
    finish(delivered, "clean", "r1")
    assert committed(Lake(delivered / "lake"), CLEANED) == committed(Lake(calm / "lake"), CLEANED)
    directories = list((delivered / "lake/cleaned_events").glob("run_date=*/run_id=*"))
    assert all((directory / "manifest.json").exists() for directory in directories)


def test_fine_tune(built: Path, tmp_path: Path) -> None:
    calm = Path(shutil.copytree(built, tmp_path / "calm"))
    finish(calm, "fine_tune", "r1")
    kill_when_it_says(built, "fine_tune", "r1", "epoch")
    lake = Lake(built / "lake")
    assert lake.current("models", NIGHT) is None
    finish(built, "fine_tune", "r1")
    ours, theirs = (
        {
            entry["path"]: entry["sha256"]
            for entry in Lake(home / "lake").require("models", NIGHT).manifest["files"]
        }
        for home in (built, calm)
    )
    assert ours["model.safetensors"] == theirs["model.safetensors"]
    assert ours.keys() == theirs.keys()
    assert len(lake.attempts("models", Run(NIGHT, "r1"))) == 1
