"""Nights of a tiny simulated shop by a real scheduler: a backfill, some of it again, a redo.

    python -m benchmarks.nights_on_a_server --database postgres --nights 7 --again 3

Starts a server of its own (`nightcart server up`) below a temporary directory, on ports of its own,
and stops it at the end. Prints one JSON object. Fails when a night fails, when a night that was
made again differs in a byte, when the pointer is not on the newest, or when the asset was not
emitted exactly once a night.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.tiny_shop import TINY
from pipeline.exports.folder import read_export
from pipeline.intact import read_sealed_json
from pipeline.lake import Lake

REPOSITORY = Path(__file__).resolve().parents[1]
SHOP = ("--users", "40", "--items", "20", "--seed", "7")
SETTINGS = (
    """\
[shop]
name = "tiny shop"
[paths]
raw = "raw"
lake = "lake"
[privacy]
key_file = "user_id.key"
[spark]
master = "local[1]"
driver_memory = "1g"
shuffle_partitions = 1
"""
    + TINY
)
# Half of a tiny night is the JVM's compilers at work: Java's optimising one, and Spark's generated
# code.
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
SPARK_OPTIONS = "spark.sql.codegen.wholeStage false\nspark.sql.codegen.factoryMode NO_CODEGEN\n"
LOG_LINES = 40
EXPORT_SECONDS = 600.0  # a loaded machine starts a task in a minute
EVENTS = """
from airflow.models.asset import AssetEvent
from airflow.utils.session import create_session
from sqlalchemy import select
import json
with create_session() as session:
    print(json.dumps([event.extra["run_date"] for event in session.scalars(select(AssetEvent))]))
