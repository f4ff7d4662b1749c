"""The process that keeps the others running: what `restart: unless-stopped` is in the compose file.

`python -m jobs.server.supervisor STATE` starts PostgreSQL, prepares Airflow's database, starts the
rest, and starts again whatever ends, after 1, 2, 4 … 30 s, or shows no life (`stalls`). A file
`run/<name>.hold` keeps one process stopped (maintenance). Ended by SIGTERM, it ends them all. Pids
are written with the start time of their process, so that a pid that the system has given to
somebody else is never signalled.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import psutil  # type: ignore[import-untyped]

from jobs.cli.airflow_home import POOL
from jobs.server import home
from jobs.server.home import Server
from jobs.server.processes import Process, init_postgres, is_ready, make_database, processes
from jobs.server.stalls import StallWatch, read_heartbeats, stalled_seconds
from pipeline.errors import NightcartError, StorageError

POLL_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0  # after so long a process counts as healthy again
STOP_SECONDS = 15.0
POSTGRES_SECONDS = 60.0
SUPERVISOR = "supervisor"


@dataclass
class Kept:
    """One process and its restarts."""

    process: Process
    child: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    start_again_at: float = 0.0


@dataclass
class Supervisor:
    """Starts, watches, restarts, stops."""

    server: Server
    environ: Mapping[str, str]
    kept: list[Kept] = field(default_factory=list)
    ending: bool = False

    def run(self) -> None:
        """Until SIGTERM."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        self.kept = [Kept(process) for process in processes(self.server)]
        watch = StallWatch(
            stalled_seconds(self.environ), lambda: read_heartbeats(self.server.api_url)
        )
        try:
            if self.server.database == "postgres":
                self._start(self.kept[0])
                self._wait_for_postgres()
            self._prepare()
            while not self.ending:
                for kept in self.kept:
                    self._look_at(kept)
                self._end_stalled(watch)
                time.sleep(POLL_SECONDS)
        finally:
            for kept in reversed(self.kept):
                self._stop(kept)

    def _look_at(self, kept: Kept) -> None:
        held = self.server.run_file(f"{kept.process.name}.hold").exists()
        now = time.monotonic()
        if kept.child is not None:
            if held:
                self._stop(kept)
            elif (code := kept.child.poll()) is not None:
                # Whatever it had started goes too: two schedulers' workers must not meet.
                _signal_group(kept.child.pid, signal.SIGKILL)
                kept.failures = 1 if now - kept.started > STEADY_SECONDS else kept.failures + 1
                pause = min(2.0 ** (kept.failures - 1), LONGEST_PAUSE_SECONDS)
                self._say(f"{kept.process.name} ended with {code}; again in {pause:.0f} s")
                kept.child, kept.start_again_at = None, now + pause
        elif not held and now >= kept.start_again_at:
            self._start(kept)

    def _end_stalled(self, watch: StallWatch) -> None:
        """What runs and does nothing is ended; the next look starts it again."""
        running = {kept.process.name: kept for kept in self.kept if kept.child is not None}
        since = {name: kept.started for name, kept in running.items()}
        for name in watch.stalled(since):
            self._say(f"{name} has shown no life for {watch.seconds:.0f} s: ended")
            self._stop(running[name])

    def _start(self, kept: Kept) -> None:
        process = kept.process
        owner = pwd.getpwnam(process.user) if process.user else None
        with self.server.log(process.name).open("ab") as log:
            kept.child = subprocess.Popen(  # noqa: S603  # our own lists
                process.command,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/" if owner else str(self.server.state),
                start_new_session=True,
                user=owner.pw_uid if owner else None,
                group=owner.pw_gid if owner else None,
                extra_groups=[] if owner else None,
            )
        kept.started = time.monotonic()
        write_pid(self.server, process.name, kept.child.pid)
        self._say(f"{process.name} is process {kept.child.pid}")

    def _stop(self, kept: Kept) -> None:
        if kept.child is None:
            return
        if kept.child.poll() is None:
            # To the process, not its group: it ends its own children in its own order.
            kept.child.send_signal(kept.process.stop_signal)
            try:
                kept.child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._say(f"{kept.process.name} did not end in {STOP_SECONDS:.0f} s: killed")
        _signal_group(kept.child.pid, signal.SIGKILL)
        kept.child.wait()
        kept.child = None
        self.server.run_file(f"{kept.process.name}.pid").unlink(missing_ok=True)

    def _wait_for_postgres(self) -> None:
        deadline = time.monotonic() + POSTGRES_SECONDS
        while not is_ready(self.server):
            child = self.kept[0].child
            if child is None or child.poll() is not None or time.monotonic() > deadline:
                raise StorageError(
                    f"PostgreSQL did not start; see {self.server.log('postgres')} (is port "
                    f"{self.server.postgres_port} taken?)"
                )
            time.sleep(POLL_SECONDS)

    def _prepare(self) -> None:
        """Airflow's tables and the pool, once for each version of Airflow and each new database."""
        ready = self.server.airflow / f".ready-{version('apache-airflow')}-{self.server.database}"
        if ready.exists():
            return
        if self.server.database == "postgres":
            make_database(self.server, self.environ, _password(self.server))
        for command in (["db", "migrate"], ["pools", "set", *POOL]):
            with self.server.log("set-up").open("ab") as log:
                done = subprocess.run(  # noqa: S603  # our own list
                    [sys.executable, "-m", "airflow", *command],
                    env=dict(self.environ),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
            if done.returncode:
                raise StorageError(
                    f"`airflow {' '.join(command)}` failed; see {self.server.log('set-up')}"
                )
        ready.touch()

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self.ending = True

    def _say(self, text: str) -> None:
        print(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text}", flush=True)  # noqa: T201  # its log


def write_pid(server: Server, name: str, pid: int) -> None:
    """Remember a process by its pid and its start."""
    said = {"pid": pid, "created": psutil.Process(pid).create_time()}
    server.run_file(f"{name}.pid").write_text(json.dumps(said), encoding="utf-8")


def living(server: Server, name: str) -> psutil.Process | None:
    """The process of a pid file, if that very process still runs."""
    try:
        said = json.loads(server.run_file(f"{name}.pid").read_text(encoding="utf-8"))
        process = psutil.Process(said["pid"])
        same = abs(process.create_time() - said["created"]) < 1
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
        return None


def _password(server: Server) -> str:
    return str(json.loads((server.state / "secrets.json").read_text(encoding="utf-8"))["postgres"])


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def main(argv: list[str] | None = None) -> int:
    """The supervisor's own process."""
    state = Path((argv or sys.argv[1:])[0])
    server = home.load(state)
    if server is None:
        raise StorageError(f"{state} has no server.json: `nightcart server up` writes it")
    environ = home.environment(state, os.environ)
    try:
        if server.database == "postgres" and init_postgres(server, _password(server)):
            for ready in server.airflow.glob(".ready-*"):
                ready.unlink()  # they speak of a database that is gone
        Supervisor(server, environ).run()
    except NightcartError as error:
        server.run_file("failed").write_text(str(error), encoding="utf-8")
        print(error, flush=True)  # noqa: T201  # its log
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
