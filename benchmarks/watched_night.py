"""One night of a simulated shop, watched from outside: what listens, what is readable, what leaks.

    python -m benchmarks.watched_night --users 300

The night runs through `nightcart run` in a fresh home. All the time its processes are looked at:
ports that they listen on, connections, arguments, environments, and new files in the system's
temporary directories. Afterwards every file that is left, but the raw files and the key file, is
searched for three lists: the key (text, bytes, base64), every raw id of users, events and visits,
and every contact that the simulator has planted in texts. Spark writes its event logs there
too, which hold every plan of the night. Parquet is decoded, gzip and zstd are unpacked, and so is
what lies in SQLite's pages as plain text.

Prints one JSON object; exits with 1 if anything was found. Nothing of the search is shared with the
code that it looks at. Gives up: memory of the processes, and what lives shorter than a look takes.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import io
import ipaddress
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq

CONFIG = """\
[shop]
name = "watched shop"
source = "simulator"
[paths]
raw = "raw"
lake = "lake"
airflow = "airflow"
[privacy]
key_file = "user_id.key"
[spark]
driver_memory = "1g"
shuffle_partitions = 2
quick_start = true
[training]
max_epochs = 2
text_epochs = 1
"""
TEMPORARY = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))
BETWEEN_LOOKS = 0.1
IDS = ("user", "event_id", "session", "review_id")
TOKEN = re.compile(rb"[A-Za-z0-9_-]{6,}")


@dataclass
class Lists:
    """What may stand nowhere."""

    key: tuple[bytes, ...] = ()
    ids: frozenset[bytes] = frozenset()
    contacts: tuple[bytes, ...] = ()

    def found_in(self, data: bytes) -> dict[str, bytes]:
        """One finding of each list in some bytes."""
        found = {}
        for each in self.key:
            if each in data:
                found["key"] = b"(the key)"
        if hits := self.ids.intersection(TOKEN.findall(data)):
            found["raw id"] = min(hits)
        for contact in self.contacts:
            if contact in data:
                found["contact"] = contact
                break
        return found


@dataclass
class Watch:
    """What was seen of the night's processes."""

    night: psutil.Popen
    home: Path
    looks: int = 0
    processes: set[int] = field(default_factory=set)
    ports: set[str] = field(default_factory=set)
    faults: set[str] = field(default_factory=set)
    temporary: dict[Path, int] = field(default_factory=dict)

    def run(self, before: set[Path]) -> None:
        """Look until the night has ended."""
        while self.night.poll() is None:
            self._look(before)
            time.sleep(BETWEEN_LOOKS)

    def _look(self, before: set[Path]) -> None:
        self.looks += 1
        key = _key_of(self.home / "user_id.key")
        try:
            family = [self.night, *self.night.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for process in family:
            try:
                self._look_at(process, key)
            except (psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
                continue
        for path in _files_of(TEMPORARY) - before:
            if path in self.temporary or path.is_relative_to(self.home):
                continue
            with suppress(OSError):  # gone by now
                self.temporary[path] = path.stat().st_mode & 0o777

    def _look_at(self, process: psutil.Process, key: tuple[bytes, ...]) -> None:
        new = process.pid not in self.processes
        self.processes.add(process.pid)
        for connection in process.net_connections(kind="inet"):
            if connection.laddr and not _is_loopback(connection.laddr.ip):
                self.faults.add(f"{connection.status} at {connection.laddr.ip}")
            if connection.raddr and not _is_loopback(connection.raddr.ip):
                self.faults.add(f"a connection to {connection.raddr.ip}")
            if connection.status == psutil.CONN_LISTEN:
                self.ports.add(f"{connection.laddr.ip}:{connection.laddr.port}")
        if new or self.looks % 20 == 0:
            said = "\0".join([*process.cmdline(), *map("=".join, process.environ().items())])
            if any(each in said.encode() for each in key):
                self.faults.add(f"the key in arguments or environment of {process.name()}")


def main() -> int:
    """Run and watch; 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--items", type=int, default=80)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="watched-night-") as directory:
        found = watched(Path(directory), asked)
    print(json.dumps(found))
    return 1 if found["faults"] else 0


def watched(home: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """One night in a fresh home, and what was found."""
    command = [sys.executable, "-m", "jobs.cli.main"]
    sizes = [f"--{name}={getattr(asked, name)}" for name in ("users", "items", "days", "seed")]
    subprocess.run([*command, "simulate", "--out", str(home / "raw"), *sizes], check=True)
    (home / "nightcart.toml").write_text(CONFIG)
    date = max(path.name for path in (home / "raw").glob("date=*")).removeprefix("date=")
    (home / "spark").mkdir()
    (home / "event_logs").mkdir()
    (home / "spark/spark-defaults.conf").write_text(
        f"spark.eventLog.enabled true\nspark.eventLog.dir {(home / 'event_logs').as_uri()}\n"
    )
    before = _files_of(TEMPORARY)
    night = psutil.Popen(
        [*command, "run", "--date", date, "--config", str(home / "nightcart.toml")],
        stdout=sys.stderr,
        env={**os.environ, "SPARK_CONF_DIR": str(home / "spark")},
    )
    watch = Watch(night, home)
    looking = threading.Thread(target=watch.run, args=(before,))
    looking.start()
    code = night.wait()
    looking.join()
    if code:
        watch.faults.add(f"the night ended with {code}")
    if not any((home / "event_logs").iterdir()):
        watch.faults.add("Spark has written no event log to look at")
    lists = lists_of(home)
    left = _files_of(TEMPORARY) - before
    files, size = 0, 0
    for path in sorted(_files_of((home,)) | left):
        if path.is_relative_to(home / "raw") or path == home / "user_id.key":
            continue
        if path in left and not path.is_relative_to(home):
            watch.faults.add(f"left behind: {path}")
        files += 1
        for data in contents(path):
            size += len(data)
            for what, hit in lists.found_in(data).items():
                watch.faults.add(f"{what} in {path.relative_to(home.parent)}: {hit!r}")
    readable = [path for path, mode in watch.temporary.items() if mode & 0o044]
    watch.faults |= {f"readable by all, in a temporary directory: {path}" for path in readable}
    return {
        "looks": watch.looks,
        "processes": len(watch.processes),
        "ports": len(watch.ports),
        "files_searched": files,
        "bytes_searched": size,
        "ids": len(lists.ids),
        "contacts": len(lists.contacts),
        "temporary_files_seen": len(watch.temporary),
        "faults": sorted(watch.faults),
    }


def lists_of(home: Path) -> Lists:
    """What the raw files and the key file hold."""
    ids: set[bytes] = set()
    for path in (home / "raw").glob("date=*/*.jsonl"):
        for line in path.read_text("utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            ids |= {str(row[name]).encode() for name in IDS if row.get(name)}
    for path in (home / "raw").glob("date=*/users.csv"):
        ids |= {line.split(",")[0].encode() for line in path.read_text("utf-8").splitlines()[1:]}
    contacts = []
    for path in (home / "raw/_truth/faults").glob("*.jsonl"):
        rows = map(json.loads, path.read_text("utf-8").splitlines())
        contacts += [row["needle"] for row in rows if row.get("needle") and _is_contact(row)]
    whole = {each for each in ids if TOKEN.fullmatch(each)}
    return Lists(_key_of(home / "user_id.key"), frozenset(whole), tuple(map(str.encode, contacts)))


def contents(path: Path) -> Iterator[bytes]:
    """A file as it lies there, and what is packed in it."""
    data = path.read_bytes()
    yield data
    if data[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(data))
        for batch in table.to_batches(max_chunksize=20_000):
            yield json.dumps(batch.to_pylist(), default=str, ensure_ascii=False).encode()
    elif data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    elif data[:4] == b"\x28\xb5\x2f\xfd":
        with pa.input_stream(path, compression="zstd") as stream:
            yield stream.read()


def _is_contact(row: dict[str, Any]) -> bool:
    return any(word in json.dumps(row) for word in ("email", "phone", "card"))


def _key_of(path: Path) -> tuple[bytes, ...]:
    try:
        text = path.read_bytes().strip()
    except FileNotFoundError:
        return ()
    raw = bytes.fromhex(text.decode())
    return (text, raw, base64.b64encode(raw), base64.b64encode(text).rstrip(b"="))


def _files_of(directories: tuple[Path, ...]) -> set[Path]:
    found = set()
    for directory in directories:
        for parent, _, names in os.walk(directory):
            found |= {Path(parent, name) for name in names}
    return found


def _is_loopback(address: str) -> bool:
    ip = ipaddress.ip_address(address.split("%")[0])
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback  # Java's are IPv6 sockets


if __name__ == "__main__":
    raise SystemExit(main())
