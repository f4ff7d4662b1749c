"""Faults in a running night: kills what it is told to kill, once, when a stage has begun.

    python -m benchmarks.faults_on_a_server --state S --lake L --night D
        task:clean task:fine_tune scheduler:build_histories postgres:evaluate task:publish

`task:STAGE` kills the Airflow task process that runs the stage's job (SIGKILL), `job:STAGE` the job
itself, `scheduler:STAGE` the scheduler and its workers, `worker:STAGE` the Spark worker and its
executors, `postgres:STAGE` holds PostgreSQL for 20 s. Waits until each is done, says when, and ends.
What became of the night is looked at by whoever started it (`nightcart status --stages`,
`benchmarks.nights_on_a_server`).
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import signal
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from jobs.server.home import load
from jobs.server.supervisor import living
from pipeline.lake import Lake

HELD_SECONDS = 20
POLL_SECONDS = 1.0


def main() -> None:
    """Wait for each stage, and strike."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--night", type=dt.date.fromisoformat, required=True)
    parser.add_argument("faults", nargs="+", metavar="WHAT:STAGE")
    arguments = parser.parse_args()
    waiting = [tuple(fault.split(":", 1)) for fault in arguments.faults]
    while waiting:
        for fault in list(waiting):
            what, stage = fault
            job = _job_of(stage, arguments.night)
            if job is not None and _is_running(Lake(arguments.lake), arguments.night, stage):
                said = _strike(what, job, arguments.state)
                now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
                print(json.dumps({"fault": f"{what}:{stage}", "at": now, "hit": said}), flush=True)
                waiting.remove(fault)
        time.sleep(POLL_SECONDS)


def _is_running(lake: Lake, night: dt.date, stage: str) -> bool:
    records = lake.date_directory("runs", night).glob(f"run_id=*/{stage}.json")
    return any('"running"' in path.read_text(encoding="utf-8") for path in records)


def _job_of(stage: str, night: dt.date) -> psutil.Process | None:
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if f"jobs.{stage}" in words and night.isoformat() in words:
            return process
    return None


def _strike(what: str, job: psutil.Process, state: Path) -> str:
    server = load(state)
    if server is None:
        raise SystemExit(f"{state} is no server")
    if what in ("task", "job"):
        victim = job if what == "job" else job.parent()
        victim.send_signal(signal.SIGKILL)
        return f"process {victim.pid}"
    if what == "postgres":
        hold = server.run_file("postgres.hold")
        hold.touch()
        time.sleep(HELD_SECONDS)
        hold.unlink()
        return f"held for {HELD_SECONDS} s"
    victim = living(server, "spark-worker" if what == "worker" else what)
    if victim is None:
        raise SystemExit(f"there is no {what} to kill")
    family = [victim, *victim.children(recursive=True)]
    for process in family:
        process.send_signal(signal.SIGKILL)
    return f"{len(family)} processes"


if __name__ == "__main__":
    main()
