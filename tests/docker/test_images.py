"""The images and the compose file, as far as they can be checked without an engine."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.server.home import Server
from jobs.server.processes import processes

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKER = REPOSITORY / "docker"
EXACT = re.compile(r":\d+\.\d+(\.\d+)?(-[\w.-]+)?$")


@pytest.fixture(scope="module")
def stages() -> dict[str, list[str]]:
    """Stage -> its instructions, continued lines joined."""
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line and not line.startswith("#")]
    found: dict[str, list[str]] = {"": []}
    for line in lines:
        if line.startswith("FROM "):
            name = line.split(" AS ")[1]
            found[name] = []
        found[list(found)[-1]].append(line)
    return found


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DOCKER / "compose.yaml").read_text()))


def test_one_image_each_for_airflow_spark_and_gpu_from_the_same_wheel(
    stages: dict[str, list[str]],
) -> None:
    assert {"wheel", "base", "airflow", "spark", "gpu"} <= set(stages)
    for name in ("airflow", "spark", "gpu"):
        assert stages[name][0] == f"FROM base AS {name}"
        assert any(line.startswith("HEALTHCHECK ") for line in stages[name]), name
    assert any(line.startswith("COPY --from=wheel") for line in stages["base"])


def test_torch_is_in_the_gpu_image_only(stages: dict[str, list[str]]) -> None:
    base = " ".join(stages["base"])
    assert re.search(r"grep -Ev '\^\(torch\|", base)
    assert "-r /opt/nightcart/without-torch.lock" in base
    assert "torch" not in " ".join(stages["airflow"] + stages["spark"]).lower()
    assert "--torch-backend" in " ".join(stages["gpu"])


def test_nothing_runs_as_root_and_pid_1_passes_signals_on(stages: dict[str, list[str]]) -> None:
    for name in ("airflow", "spark", "gpu"):
        users = [line for line in stages[name] if line.startswith("USER ")]
        assert users == ["USER nightcart"], name
        installs = [n for n, line in enumerate(stages[name]) if line.startswith("RUN ")]
        assert all(n < stages[name].index("USER nightcart") for n in installs)
        assert any(line.startswith('ENTRYPOINT ["tini", "--"') for line in stages[name])


def test_every_version_is_exact(stages: dict[str, list[str]], compose: dict[str, Any]) -> None:
    image = next(line for line in stages[""] if line.startswith("ARG PYTHON_IMAGE="))
    assert EXACT.search(image)
    lines = [line for stage in stages.values() for line in stage]
    froms = {line.split()[1] for line in lines if line.startswith("FROM ")}
    assert froms == {"${PYTHON_IMAGE}", "base"}
    for name, service in compose["services"].items():
        assert EXACT.search(service["image"]), name
    project = (REPOSITORY / "pyproject.toml").read_text()
    ours = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    assert ours is not None
    tags = {s["image"] for s in compose["services"].values() if s["image"].startswith("nightcart")}
    assert {tag.split(":")[1] for tag in tags} == {ours[1]}
    uv = re.search(r"^UV_VERSION := (.+)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert uv is not None
    assert any(line == f"ARG UV_VERSION={uv[1]}" for line in lines)


def test_what_is_copied_is_there_and_let_through(stages: dict[str, list[str]]) -> None:
    through = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    for line in (line for stage in stages.values() for line in stage):
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (REPOSITORY / source).exists(), line
                assert f"!{source}" in through, line


def test_the_compose_file_has_the_processes_that_the_server_runs(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where there is no PostgreSQL on the machine, its place in the list is the same.
    monkeypatch.setattr("jobs.server.processes.postgres_bin", lambda: Path("/usr/bin"))
    monkeypatch.setattr("jobs.server.processes.postgres_user", lambda: None)
    ours = {process.name for process in processes(Server(state=Path("/nowhere")))}
    assert ours <= set(compose["services"])
    assert set(compose["services"]) - ours == {"set-up"}
    for name in ours:
        service = compose["services"][name]
        assert service["restart"] == "unless-stopped", name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


def test_services_wait_for_what_they_need_and_secrets_have_no_default(
    compose: dict[str, Any],
) -> None:
    services = compose["services"]
    for name in ("api-server", "scheduler", "dag-processor"):
        needed = services[name]["depends_on"]
        assert needed == {"set-up": {"condition": "service_completed_successfully"}}
    assert services["set-up"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    text = (DOCKER / "compose.yaml").read_text()
    for secret in ("POSTGRES_PASSWORD", "API_SECRET", "JWT_SECRET", "FERNET_KEY", "SHOP"):
        assert f"${{{secret}:?" in text
        assert not re.search(rf"\$\{{{secret}:?-", text)
    example = (DOCKER / "example.env").read_text()
    asked = set(re.findall(r"\$\{([A-Z_]+)", text)) - {"TORCH_BACKEND"}
    assert asked <= set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))


def test_java_and_python_are_those_that_the_project_asks_for(
    stages: dict[str, list[str]],
) -> None:
    assert "openjdk-17-jre-headless" in " ".join(stages["base"])
    image = next(line for line in stages[""] if line.startswith("ARG PYTHON_IMAGE="))
    assert "python:3.11." in image
    assert f"pyspark=={version('pyspark')}" in (REPOSITORY / "requirements.lock").read_text()
