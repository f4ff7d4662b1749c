"""One night of a tiny simulated shop in the images of `docker/`, without a daemon.

    scripts/build_images.sh
    python -m benchmarks.night_in_images

Starts the services of docker/compose.yaml with podman, as root, from the images that
scripts/build_images.sh has built: same images, commands, environment, volumes, health checks and
order. All share one network namespace that has a loopback interface and no other, so that nothing
is reached from outside and no port of this machine is taken. The shop is simulated, the night is
run (by `nightcart backfill` and the scheduler) and its lists are read in the images too.

Prints one JSON object. Fails when a module cannot be imported, a service is not healthy, the night
fails, lists are missing, a process or a file of the shop belongs to another user than the image's,
Spark's stages did not run on the master, or a service does not end when it is told to.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.tiny_shop import TINY

REPOSITORY = Path(__file__).resolve().parents[1]
COMPOSE = REPOSITORY / "docker" / "compose.yaml"
PREFIX = "nightcart-"
USER = 10001  # of the images
STAND_IN = "nightcart-postgres"
# The first that starts a container is taken: the second for machines whose control groups or limits
# podman's own choice does not understand.
WAYS: tuple[tuple[list[str], list[str]], ...] = (
    ([], []),
    (
        ["--runtime", "runc", "--cgroup-manager", "cgroupfs"],
        ["--ulimit", "nofile=16384:16384", "--ulimit", "nproc=4096:4096"],
    ),
)
SHOP = ("--users", "60", "--items", "30", "--days", "5", "--seed", "7")
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
driver_memory = "1g"
shuffle_partitions = 1
"""
    + TINY
)
# Packages have lost their own tests, and each image has its own choice of packages.
IMPORT_ALL = """
import importlib, pkgutil
for name in ("pipeline", "jobs", "dags", "schemas"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        importlib.import_module(module.name)
"""
POLL_SECONDS = 2.0
HEALTHY_SECONDS = 900.0
EXPORT_SECONDS = 600.0
STOP_SECONDS = 60


