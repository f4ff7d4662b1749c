"""The processes of a server: what each is started with, and how it is told to end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from jobs.server.home import DATABASE, Server
from pipeline.errors import SettingsError, StorageError
from pipeline.spark_network import LOOPBACK

POSTGRES_PLACES = ("/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt", "/usr/pgsql-17")
POSTGRES_USER = "postgres"  # PostgreSQL refuses to run as root
ROOT_UID = 0


@dataclass(frozen=True)
class Process:
    """One process that is kept running."""

    name: str
    command: tuple[str, ...]
    stop_signal: signal.Signals = signal.SIGTERM
    user: str | None = None  # only root can give one


def processes(server: Server) -> list[Process]:
    """Everything that runs, in the order in which it is started; PostgreSQL first."""
    airflow = (sys.executable, "-m", "airflow")
    wanted = [
        Process("api-server", (*airflow, "api-server")),
        Process("scheduler", (*airflow, "scheduler", "--skip-serve-logs")),
        Process("dag-processor", (*airflow, "dag-processor")),
    ]
    if server.database == "postgres":
        wanted.insert(0, postgres_process(server))
    if server.spark_jobs:
        wanted += _spark_processes(server)
    return wanted


def postgres_process(server: Server) -> Process:
    """The database, in the foreground; SIGINT is its fast shutdown."""
    command = (str(postgres_bin() / "postgres"), "-D", str(server.postgres))
    return Process("postgres", command, signal.SIGINT, postgres_user())


def postgres_bin() -> Path:
    """The directory of PostgreSQL's programs, the newest that is found.

    Raises:
        SettingsError: there is none.
    """
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve()] if on_path else []
    for place in POSTGRES_PLACES:
        found += Path(place).glob("**/bin/initdb")
    if not found:
        raise SettingsError(
            "there is no PostgreSQL on this machine: install it (Debian: apt-get install "
            "postgresql), or use `nightcart server up --sqlite`"
        )
    return max(found, key=_version).parent


def postgres_user() -> str | None:
    """The user that PostgreSQL runs as: the caller, or for root its own.

    Raises:
        SettingsError: root asks, and there is no such user.
    """
    if os.geteuid() != ROOT_UID:
        return None
    try:
        return pwd.getpwnam(POSTGRES_USER).pw_name
    except KeyError:
        raise SettingsError(
            f"PostgreSQL does not run as root, and there is no user {POSTGRES_USER!r}: add one, or "
            "start the server as another user"
        ) from None


def init_postgres(server: Server, password: str) -> bool:
    """Make the cluster, once; true if it was made now.

    Raises:
        StorageError: initdb refused; its words are in the message.
    """
    if (server.postgres / "PG_VERSION").exists():
        return False
    user = postgres_user()
    server.postgres.mkdir(parents=True, exist_ok=True)
    if user is not None:
        owner = pwd.getpwnam(user)
        os.chown(server.postgres, owner.pw_uid, owner.pw_gid)
    server.postgres.chmod(0o700)
    with tempfile.NamedTemporaryFile("w") as file:  # mode 600; an argument list is for all to see
        file.write(f"{password}\n")
        file.flush()
        if user is not None:
            os.chown(file.name, owner.pw_uid, owner.pw_gid)
        command = [str(postgres_bin() / "initdb"), "-D", str(server.postgres), "-U", DATABASE]
        command += ["--auth=scram-sha-256", f"--pwfile={file.name}", "--encoding=UTF8"]
        done = _run_as(user, [*command, "--locale=C"])
    if done.returncode:
        raise StorageError(
            f"initdb failed in {server.postgres}: {done.stderr.strip()[-400:]} (user "
            f"{user or 'of the caller'} must be able to enter every folder above; "
            "NIGHTCART_PGDATA names another place)"
        )
    with (server.postgres / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
        file.write(
            f"listen_addresses = '{LOOPBACK}'\nport = {server.postgres_port}\n"
            "unix_socket_directories = ''\nmax_connections = 100\nlogging_collector = off\n"
        )
    return True


def is_ready(server: Server) -> bool:
    """Whether the database answers."""
    command = [str(postgres_bin() / "pg_isready"), "-q", "-h", LOOPBACK]
    command += ["-p", str(server.postgres_port), "-t", "2"]
    return subprocess.run(command, check=False).returncode == 0  # noqa: S603  # our own list


def make_database(server: Server, environ: Mapping[str, str], password: str) -> None:
    """Make Airflow's database inside the cluster, once."""
    command = [str(postgres_bin() / "createdb"), "-h", LOOPBACK, "-p", str(server.postgres_port)]
    command += ["-U", DATABASE, DATABASE]
    done = subprocess.run(  # noqa: S603  # our own list
        command,
        env={**environ, "PGPASSWORD": password},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and "already exists" not in done.stderr:
        raise StorageError(f"createdb failed: {done.stderr.strip()}")


def _spark_processes(server: Server) -> list[Process]:
    spec = find_spec("pyspark")
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError("pyspark is not installed: --spark-jobs needs it")
    spark_class = str(Path(spec.submodule_search_locations[0]) / "bin" / "spark-class")
    deploy = "org.apache.spark.deploy"
    master = [spark_class, f"{deploy}.master.Master", "--host", LOOPBACK]
    master += ["--port", str(server.spark_port), "--webui-port", str(server.spark_port + 1)]
    worker = [spark_class, f"{deploy}.worker.Worker", "--host", LOOPBACK]
    worker += ["--webui-port", str(server.spark_port + 2)]
    worker += ["--cores", str(server.spark_worker_cores), "--memory", server.spark_worker_memory]
    worker += ["--work-dir", str(server.state / "spark"), server.spark_url]
    return [Process("spark-master", tuple(master)), Process("spark-worker", tuple(worker))]


def _run_as(user: str | None, command: list[str]) -> subprocess.CompletedProcess[str]:
    owner = pwd.getpwnam(user) if user else None
    return subprocess.run(  # noqa: S603  # our own list
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        user=owner.pw_uid if owner else None,
        group=owner.pw_gid if owner else None,
        extra_groups=[] if owner else None,
    )


def _version(path: Path) -> tuple[int, ...]:
    return tuple(
        int(part) for part in path.as_posix().replace("@", "/").split("/") if part.isdigit()
    )