"""


class Server:
    """A shop and a server, below one directory."""

    def __init__(self, home: Path, database: str, port: int) -> None:
        self.home, self.database, self.port = home, database, port
        self.state = home / "server"
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            "PYTHONPATH": str(REPOSITORY),
            "NIGHTCART_STATE": str(self.state),
            "NIGHTCART_PGDATA": str(home / "postgres"),
            "JAVA_TOOL_OPTIONS": JAVA_OPTIONS,
            "SPARK_CONF_DIR": str(home / "spark"),
        }

    def write_settings(self) -> None:
        """The shop's, and Spark's."""
        (self.home / "nightcart.toml").write_text(SETTINGS, encoding="utf-8")
        (self.home / "spark").mkdir()
        (self.home / "spark" / "spark-defaults.conf").write_text(SPARK_OPTIONS, encoding="utf-8")

    def nightcart(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command; its output is shown."""
        done = subprocess.run(
            [sys.executable, "-m", "jobs.cli.main", *words],
            env=self.environ,
            cwd=self.home,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        print(done.stdout, file=sys.stderr, flush=True)
        if check and done.returncode:
            raise SystemExit(f"nightcart {' '.join(words)}: exit code {done.returncode}")
        return done

    def up(self, *more: str) -> None:
        """Start, and let nights begin."""
        options = ["--config", str(self.home / "nightcart.toml"), "--api-port", str(self.port)]
        options += ["--postgres-port", str(self.port + 1), "--spark-port", str(self.port + 2)]
        options += ["--sqlite"] if self.database == "sqlite" else []
        self.nightcart("server", "up", *options, "--timeout", "900", *more)
        for dag in ("nightly_recommendations", "export_lists"):
            self.nightcart("server", "airflow", "dags", "unpause", "-y", dag)

    def show_logs(self) -> None:
        """The last words of each process, for who has to find out why a night stands still."""
        for path in sorted((self.state / "log").glob("*.log")):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
            print(f"--- {path.name}", *lines, sep="\n", file=sys.stderr, flush=True)

    def events(self) -> list[str]:
        """The nights whose asset event Airflow has, in order."""
        from jobs.server.home import environment

        done = subprocess.run(
            [sys.executable, "-c", EVENTS],
            env=environment(self.state, self.environ),
            text=True,
            capture_output=True,
            check=True,
        )
        return list(json.loads(done.stdout.splitlines()[-1]))


def published(lake: Lake) -> dict[str, list[dict[str, Any]]]:
    """Every night's published files: paths, bytes, SHA-256."""
    return {
        str(night): lake.require("recommendations", night).manifest["files"]
        for night in lake.dates("recommendations")
    }


def main() -> None:
    """Run the proof."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--database", choices=("postgres", "sqlite"), default="postgres")
    parser.add_argument("--nights", type=int, default=7)
    parser.add_argument("--again", type=int, default=3, help="how many of the middle")
    parser.add_argument("--port", type=int, default=18080)
    parser.add_argument("--spark-jobs", action="store_true", help="on the standalone master")
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="nightcart-nights-"))
    home.chmod(0o755)  # PostgreSQL's own user has to enter it
    server = Server(home, arguments.database, arguments.port)
    server.write_settings()
    server.nightcart("simulate", *SHOP, "--days", str(arguments.nights + 3), "--out", "raw")
    days = sorted(path.name.removeprefix("date=") for path in (home / "raw").glob("date=*"))
    nights = days[-arguments.nights :]
    more = ["--spark-jobs"] if arguments.spark_jobs else []
    try:
        started = time.monotonic()
        server.up(*more)
        up_seconds = time.monotonic() - started
        report = _prove(server, nights, arguments.again)
    finally:
        server.nightcart("server", "down", check=False)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        json.dumps(
            {
                "database": arguments.database,
                "up_seconds": round(up_seconds),
                **report,
                "load": os.getloadavg()[0],
                "followers_cpu_seconds": round(usage.ru_utime + usage.ru_stime),
            },
            indent=1,
        )
    )
    shutil.rmtree(home)


def _prove(server: Server, nights: list[str], again: int) -> dict[str, Any]:
    lake = Lake(server.home / "lake")
    started = time.monotonic()
    server.nightcart("backfill", "--from", nights[0], "--to", nights[-1])
    first_seconds = time.monotonic() - started
    before, events = published(lake), server.events()
    assert sorted(before) == nights, f"published {sorted(before)}, expected {nights}"
    assert events == nights, f"one event a promoted night, in order: {events}"
    again_seconds = _again(server, nights, again) if again else 0.0
    server.nightcart("redo", "--date", nights[-1], "--from", "generate")
    assert published(lake) == before, "nights that were made again differ"
    latest = lake.latest("recommendations")
    assert latest is not None
    assert latest.run_date == dt.date.fromisoformat(nights[-1])
    assert server.events() == nights, "a night of the past woke the export"
    deadline = time.monotonic() + EXPORT_SECONDS
    pointer = lake.root.parent / "exports" / "csv" / "latest.json"
    while not pointer.exists():
        assert time.monotonic() < deadline, "the export was never woken"
        time.sleep(1)
    mailed = read_export(pointer.with_name(str(read_sealed_json(pointer)["export"]))).manifest
    return {
        "nights": len(nights),
        "seconds_a_night": round(first_seconds / len(nights), 1),
        "again": again,
        "seconds_a_night_again": round(again_seconds / max(again, 1), 1),
        "asset_events": len(nights),
        "shoppers": latest.rows,
        "exported": f"{mailed['run_date']}: {mailed['counts']['exported']}",
    }


def _again(server: Server, nights: list[str], again: int) -> float:
    """The middle nights a second time; how long it took."""
    first = (len(nights) - again) // 2
    middle = nights[first : first + again]
    words = ("backfill", "--from", middle[0], "--to", middle[-1])
    skipped = server.nightcart(*words)
    assert "there is nothing to do" in skipped.stdout, "reprocess defaults to none"
    started = time.monotonic()
    server.nightcart(*words, "--reprocess", "completed")
    return time.monotonic() - started


if __name__ == "__main__":
    main()
