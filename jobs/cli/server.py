"""`nightcart server`: PostgreSQL, Airflow and Spark on this machine, without containers."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.cli.invocation import command_line
from pipeline.errors import InputError, SettingsError, StorageError
from pipeline.night_dag import EXPORT_DAG, NIGHT_DAG

if TYPE_CHECKING:
    from jobs.server.home import Server

EXAMPLES = """\
examples:
  nightcart server up --config /srv/shop/nightcart.toml     PostgreSQL, Airflow, Spark
  nightcart server up --sqlite                              a laptop
  nightcart server status
  nightcart server hold scheduler                           stop one process and keep it stopped
  nightcart server release scheduler
  nightcart server down
"""
POLL_SECONDS = 1.0
DOWN_SECONDS = 120.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`server`."""
    parser = subparsers.add_parser(
        "server",
        help="PostgreSQL, Airflow and Spark on this machine",
        description="The processes of docker/compose.yaml without containers, on the loopback "
        "interface: PostgreSQL, Airflow's API server, scheduler and DAG processor. What ends is "
        "started again.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    up = actions.add_parser("up", help="start everything and wait until it is healthy")
    up.add_argument("--config", type=Path, metavar="FILE", help="settings file of the nights")
    up.add_argument("--sqlite", action="store_true", help="no PostgreSQL (a laptop)")
    up.add_argument(
        "--spark-jobs",
        action="store_true",
        help="start a Spark master and a worker, and run the Spark stages there instead of inside "
        "their own process",
    )
    up.add_argument("--api-port", type=int, default=8080)
    up.add_argument("--postgres-port", type=int, default=15432)
    up.add_argument("--spark-port", type=int, default=7077, help="and the two after it for pages")
    up.add_argument("--parallelism", type=int, default=4, help="tasks at a time (default: 4)")
    up.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS")
    up.set_defaults(execute=_up)
    actions.add_parser("down", help="stop everything").set_defaults(execute=_down)
    actions.add_parser("status", help="what runs").set_defaults(execute=_status)
    for name, help_, execute in (
        ("hold", "stop one process and keep it stopped", _hold),
        ("release", "let it run again", _release),
    ):
        held = actions.add_parser(name, help=help_)
        held.add_argument("process", help="as `nightcart server status` calls it")
        held.set_defaults(execute=execute)
    cli = actions.add_parser("airflow", help="Airflow's own command line, on this server")
    cli.add_argument("words", nargs=argparse.REMAINDER, metavar="…")
    cli.set_defaults(execute=_airflow)
    for action in actions.choices.values():
        action.add_argument(
            "--state", type=Path, help="state directory (default: $NIGHTCART_STATE or .nightcart/…)"
        )


def _up(arguments: argparse.Namespace) -> int:
    from jobs.server.home import Server, chosen_state, save
    from jobs.server.supervisor import SUPERVISOR, living, write_pid
    from pipeline.settings import load_settings
    from pipeline.settings_files import chosen_config

    state = chosen_state(arguments.state, os.environ)
    config = chosen_config(arguments.config, os.environ)
    if config is not None:
        config = Path(config).resolve()
        load_settings(config, os.environ)  # a settings file that cannot be read is said now
    server = Server(
        state=state,
        config=str(config) if config else "",
        database="sqlite" if arguments.sqlite else "postgres",
        spark_jobs=arguments.spark_jobs,
        api_port=arguments.api_port,
        postgres_port=arguments.postgres_port,
        spark_port=arguments.spark_port,
        parallelism=arguments.parallelism,
    )
    running = living(server, SUPERVISOR)
    if running is None:
        _kill_left_over(server)
        save(server, os.environ)
        server.run_file("failed").unlink(missing_ok=True)
        with server.log(SUPERVISOR).open("ab") as log:
            process = subprocess.Popen(  # noqa: S603  # our own list
                [sys.executable, "-m", "jobs.server.supervisor", str(state)],
                env=_supervisor_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        write_pid(server, SUPERVISOR, process.pid)
        print(f"starting; the logs are in {state / 'log'}", flush=True)
    else:
        server = _known(state)
        print("it is up already; `down` first to change how it runs")
    _wait_until_healthy(server, arguments.timeout)
    _say_where(server)
    return 0


def _down(arguments: argparse.Namespace) -> int:
    from jobs.server.supervisor import SUPERVISOR, living

    server = _known_state(arguments)
    supervisor = living(server, SUPERVISOR)
    if supervisor is not None:
        supervisor.terminate()
        supervisor.wait(DOWN_SECONDS)
    killed = _kill_left_over(server)
    for path in (server.state / "run").glob("*"):
        path.unlink()
    print("stopped" if supervisor or killed else "it was not running")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from jobs.server.processes import processes
    from jobs.server.supervisor import SUPERVISOR, living

    server = _known_state(arguments)
    complete = True
    for name in (SUPERVISOR, *(process.name for process in processes(server))):
        process = living(server, name)
        held = server.run_file(f"{name}.hold").exists()
        complete &= process is not None
        said = f"process {process.pid}" if process else "held" if held else "not running"
        print(f"  {name:<14} {said}")
    health = _health(server)
    print(f"  {'Airflow':<14} {_in_words(health) if health else 'its API does not answer'}")
    return 0 if complete and _is_healthy(health) else 1


def _hold(arguments: argparse.Namespace) -> int:
    from jobs.server.processes import processes

    server = _known_state(arguments)
    names = [process.name for process in processes(server)]
    if arguments.process not in names:
        raise InputError(f"no process {arguments.process!r}; there are {', '.join(names)}")
    server.run_file(f"{arguments.process}.hold").touch()
    return 0


def _release(arguments: argparse.Namespace) -> int:
    _known_state(arguments).run_file(f"{arguments.process}.hold").unlink(missing_ok=True)
    return 0


def _airflow(arguments: argparse.Namespace) -> int:
    from jobs.server.home import environment

    return subprocess.run(  # noqa: S603  # what the caller typed, as a list
        [sys.executable, "-m", "airflow", *arguments.words],
        env=environment(_known_state(arguments).state, os.environ),
        check=False,
    ).returncode


def _known_state(arguments: argparse.Namespace) -> Server:
    from jobs.server.home import chosen_state

    return _known(chosen_state(arguments.state, os.environ))


def _known(state: Path) -> Server:
    from jobs.server.home import load

    server = load(state)
    if server is None:
        raise SettingsError(
            f"no server was ever started with the state directory {state}; "
            "--state or NIGHTCART_STATE names another"
        )
    return server


def _supervisor_environment() -> dict[str, str]:
    from jobs.cli.airflow_home import ROOT

    path = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def _kill_left_over(server: Server) -> bool:
    """End what a killed supervisor has left behind; true if there was any."""
    import psutil  # type: ignore[import-untyped]

    from jobs.server.supervisor import living

    found = []
    for path in (server.state / "run").glob("*.pid"):
        process = living(server, path.stem)
        if process is not None:
            # Of PostgreSQL only the first process: it takes its backends along and shuts down.
            family = [] if path.stem == "postgres" else process.children(recursive=True)
            found += [process, *family]
    for process in found:
        if process.is_running():
            process.terminate()
    _, alive = psutil.wait_procs(found, timeout=15)
    for process in alive:
        process.kill()
    return bool(found)


def _wait_until_healthy(server: Server, timeout: float) -> None:
    from jobs.server.supervisor import SUPERVISOR, living

    deadline = time.monotonic() + timeout
    while not _is_healthy(health := _health(server)):
        failed = server.run_file("failed")
        if failed.exists():
            raise StorageError(failed.read_text(encoding="utf-8"))
        if living(server, SUPERVISOR) is None:
            raise StorageError(f"the supervisor has ended; see {server.log(SUPERVISOR)}")
        if time.monotonic() > deadline:
            state = _in_words(health) if health else "its API does not answer"
            raise StorageError(
                f"not healthy after {timeout:.0f} s ({state}); it goes on trying. The logs are in "
                f"{server.state / 'log'}; `{command_line('server', 'down')}` stops it"
            )
        time.sleep(POLL_SECONDS)


def _health(server: Server) -> dict[str, Any] | None:
    try:
        # Our own address on the loopback interface.
        url = f"{server.api_url}/api/v2/monitor/health"
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
            said: dict[str, Any] = json.load(answer)
            return said
    except (OSError, ValueError):
        return None


def _is_healthy(health: dict[str, Any] | None) -> bool:
    parts = ("metadatabase", "scheduler", "dag_processor")
    return health is not None and all(
        (health.get(part) or {}).get("status") == "healthy" for part in parts
    )


def _in_words(health: dict[str, Any]) -> str:
    parts = ("metadatabase", "scheduler", "dag_processor")
    return ", ".join(f"{part} {(health.get(part) or {}).get('status')}" for part in parts)


def _say_where(server: Server) -> None:
    at = ("--state", str(server.state))
    password = server.airflow / "simple_auth_manager_passwords.json.generated"
    print(f"  Airflow     {server.api_url}   (user admin, password in {password})")
    if server.database == "postgres":
        print(f"  PostgreSQL  127.0.0.1:{server.postgres_port}")
    if server.spark_jobs:
        print(f"  Spark       {server.spark_url}, page http://127.0.0.1:{server.spark_port + 1}")
    print(f"  settings    {server.config or 'defaults'}")
    unpause = ("airflow", "dags", "unpause", "-y")
    for words, dag in (("nights on", NIGHT_DAG), ("export on", EXPORT_DAG)):
        print(f"  {words}   {command_line('server', unpause[0], *at, *unpause[1:], dag)}")
    print(f"  to stop     {command_line('server', 'down', *at)}")
