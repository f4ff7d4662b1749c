"""Publish last night's lists for a night that failed or ran out of time, marked as such.

Reads the newest recommendations before the date, cleaned_users and the run's records; writes
recommendations, views.sql and a ledger line. Does nothing where the night has lists of its own.
"""

from __future__ import annotations

import argparse
import json

from pipeline.lake import Lake, Run
from pipeline.publishing.degrade import REASONS, degrade
from pipeline.stage import Report, Stage, run_stage, stage_parser
from pipeline.stages import DEGRADE

UNFINISHED = ("failed", "running")  # a stage that was ended never says how


def work(stage: Stage, arguments: argparse.Namespace) -> Report:
    """Publish, and say whose lists they are and why."""
    said = what_stopped(stage.lake, stage.run, arguments.why)
    return degrade(stage.lake, stage.run, arguments.why, said).report


def what_stopped(lake: Lake, run: Run, why: str) -> str:
    """The stage that the night did not get past, in words."""
    intro = "the night's time was up" if why == "deadline" else "the night failed"
    found = []
    for path in lake.records(run).glob("*.json"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if path.stem != DEGRADE and record.get("status") in UNFINISHED:
            found.append((str(record.get("started")), path.stem, record.get("error")))
    if not found:
        return intro
    _, name, error = max(found, key=lambda entry: entry[0])
    return f"{intro} in {name}" + (f": {error}" if error else "")


def main(argv: list[str] | None = None) -> int:
    """Run the stage; return its exit code."""
    parser = stage_parser(DEGRADE, __doc__)
    parser.add_argument("--why", choices=sorted(REASONS), default="failed")
    return run_stage(DEGRADE, parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
