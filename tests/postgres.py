"""A PostgreSQL cluster of the tests' own, and a source that reads its tables."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from jobs.server.processes import postgres_bin, postgres_user

PASSWORD = "s3cr3t-of-the-tests"  # looked for in everything that is written
DATABASE = "shop"
CONNECTION = "AIRFLOW_CONN_SHOP_DB"


@dataclass(frozen=True)
class Cluster:
    """Where it listens."""

    port: int

    @property
    def url(self) -> str:
        """As a source YAML has it."""
        return f"jdbc:postgresql://127.0.0.1:{self.port}/{DATABASE}"

    def variable(self, user: str = DATABASE, password: str = PASSWORD) -> str:
        """As the environment has it."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{DATABASE}"

    def connect(self, database: str = DATABASE, **more: Any) -> psycopg.Connection[Any]:
        """A connection of the owner."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=DATABASE,
            password=PASSWORD,
            dbname=database,
            **more,
        )

    def run(self, *statements: str) -> None:
        """Run SQL, and commit it."""
        with self.connect(autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Make a cluster, start it, and remove it."""
    user = postgres_user()
    with contextlib.ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="nightcart-postgres-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        secret = home / "password"
        secret.write_text(f"{PASSWORD}\n")
        if user is not None:
            owner = pwd.getpwnam(user)
            for path in (home, secret):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        port = _free_port()
        as_user: dict[str, Any] = {"user": user, "group": user} if user else {}
        make = [postgres_bin() / "initdb", "-D", home / "data", "-U", DATABASE, "-E", "UTF8"]
        make += ["--no-sync", "--locale=C", "--auth=scram-sha-256", f"--pwfile={secret}"]
        subprocess.run(make, check=True, capture_output=True, cwd=home, **as_user)
        start = [postgres_bin() / "postgres", "-D", home / "data", "-p", str(port)]
        for setting in ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"):
            start += ["-c", setting]
        log = stack.enter_context((home / "log").open("wb"))
        server = subprocess.Popen(start, stdout=log, stderr=log, cwd=home, **as_user)
        stack.callback(server.wait)
        stack.callback(server.send_signal, signal.SIGINT)
        found = Cluster(port)
        _wait(found, server, home / "log")
        with found.connect("postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}".encode())
        yield found


def _wait(found: Cluster, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            found.connect("postgres").close()
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
