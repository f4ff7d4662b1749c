"""The server's state directory: secrets made once and kept to their owner, stale pids ignored."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.server import home
from jobs.server.home import Server, environment, read_env, save
from jobs.server.processes import processes
from jobs.server.supervisor import living, write_pid
from pipeline.errors import SettingsError


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(state=tmp_path / "a state", config="/srv/shop's/nightcart.toml")


def test_secrets_are_made_once_and_readable_by_their_owner_only(server: Server) -> None:
    save(server, {})
    first = (server.state / "secrets.json").read_bytes()
    save(dataclasses.replace(server, api_port=9090), {})
    assert (server.state / "secrets.json").read_bytes() == first
    for name in ("secrets.json", "server.env"):
        assert (server.state / name).stat().st_mode & 0o777 == 0o600
    assert home.load(server.state) == dataclasses.replace(server, api_port=9090)


def test_the_environment_is_read_alike_by_us_and_by_a_shell(server: Server) -> None:
    save(server, {"PATH": "/bin", "PYTHONPATH": "/a b"})
    ours = read_env(server.state / "server.env")
    script = f". {shlex.quote(str(server.state / 'server.env'))}; env -0"
    shell = subprocess.run(["sh", "-ac", script], capture_output=True, check=True, env={})
    theirs = dict(part.split("=", 1) for part in shell.stdout.decode().split("\0") if part)
    assert ours.items() <= theirs.items()
    assert ours["NIGHTCART_CONFIG"] == "/srv/shop's/nightcart.toml"


def test_extra_settings_win_and_the_callers_airflow_is_not_used(server: Server) -> None:
    save(server, {})
    (server.state / "extra.env").write_text("# mail\nAIRFLOW__CORE__PARALLELISM='9'\n\nA=b\n")
    found = environment(server.state, {"AIRFLOW_HOME": "/elsewhere", "HOME": "/root"})
    assert (found["AIRFLOW__CORE__PARALLELISM"], found["A"], found["HOME"]) == ("9", "b", "/root")
    assert found["AIRFLOW_HOME"] == str(server.airflow)
    (server.state / "extra.env").write_text("A=b\nsome words\n")
    with pytest.raises(SettingsError, match="line 2"):
        environment(server.state, {})


def test_everything_listens_on_the_loopback_interface_only(server: Server) -> None:
    save(server, {})
    values = read_env(server.state / "server.env")
    assert values["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert "@127.0.0.1:15432/" in values["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    for process in processes(dataclasses.replace(server, database="sqlite")):
        if process.name.startswith("spark"):
            assert process.command[process.command.index("--host") + 1] == "127.0.0.1"


def test_a_pid_that_the_system_gave_to_somebody_else_is_not_ours(server: Server) -> None:
    save(server, {})
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=-1)
    write_pid(server, "scheduler", process.pid)
    found = living(server, "scheduler")
    assert found is not None
    assert found.pid == process.pid
    path = server.run_file("scheduler.pid")
    said = json.loads(path.read_text())
    path.write_text(json.dumps(said | {"created": said["created"] - 3600}))
    assert living(server, "scheduler") is None
    path.write_text(json.dumps(said))
    process.kill()
    process.wait()
    assert living(server, "scheduler") is None
    path.write_text("")
    assert living(server, "scheduler") is None
    assert os.getpid() != process.pid


def test_airflows_tables_are_made_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.server import supervisor

    sqlite = dataclasses.replace(server, database="sqlite")
    save(sqlite, {})
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command[3:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(supervisor.subprocess, "run", run)
    supervisor.Supervisor(sqlite, {})._prepare()
    assert [words[:2] for words in commands] == [["db", "migrate"], ["pools", "set"]]
    supervisor.Supervisor(sqlite, {})._prepare()
    assert len(commands) == 2
    # Another Airflow has other tables.
    monkeypatch.setattr(supervisor, "version", lambda _: "99")
    supervisor.Supervisor(sqlite, {})._prepare()
    assert len(commands) == 4
