"""One night by a real scheduler with everything going wrong in it, and the same night in peace.

    python -m benchmarks.faults_on_a_server

Starts a server of its own (PostgreSQL, Airflow, Spark standalone) below a temporary directory. The
delivery comes late; then, each in another stage: the Spark worker with its executors is killed, the
scheduler is killed, PostgreSQL is stopped for 20 s, a task's process is killed, the scheduler is
frozen until the supervisor replaces it. The night must be published all the same, and made again
undisturbed it must have the same bytes. Then a night whose delivery never comes fails, is delivered
with a column that nobody knows, fails, and is healed by one `nightcart redo`. Prints one JSON
object.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.nights_on_a_server import SHOP, Server, published
from jobs.server.home import load
from jobs.server.stalls import STALLED_VARIABLE
from jobs.server.supervisor import living
from pipeline.lake import Lake

HELD_SECONDS = 20
REPLACED_SECONDS = 180.0
POLL_SECONDS = 0.5
EXECUTOR_SECONDS = 60.0
DAYS = 5
FAULTS = (
    ("worker", "clean"),
    ("scheduler", "validate_cleaned"),
    ("postgres", "build_histories"),
    ("task", "fine_tune"),
    ("task", "generate"),
    ("freeze", "validate_generated"),
)
# A retry, and what tells a dead task from a living one, need not take Airflow's five minutes here.
AIRFLOW = {
    "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "10",
    # Nor what tells a process that hangs.
    STALLED_VARIABLE: "60",
}


@dataclass
class Striker:
    """Waits for a night's stages, and strikes each once; then delivers what is late."""

    server: Server
    night: dt.date
    late: Path  # the delivery, where nobody looks for it
    faults: Sequence[tuple[str, str]] = FAULTS
    struck: list[dict[str, str]] = field(default_factory=list)
    ending: bool = False

    def run(self) -> None:
        """Until every fault is done, or the night is over."""
        waiting = list(self.faults)
        while (waiting or self.late.exists()) and not self.ending:
            if self.late.exists() and self._looked_for():
                self.late.rename(self.server.home / "raw" / f"date={self.night}")
                self._note("the delivery comes", "wait_for_raw")
            for what, stage in list(waiting):
                job = self._job_of(stage)
                if job is not None and self._status(stage) == "running":
                    self._note(self._strike(what, job), stage)
                    waiting.remove((what, stage))
            time.sleep(POLL_SECONDS)

    def _looked_for(self) -> bool:
        return self._status("wait_for_raw") == "failed"

    def _status(self, stage: str) -> str:
        directory = Lake(self.server.home / "lake").date_directory("runs", self.night)
        for path in directory.glob(f"run_id=*/{stage}.json"):
            with contextlib.suppress(OSError, ValueError):
                return str(json.loads(path.read_text(encoding="utf-8"))["status"])
        return ""

    def _job_of(self, stage: str) -> psutil.Process | None:
        job = "validate" if stage.startswith("validate") else stage
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            ours = str(self.server.home / "nightcart.toml") in words
            if ours and any(word in (f"jobs.{job}", f"{job}.py") for word in map(_last, words)):
                return process
        return None

    def _strike(self, what: str, job: psutil.Process) -> str:
        server = load(self.server.state)
        assert server is not None
        if what == "task":
            task = job.parent()
            task.send_signal(signal.SIGKILL)
            _, alive = psutil.wait_procs([job], timeout=60)
            return "task killed" + ("; its job goes on" if alive else "; its job is gone")
        if what == "postgres":
            hold = server.run_file("postgres.hold")
            hold.touch()
            time.sleep(HELD_SECONDS)
            hold.unlink()
            return f"PostgreSQL stopped for {HELD_SECONDS} s"
        if what == "freeze":
            scheduler = living(server, "scheduler")
            assert scheduler is not None, "there is no scheduler to freeze"
            scheduler.suspend()
            gone, _ = psutil.wait_procs([scheduler], timeout=REPLACED_SECONDS)
            assert gone, "the supervisor left a scheduler that does nothing"
            return "scheduler frozen; the supervisor ended it"
        victim = living(server, "spark-worker" if what == "worker" else what)
        assert victim is not None, f"there is no {what} to kill"
        if what == "worker":  # with the job's executor below it, which comes with its session
            patience = time.monotonic() + EXECUTOR_SECONDS
            while not victim.children() and time.monotonic() < patience:
                time.sleep(POLL_SECONDS)
        family = [victim, *victim.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        return f"{what} killed with {len(family) - 1} processes below it"

    def _note(self, what: str, stage: str) -> None:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        self.struck.append({"in": stage, "at": now, "what": what})
        print(f"{now} in {stage}: {what}", file=sys.stderr, flush=True)


def _last(word: str) -> str:
    return Path(word).name


def main() -> None:
    """Run the proof."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--port", type=int, default=18180)
    parser.add_argument("--only-faults", action="store_true", help="not the night never delivered")
    arguments = parser.parse_args()
    server, night, missing = delivered(arguments.port)
    report: dict[str, object] = {}
    try:
        server.up("--spark-jobs")
        report["faults"] = _in_peace_too(server, night)
        if not arguments.only_faults:
            report["healed"] = healed(server, missing)
    finally:
        server.nightcart("server", "down", check=False)
    print(json.dumps(report, indent=1))
    shutil.rmtree(server.home)


def delivered(port: int) -> tuple[Server, dt.date, dt.date]:
    """A server that was not started, and the last two nights: their deliveries lie elsewhere."""
    home = Path(tempfile.mkdtemp(prefix="nightcart-faults-"))
    home.chmod(0o755)  # PostgreSQL's own user has to enter it
    server = Server(home, "postgres", port)
    server.environ |= AIRFLOW
    server.write_settings()
    server.nightcart("simulate", *SHOP, "--days", str(DAYS), "--out", "raw")
    *_, night, missing = sorted(
        dt.date.fromisoformat(path.name.removeprefix("date="))
        for path in (home / "raw").glob("date=*")
    )
    for late in (night, missing):
        (home / "raw" / f"date={late}").rename(home / f"late-{late}")
    server.state.mkdir()
    lines = [f"{name}='{value}'\n" for name, value in AIRFLOW.items()]
    (server.state / "extra.env").write_text("".join(lines), encoding="utf-8")
    return server, night, missing


@contextlib.contextmanager
def striking(
    server: Server, night: dt.date, faults: Sequence[tuple[str, str]]
) -> Iterator[list[dict[str, str]]]:
    """While the block runs a night: deliver it late and strike it; what was struck, as it comes."""
    late = server.home / f"late-{night}"
    striker = Striker(server, night, late, faults)
    due = len(faults) + late.exists()
    thread = threading.Thread(target=striker.run, daemon=True)
    thread.start()
    try:
        yield striker.struck
    finally:
        striker.ending = True
        thread.join()
    assert len(striker.struck) == due, f"not every fault happened: {striker.struck}"


def disturbed(
    server: Server, night: dt.date, faults: Sequence[tuple[str, str]] = FAULTS
) -> list[dict[str, str]]:
    """The night with a late delivery and these faults, to its published end; what was struck."""
    with striking(server, night, faults) as struck:
        server.nightcart(*backfill_of(night), "--wait-minutes", "30")
    assert list(published(Lake(server.home / "lake"))) == [str(night)]
    assert server.events() == [str(night)], "one asset event a promoted night"
    return struck


def backfill_of(night: dt.date) -> tuple[str, ...]:
    """The words of the command that makes one night."""
    return "backfill", "--from", str(night), "--to", str(night)


def _in_peace_too(server: Server, night: dt.date) -> dict[str, object]:
    """The night with faults, and again without."""
    lake = Lake(server.home / "lake")
    started = time.monotonic()
    struck = disturbed(server, night)
    seconds = time.monotonic() - started
    first = published(lake)
    started = time.monotonic()
    server.nightcart(*backfill_of(night), "--reprocess", "completed")
    assert published(lake) == first, "the night in peace differs from the one with faults"
    assert server.events() == [str(night)], "the same lists were announced twice"
    return {
        "struck": struck,
        "seconds": round(seconds),
        "seconds_in_peace": round(time.monotonic() - started),
    }


def why_unpublished(server: Server, night: dt.date) -> str:
    """What `nightcart status` says of a night that failed."""
    (line,) = [
        text
        for text in server.nightcart("status", "--nights", "1").stdout.splitlines()
        if text.strip().startswith(str(night))
    ]
    return line[line.index("no: ") :]


def healed(server: Server, night: dt.date) -> dict[str, str]:
    """A night without a delivery, then with a poisoned one, then well."""
    lake = Lake(server.home / "lake")
    before = published(lake)
    said: dict[str, str] = {}

    def fails(name: str, *words: str) -> None:
        done: subprocess.CompletedProcess[str] = server.nightcart(*words, check=False)
        assert done.returncode == 1, f"{name}: the night did not fail"
        assert published(lake) == before, "readers have another night than before"
        said[name] = why_unpublished(server, night)

    fails("missing", *backfill_of(night))
    delivery = server.home / "raw" / f"date={night}"
    (server.home / f"late-{night}").rename(delivery)
    items = delivery / "items.csv"
    good = items.read_text(encoding="utf-8")
    items.write_text(good.replace("price", "prix", 1), encoding="utf-8")
    fails("poisoned", "redo", "--date", str(night))
    items.write_text(good, encoding="utf-8")
    server.nightcart("redo", "--date", str(night))
    assert sorted(published(lake)) == [*sorted(before), str(night)]
    return said


if __name__ == "__main__":
    main()
