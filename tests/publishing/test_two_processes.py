"""Two real processes that make the same thing of one run: the second waits for the first."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from pipeline.verification import verify_lake
from tests.publishing.conftest import NIGHT, Night

YESTERDAY = dt.date(2026, 2, 28)
REPOSITORY = Path(__file__).resolve().parents[2]

# The first stops in the middle, where it says so, until it is told to go on.
PROCESS = """
import dataclasses, datetime as dt, logging, sys
from pipeline.lake import Lake, Run
from pipeline.publishing.degrade import degrade
from pipeline.publishing.publish import publish
from pipeline.settings import load_settings
import pipeline.publishing.publish

which, root, night, stops = sys.argv[1:]
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
lake, run = Lake(root), Run(dt.date.fromisoformat(night), "r1")
settings = load_settings(None, {})
settings = dataclasses.replace(settings, generation=dataclasses.replace(settings.generation, k=2))
begin = Lake.begin

def stopping(lake, *arguments):
    directory = begin(lake, *arguments)
    print("in the middle", flush=True)
    sys.stdin.readline()
    return directory

def commit():
    (lake.begin("histories", run) / "part-0.parquet").write_text("text")
    lake.commit("histories", run, rows=1)

if stops == "stops":
    Lake.begin = stopping
{
    "publish": lambda: publish(lake, run, settings),
    "degrade": lambda: degrade(lake, run, "failed", "it failed"),
    "commit": commit,
}[which]()
"""


def start(which: str, night: Night, stops: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, which, str(night.lake.root), str(NIGHT), stops],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    ("which", "dataset"),
    [
        ("publish", "recommendations"),
        ("degrade", "recommendations"),
        ("commit", "histories"),
    ],
)
def test_the_second_waits(night: Night, which: str, dataset: str) -> None:
    if which == "degrade":
        before = night.on(YESTERDAY, "r0")
        before.generate()
        before.publish()
    with ExitStack() as started:
        _run_both(which, dataset, night, started)
    made = night.lake.require(dataset, NIGHT)
    assert made.is_intact()
    assert made.files
    if dataset != "histories":
        assert night.lake.latest(dataset) == made
    assert verify_lake(night.lake).faults == []
    assert list((night.lake.root / "work" / "locks").iterdir()) == []


def _run_both(which: str, dataset: str, night: Night, started: ExitStack) -> None:
    first = start(which, night, "stops")
    started.callback(first.kill)
    assert first.stdout is not None
    said = [first.stdout.readline()]
    while "in the middle" not in said[-1]:
        assert said[-1], said
        said.append(first.stdout.readline())
    second = start(which, night, "goes on")
    started.callback(second.kill)
    assert second.stdout is not None
    line = second.stdout.readline()
    while line and f"another process is writing {dataset} of {NIGHT}" not in line:
        line = second.stdout.readline()
    assert line, "the second went on beside the first"
    for process, told in ((first, "go on\n"), (second, "")):
        rest, _ = process.communicate(told)
        assert process.returncode == 0, rest
