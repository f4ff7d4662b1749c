"""The state directory of a server: its settings, secrets and environment.

`nightcart server up` writes, below one directory (default `.nightcart/server`):

    server.json    ports and choices, as given
    secrets.json   passwords and keys, made once, readable by the owner only
    server.env     the environment of every process, `NAME='value'` lines that a shell can read
    extra.env      written by you, never by us: mail server, alerts, Airflow settings; it wins
    airflow/       AIRFLOW_HOME        postgres/  the cluster        log/, run/  logs and pids

Only its user can enter it. Root's PostgreSQL runs as another user and has its cluster beside it.

Nothing of the caller's own AIRFLOW_… is used, so that two installations never mix.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shlex
import sys
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.cli.airflow_home import DAGS, ROOT
from pipeline import durable
from pipeline.errors import SettingsError
from pipeline.lake import storage_errors
from pipeline.settings_files import CONFIG_VARIABLE
from pipeline.spark_network import LOOPBACK, SECRET_VARIABLE, network_options

DEFAULT_STATE = Path(".nightcart/server")
STATE_VARIABLE = "NIGHTCART_STATE"
DATABASE = "airflow"
SPARK_CONNECTION = "AIRFLOW_CONN_NIGHTCART_SPARK"
PRIVATE_DIRECTORY = 0o700


@dataclass(frozen=True)
class Server:
    """What was asked for, and where it lives."""

    state: Path
    config: str = ""  # the settings file of the nights
    database: str = "postgres"  # or sqlite
    spark_jobs: bool = False  # Spark stages go to a standalone master, not to a local one
    api_port: int = 8080
    postgres_port: int = 15432
    spark_port: int = 7077
    spark_worker_cores: int = 2
    spark_worker_memory: str = "2g"
    parallelism: int = 4

    @property
    def airflow(self) -> Path:
        """AIRFLOW_HOME."""
        return self.state / "airflow"

    @property
    def postgres(self) -> Path:
        """The cluster; for root beside the state directory, which only root can enter."""
        ours = self.state / "postgres"
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root: it runs as its own user
            ours = self.state.with_name(f"{self.state.name}-postgres")
        return Path(os.environ.get("NIGHTCART_PGDATA") or ours)

    @property
    def api_url(self) -> str:
        """The API server and Airflow's pages."""
        return f"http://{LOOPBACK}:{self.api_port}"

    @property
    def spark_url(self) -> str:
        """The standalone master."""
        return f"spark://{LOOPBACK}:{self.spark_port}"

    def log(self, name: str) -> Path:
        """A process's output."""
        return self.state / "log" / f"{name}.log"

    def run_file(self, name: str) -> Path:
        """A small file about a running process."""
        return self.state / "run" / name


def chosen_state(argument: Path | None, environ: Mapping[str, str]) -> Path:
    """The state directory: the argument, else `NIGHTCART_STATE`, else below the working one."""
    return (argument or Path(environ.get(STATE_VARIABLE) or DEFAULT_STATE)).resolve()


def save(server: Server, environ: Mapping[str, str]) -> None:
    """Write server.json and server.env; make the secrets that are not there yet."""
    with storage_errors(f"cannot write {server.state}"):
        for directory in (server.state, server.airflow, server.state / "log", server.state / "run"):
            durable.make_directory(directory)
            # Airflow writes the password of its pages for all to read.
            directory.chmod(PRIVATE_DIRECTORY)
        asked = dataclasses.asdict(server) | {"state": str(server.state)}
        durable.put_text(server.state / "server.json", json.dumps(asked, indent=1))
        lines = [
            f"{name}={shlex.quote(value)}\n"
            for name, value in _environment(server, _secrets(server), environ).items()
        ]
        durable.put_text(server.state / "server.env", "".join(lines), durable.PRIVATE)


def load(state: Path) -> Server | None:
    """The server of a state directory, if `up` was ever run there."""
    path = state / "server.json"
    if not path.exists():
        return None
    try:
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Server(**said | {"state": state})
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"{path} is not what `nightcart server up` wrote: {error}") from None


def environment(state: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of every process of a server: the caller's without Airflow's, ours, extra."""
    kept = {name: value for name, value in environ.items() if not name.startswith("AIRFLOW_")}
    return kept | read_env(state / "server.env") | read_env(state / "extra.env")


def read_env(path: Path) -> dict[str, str]:
    """`NAME=value` lines, quoted as for a shell; empty if there is no such file.

    Raises:
        SettingsError: a line is neither that nor a comment.
    """
    if not path.exists():
        return {}
    values = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = shlex.split(line, comments=True)
        if not words:
            continue
        name, equals, value = words[0].partition("=")
        if not equals or len(words) > 1:
            raise SettingsError(f"{path}, line {number}: expected NAME='value', found {line!r}")
        values[name] = value
    return values


def _secrets(server: Server) -> dict[str, str]:
    path = server.state / "secrets.json"
    known = dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    made = {name: secrets.token_urlsafe(32) for name in ("postgres", "api", "jwt", "spark")}
    made["fernet"] = urlsafe_b64encode(secrets.token_bytes(32)).decode()
    if made.keys() != known.keys():
        known = made | known
        durable.put_text(path, json.dumps(known), durable.PRIVATE)
    return known


def _environment(
    server: Server, secret: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    if server.database == "postgres":
        where = f"{DATABASE}:{secret['postgres']}@{LOOPBACK}:{server.postgres_port}/{DATABASE}"
        connection = asynchronous = f"postgresql+psycopg://{where}"
    else:
        path = server.airflow / "airflow.db"
        connection, asynchronous = f"sqlite:///{path}", f"sqlite+aiosqlite:///{path}"
    python_path = [str(ROOT), *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))]
    values = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(python_path)),
        "AIRFLOW_HOME": str(server.airflow),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "120",  # two files that seldom change
        # A scheduler that is started again at once finds what its last self left at this pace only.
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "60",
        "AIRFLOW__CORE__PARALLELISM": str(server.parallelism),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{server.api_url}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": secret["fernet"],
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": connection,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": asynchronous,
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(server.api_port),
        "AIRFLOW__API__BASE_URL": server.api_url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": secret["api"],
        "AIRFLOW__API_AUTH__JWT_SECRET": secret["jwt"],
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "GX_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        STATE_VARIABLE: str(server.state),
    }
    if server.config:
        values[CONFIG_VARIABLE] = server.config
    if server.spark_jobs:
        options = network_options(server.spark_url)
        values |= {
            SPARK_CONNECTION: server.spark_url,
            "NIGHTCART_COMPUTE__SPARK_CONNECTION": "nightcart_spark",
            "SPARK_LOCAL_IP": LOOPBACK,
            SECRET_VARIABLE: secret["spark"],
            "SPARK_DAEMON_JAVA_OPTS": " ".join(f"-D{key}={options[key]}" for key in options),
        }
    return values