def filled_in(value: Any, environ: Mapping[str, str]) -> Any:
    """A part of the compose file, its `${NAME}`, `${NAME:-default}` and `${NAME:?why}` replaced.

    >>> filled_in(["${A}:${B:-2}"], {"A": "1"})
    ['1:2']
    """
    if isinstance(value, dict):
        return {key: filled_in(part, environ) for key, part in value.items()}
    if isinstance(value, list):
        return [filled_in(part, environ) for part in value]
    if not isinstance(value, str):
        return value

    def replaced(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if environ.get(name):
            return environ[name]
        if kind == ":-":
            return str(rest)
        raise SystemExit(f"{COMPOSE} needs {name}: {rest}")

    return re.sub(r"\$\{([A-Z_]+)(?:(:-|:\?)([^}]*))?\}", replaced, value)


class Containers:
    """The services of the compose file, from one storage directory."""

    def __init__(self, storage: Path, home: Path) -> None:
        self.home = home
        place = ["--root", str(storage / "storage"), "--runroot", str(storage / "run")]
        driver = os.environ.get("STORAGE_DRIVER")
        place += ["--storage-driver", driver] if driver else []
        self.podman = ["podman", *place]
        self.limits: list[str] = []
        secret = {
            name: secrets.token_urlsafe(32) for name in ("API_SECRET", "JWT_SECRET", "SPARK_SECRET")
        }
        environ = secret | {
            "POSTGRES_PASSWORD": secrets.token_urlsafe(32),
            "FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "SHOP": str(home / "shop"),
            "SPARK_WORKER_MEMORY": "2g",
        }
        self.compose = filled_in(yaml.safe_load(COMPOSE.read_text(encoding="utf-8")), environ)
        self.services: dict[str, dict[str, Any]] = self.compose["services"]
        self.images = self.run("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        self._choose_way()

    def run(self, *words: str, check: bool = True) -> str:
        """One command of podman; its standard output."""
        done = subprocess.run(
            [*self.podman, *words], capture_output=True, text=True, check=False, encoding="utf-8"
        )
        if check and done.returncode:
            raise SystemExit(
                f"podman {' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def image(self, service: str) -> str:
        """The image of a service: one that was built here; for PostgreSQL else the official one."""
        wanted = str(self.services[service]["image"])
        if not wanted.startswith(PREFIX):
            stand_ins = [image for image in self.images if f"/{STAND_IN}:" in image]
            return stand_ins[0] if stand_ins else f"docker.io/library/{wanted}"
        if (built := f"localhost/{wanted}") not in self.images:
            raise SystemExit(f"{built} is not built: scripts/build_images.sh")
        return built

    def start(self, name: str) -> None:
        """Start a service once everything that it depends on is as it has to be."""
        service = self.services[name]
        for other, wanted in service.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                self.wait_until_healthy(other)
            elif (code := self.run("wait", PREFIX + other).strip()) != "0":
                raise SystemExit(f"{other} ended with {code}\n{self.logs(other)}")
        variables = self.home / f"{name}.env"
        variables.touch(mode=0o600)  # an argument list is for all to see
        variables.write_text(
            "".join(f"{key}={value}\n" for key, value in service.get("environment", {}).items()),
            encoding="utf-8",
        )
        words = ["run", "--detach", "--name", PREFIX + name, *self.limits, "--no-healthcheck"]
        words += ["--env-file", str(variables), "--stop-timeout", str(STOP_SECONDS)]
        words += self._network(name)
        for volume in service.get("volumes", []):
            source, _, target = volume.partition(":")
            words += ["--volume", f"{source if '/' in source else PREFIX + source}:{target}"]
        if entrypoint := service.get("entrypoint"):
            words += ["--entrypoint", json.dumps(entrypoint)]
        self.run(*words, self.image(name), *service.get("command", []))

    def wait_until_healthy(self, name: str) -> None:
        """Until its health check passes: the compose file's, else the image's."""
        deadline = time.monotonic() + HEALTHY_SECONDS
        while not self.is_healthy(name):
            running = self.run("inspect", "--format", "{{.State.Running}}", PREFIX + name).strip()
            if running != "true" or time.monotonic() > deadline:
                raise SystemExit(f"{name} is not healthy (running: {running})\n{self.logs(name)}")
            time.sleep(POLL_SECONDS)

    def is_healthy(self, name: str) -> bool:
        """Whether its health check passes now."""
        test = (
            self.services[name].get("healthcheck", {}).get("test")
            or json.loads(
                self.run("inspect", "--format", "{{json .HealthCheck}}", self.image(name))
            )["Test"]
        )
        kind, *command = test
        assert kind == "CMD", test
        words = [*self.podman, "exec", PREFIX + name, *command]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def exec(self, name: str, *command: str) -> str:
        """What a command says inside a service's container."""
        return self.run("exec", PREFIX + name, *command)

    def logs(self, name: str) -> str:
        """A service's last words."""
        done = subprocess.run(
            [*self.podman, "logs", "--tail", "40", PREFIX + name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout

    def once(self, service: str, *command: str) -> str:
        """Run one program of a service's image, with its volumes, to its end."""
        words = ["run", "--rm", *self.limits, "--network", "none", "--no-healthcheck"]
        words += ["--entrypoint", command[0]]
        words += ["--volume", f"{self.home / 'shop'}:/shop"]
        return self.run(*words, self.image(service), *command[1:])

    def stop(self, name: str) -> float:
        """Tell a service to end; how long it took."""
        started = time.monotonic()
        self.run("stop", PREFIX + name)
        return time.monotonic() - started

    def remove(self) -> None:
        """Everything that was started here, and its volumes."""
        for name in reversed(self.services):
            self.run("rm", "--force", "--ignore", "--time", "5", PREFIX + name, check=False)
        for name in self.compose["volumes"]:
            self.run("volume", "rm", "--force", PREFIX + name, check=False)

    def _network(self, name: str) -> list[str]:
        """One namespace for all: the first service's, in which every name is the loopback."""
        hosts = self.home / "hosts"
        names = " ".join(["localhost", *self.services])
        hosts.write_text(f"127.0.0.1 {names}\n", encoding="utf-8")
        first = next(iter(self.services))
        network = "none" if name == first else f"container:{PREFIX}{first}"
        words = ["--network", network, "--hostname", name]
        return [*words, "--no-hosts", "--volume", f"{hosts}:/etc/hosts:ro"]

    def _choose_way(self) -> None:
        said = ""
        for options, limits in WAYS:
            words = [*self.podman, *options, "run", "--rm", "--network", "none", *limits]
            words += ["--entrypoint", "/bin/true", self.image("api-server")]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                self.podman, self.limits = [*self.podman, *options], list(limits)
                return
            said += done.stderr
        raise SystemExit(f"podman starts no container here:\n{said}")


def main() -> None:
    """Start, run the night, look, stop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--storage", type=Path, default=Path("/var/tmp/nightcart-images"))
    parser.add_argument("--keep", action="store_true", help="keep the shop that was made")
    arguments = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("podman") is None:
        raise SystemExit("this needs root and podman (Debian: apt-get install podman runc)")
    home = Path(tempfile.mkdtemp(prefix="nightcart-images-", dir="/var/tmp"))
    (home / "shop").mkdir()
    (home / "shop" / "nightcart.toml").write_text(SETTINGS, encoding="utf-8")
    for path in (home / "shop", home / "shop" / "nightcart.toml"):
        os.chown(path, USER, USER)
    containers = Containers(arguments.storage, home)
    containers.remove()  # of an earlier run that was killed
    try:
        print(json.dumps(_night(containers, home / "shop"), indent=1))
    finally:
        containers.remove()
        if arguments.keep:
            print(f"the shop is in {home / 'shop'}", file=sys.stderr)
        else:
            shutil.rmtree(home)


def _night(containers: Containers, shop: Path) -> dict[str, Any]:
    containers.once("scheduler", "python", "-c", IMPORT_ALL)
    containers.once("scheduler", "nightcart", "simulate", *SHOP, "--out", "/shop/raw")
    night = max(path.name for path in (shop / "raw").glob("date=*")).removeprefix("date=")
    started = time.monotonic()
    healthy_after = {}
    for name in containers.services:
        containers.start(name)
    kept = [name for name in containers.services if name != "set-up"]
    for name in kept:
        containers.wait_until_healthy(name)
        healthy_after[name] = round(time.monotonic() - started)
        _say(f"{name} is healthy")
    for dag in ("nightly_recommendations", "export_lists"):
        containers.exec("scheduler", "airflow", "dags", "unpause", "-y", dag)
    began = time.monotonic()
    _say(containers.exec("scheduler", "nightcart", "backfill", "--from", night, "--to", night))
    night_seconds = time.monotonic() - began
    _say(containers.exec("scheduler", "nightcart", "status", "--stages"))
    pointer = shop / "exports" / "csv" / "latest.json"
    deadline = time.monotonic() + EXPORT_SECONDS
    while not pointer.exists():
        if time.monotonic() > deadline:
            raise SystemExit(f"no lists were exported\n{containers.logs('scheduler')}")
        time.sleep(POLL_SECONDS)
    read = _read(containers, night)
    users = {name: _users(containers, name) for name in kept}
    for name in kept:
        # PostgreSQL's own user is another one; root is nobody's.
        allowed = {str(USER)} if name != "postgres" else users[name] - {"0"}
        assert users[name] == allowed, f"{name} runs as {users[name]}"
    owners = {path.stat().st_uid for path in shop.rglob("*")}
    assert owners == {USER}, f"files of the shop belong to {owners}"
    applications = _submitted(containers)
    assert applications, "no Spark application ran on the master"
    interfaces = {name: _interfaces(containers, name) for name in kept}
    assert all(found == ["lo"] for found in interfaces.values()), interfaces
    stopped = {}
    for name in reversed(kept):
        processes = containers.run("top", PREFIX + name, "pid", "args")
        stopped[name] = round(containers.stop(name), 1)
        if stopped[name] >= STOP_SECONDS:
            raise SystemExit(f"{name} was killed, not stopped\n{processes}{containers.logs(name)}")
    return {
        "images": {
            name: _size(containers, name) for name in ("api-server", "spark-master", "scheduler")
        },
        "healthy_after_seconds": healthy_after,
        "night": night,
        "night_seconds": round(night_seconds),
        **read,
        "spark_applications": applications,
        "stopped_after_seconds": stopped,
        "load": os.getloadavg()[0],
    }


def _read(containers: Containers, night: str) -> dict[str, Any]:
    """What readers get, asked in the image."""
    said = containers.exec(
        *("scheduler", "nightcart", "query", "--format", "json"),
        "SELECT count(*) AS rows, count(DISTINCT user_id) AS users, max(rank) AS longest, "
        "count(DISTINCT item_id) AS items, min(run_date)::VARCHAR AS night "
        "FROM recommendations_latest",
    )
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    assert found.pop("night") == night, found
    assert found["users"] > 0, found
    assert found["longest"] == 3, found
    return found


def _users(containers: Containers, name: str) -> set[str]:
    """The ids of whoever runs something in a container, as this machine sees them."""
    pids = containers.run("top", PREFIX + name, "hpid").split()[1:]
    return {
        re.search(r"^Uid:\t(\d+)", status.read_text(), re.MULTILINE)[1]  # type: ignore[index]
        for status in (Path("/proc") / pid / "status" for pid in pids)
        if status.exists()
    }


def _interfaces(containers: Containers, name: str) -> list[str]:
    lines = containers.exec(name, "cat", "/proc/net/dev").splitlines()[2:]
    return [line.partition(":")[0].strip() for line in lines]


def _submitted(containers: Containers) -> list[str]:
    """The applications that the Spark master has seen to their end."""
    program = "import urllib.request as u; print(u.urlopen('http://localhost:8081/json/').read().decode())"
    state = json.loads(containers.exec("spark-master", "python", "-c", program))
    return [application["name"] for application in state["completedapps"]]


def _size(containers: Containers, name: str) -> str:
    found = containers.run("images", "--format", "{{.Size}}", containers.image(name))
    return found.strip()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
