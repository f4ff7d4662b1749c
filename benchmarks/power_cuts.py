"""Nights of a tiny shop on a disk whose power is cut, during and right after every stage.

    sudo python -m benchmarks.power_cuts --nights 3

The lake lies in an ext4 of its own, in a file (a loop device, so this needs root). A cut is a copy
of that file, taken while the stage's processes are stopped or right after the stage has exited 0:
what is not on the disk by then is not in the copy. Each copy is mounted, which replays its journal,
and every manifest and pointer in it is read by code of this file alone. After an exit 0, whatever
the lake had committed must be in the copy, too. Prints one JSON object; fails if any cut left a
committed partition with a bad file.

Gives up: the copy of a stage that is only stopped takes a moment, in which the kernel may write.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.tiny_shop import TINY
from pipeline.simulator.shop import simulate_shop
from pipeline.stages import STAGES, NightStage

REPOSITORY = Path(__file__).resolve().parents[1]
DAYS = 12
SETTINGS = (
    """\
[shop]
name = "tiny shop"
[paths]
raw = "{home}/raw"
lake = "{disk}/lake"
[privacy]
key_file = "{disk}/user_id.key"
[spark]
master = "local[1]"
driver_memory = "1g"
shuffle_partitions = 1
quick_start = true
"""
    + TINY
    + "checkpoint_seconds = 0\n"
)


def main() -> int:
    """Run the nights; 1 if a cut left something bad."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nights", type=int, default=3)
    parser.add_argument("--during", type=int, default=1, help="cuts while each stage runs")
    parser.add_argument("--megabytes", type=int, default=256, help="of the disk")
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nightcart-cuts-") as home:
        result = Cuts(Path(home), asked.megabytes, asked.during, random.Random(asked.seed)).nights(
            asked.nights
        )
    print(json.dumps(result, indent=1))
    return 1 if result["bad"] else 0


class Cuts:
    """The disk, and what its cuts left."""

    def __init__(self, home: Path, megabytes: int, during: int, random_: random.Random) -> None:
        self.home, self.disk = home, home / "disk"
        self.image = home / "disk.img"
        self.megabytes, self.during, self.random = megabytes, during, random_
        self.cuts: Counter[str] = Counter()
        self.manifests: Counter[str] = Counter()
        self.bad: list[str] = []
        self.seconds: dict[str, float] = {}

    def nights(self, number: int) -> dict[str, Any]:
        """Run nights, with cuts; what came of it."""
        shop = simulate_shop(self.home / "raw", users=40, items=20, days=DAYS, seed=7)
        config = self.home / "nightcart.toml"
        config.write_text(SETTINGS.format(home=self.home, disk=self.disk), encoding="utf-8")
        with self.image.open("wb") as file:
            file.truncate(self.megabytes << 20)
        _run("mkfs.ext4", "-q", "-F", str(self.image))
        with mounted(self.image, self.disk):
            for back in reversed(range(number)):
                night = shop.last_date - dt.timedelta(days=back)
                for stage in STAGES:
                    self.stage(stage, night, config)
        return {
            "cuts": self.cuts.total(),
            "by_stage": dict(self.cuts),
            "manifests_read": self.manifests.total(),
            "seconds": self.seconds,
            "bad": self.bad,
        }

    def stage(self, stage: NightStage, night: dt.date, config: Path) -> None:
        """Run one stage in a process group of its own, and cut."""
        command = [sys.executable, "-m", f"jobs.{stage.job}", "--config", str(config)]
        command += ["--date", night.isoformat(), "--run-id", "cut", *stage.arguments]
        log = self.home / "log"
        started = time.monotonic()
        moments = sorted(
            self.random.uniform(1, self.seconds.get(stage.name, 8)) for _ in range(self.during)
        )
        with log.open("wb") as output:
            job = subprocess.Popen(  # our own list
                command, cwd=REPOSITORY, stdout=output, stderr=output, start_new_session=True
            )
            for moment in moments:
                try:
                    job.wait(max(0.0, started + moment - time.monotonic()))
                    break
                except subprocess.TimeoutExpired:
                    os.killpg(job.pid, signal.SIGSTOP)
                    self.cut(stage.name, f"{night} during {stage.name}", after=False)
                    os.killpg(job.pid, signal.SIGCONT)
            code = job.wait()
        if code:
            raise SystemExit(f"{stage.name} failed:\n{log.read_text(encoding='utf-8')[-4000:]}")
        self.cut(stage.name, f"{night} after {stage.name}", after=True)
        self.seconds[stage.name] = round(time.monotonic() - started, 1)

    def cut(self, stage: str, when: str, *, after: bool) -> None:
        """Copy the disk as it is, and look at the copy."""
        copy = self.home / "copy.img"
        _run("cp", "--sparse=always", str(self.image), str(copy))
        self.cuts[stage] += 1
        with mounted(copy, self.home / "copy"):
            lake = self.home / "copy" / "lake"
            self.manifests[stage] += sum(1 for _ in lake.glob("**/manifest.json"))
            self.bad += [f"{when}: {fault}" for fault in faults(lake)]
            if after:
                live, there = committed(self.disk / "lake"), committed(lake)
                self.bad += [f"{when}: {path} is not there" for path in sorted(live - there)]
        copy.unlink()


def faults(lake: Path) -> Iterator[str]:
    """What manifests and pointers say that is not so."""
    for manifest in lake.glob("**/manifest.json"):
        try:
            entries = json.loads(manifest.read_bytes())["files"]
        except ValueError:
            yield f"{manifest} cannot be read"
            continue
        for entry in entries:
            file = manifest.parent / entry["path"]
            if not file.exists():
                yield f"{file} is not there"
            elif hashlib.sha256(file.read_bytes()).hexdigest() != entry["sha256"]:
                yield f"{file} has {file.stat().st_size} bytes, or others than its manifest says"
    for pointer in [*lake.glob("*/run_date=*/current.json"), *lake.glob("*/latest.json")]:
        try:
            said = json.loads(pointer.read_bytes())
        except ValueError:
            yield f"{pointer} cannot be read"
            continue
        date = f"run_date={said['run_date']}" if "run_date" in said else "."
        if not (pointer.parent / date / f"run_id={said['run_id']}" / "manifest.json").exists():
            yield f"{pointer} names a directory that is not closed"


def committed(lake: Path) -> set[str]:
    """Manifests, pointers and ledgers, with their content."""
    names = ("**/manifest.json", "**/current.json", "**/latest.json", "ledger/**/*.jsonl")
    return {
        f"{path.relative_to(lake)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for name in names
        for path in lake.glob(name)
    }


@contextmanager
def mounted(image: Path, at: Path) -> Iterator[None]:
    """A file's ext4, mounted through a loop device."""
    at.mkdir(exist_ok=True)
    _run("mount", "-o", "loop", str(image), str(at))
    try:
        yield
    finally:
        _run("umount", str(at))


def _run(*command: str) -> None:
    if shutil.which(command[0]) is None:
        raise SystemExit(f"{command[0]} is not there; it needs e2fsprogs and util-linux")
    subprocess.run(command, check=True)  # our own list


if __name__ == "__main__":
    raise SystemExit(main())
