"""The images and the compose file, as far as they can be checked without an engine."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml
from packaging.requirements import Requirement

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


def installs(lines: list[str]) -> list[str]:
    """The steps that install packages."""
    return [line for line in lines if "uv pip install" in line]


def environment(lines: list[str]) -> dict[str, str]:
    """What a stage's ENV lines set."""
    return {
        name: value
        for line in lines
        if line.startswith("ENV ")
        for name, _, value in (word.partition("=") for word in line.split()[1:])
    }


def left_out(stages: dict[str, list[str]]) -> set[str]:
    """What Spark's Python workers do without."""
    (line,) = (line for line in installs(stages["engine"]) if "--excludes" in line)
    found = re.search(r"printf '%s\\n' (.*?) >/tmp/", line)
    assert found is not None
    return set(found[1].split())


def brought_by_the_project(without: set[str]) -> set[str]:
    """The packages that the project needs and those that they need, some left out."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    found: set[str] = set()
    ahead = [Requirement(text) for text in project["dependencies"]]
    while ahead:
        wanted = ahead.pop()
        name = plain(wanted.name)
        if name in found | {plain(other) for other in without}:
            continue
        found.add(name)
        for text in requires(name) or []:
            needed = Requirement(text)
            extras = [*wanted.extras, ""]
            if not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in extras):
                ahead.append(needed)
    return found


def plain(name: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_one_image_each_for_airflow_spark_and_gpu_from_the_same_wheel(
    stages: dict[str, list[str]],
) -> None:
    parents = {name: lines[0].split()[1] for name, lines in stages.items() if name}
    assert parents == {
        "tools": "${PYTHON_IMAGE}",
        "base": "${PYTHON_IMAGE}",
        "airflow": "base",
        "engine": "base",
        "spark": "engine",
        "gpu": "engine",
    }
    assert any("uv build " in line for line in stages["tools"])
    for name in ("airflow", "spark", "gpu"):
        assert any(line.startswith("HEALTHCHECK ") for line in stages[name]), name
        assert any(line.startswith("COPY --from=tools /wheel ") for line in stages[name]), name


def test_torch_is_in_the_gpu_image_only(stages: dict[str, list[str]]) -> None:
    asked = {name: " ".join(installs(lines)) for name, lines in stages.items()}
    assert {"torch", "transformers"} <= left_out(stages)
    # Two names, of which neither brings torch, and our own wheel without what it needs.
    packages, wheel = installs(stages["airflow"])
    asked_for = packages.partition(" && ")[0].rstrip()
    assert asked_for.endswith("/requirements.lock apache-airflow 'psycopg[binary]'")
    assert wheel.endswith("--no-deps /opt/nightcart/wheel/*.whl")
    assert installs(stages["spark"]) == [wheel]
    assert "--torch-backend" in asked["gpu"]
    assert "--excludes" not in asked["gpu"]


def test_no_image_holds_what_only_developing_or_installing_needs(
    stages: dict[str, list[str]],
) -> None:
    for name in ("base", "airflow", "engine", "spark", "gpu"):
        for line in installs(stages[name]):
            # The lock has packages of tests and linters too: it says which versions, not what.
            assert re.search(r"--constraint \S+/requirements\.lock|--no-deps", line), line
            assert not re.search(r"(-r|--requirements?) \S+\.lock", line), line
            assert "--extra" not in line, line
            # uv is mounted, and nothing that it fetched stays.
            assert line.startswith("RUN --mount=type=bind,from=tools,source=/tools,"), line
            assert "--no-cache" in line, line
            # In the same step: a later one would only hide them.
            assert "--no-deps" in line or "-name tests -prune -exec rm -r {} +" in line, line
        for line in stages[name]:
            assert "pip install" not in line or "/tools/uv pip install" in line, line
            if "apt-get install" in line:
                assert "--no-install-recommends" in line, line
                assert "rm -rf /var/lib/apt/lists/*" in line, line


def test_what_sparks_workers_import_is_in_the_spark_image(stages: dict[str, list[str]]) -> None:
    graph = grimp.build_graph("pipeline", include_external_packages=True, cache_dir=None)
    sent = {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for path in (REPOSITORY / "pipeline").rglob("*.py")
        if re.search(r"\bmapInArrow\b|\w*udf\(", path.read_text())
    }
    assert len(sent) >= 4
    installed = brought_by_the_project(without=left_out(stages))
    owners = packages_distributions()
    missing: dict[str, set[str]] = {}
    for module in sent:
        imported = graph.find_upstream_modules(module) - graph.find_descendants("pipeline")
        outside = imported - {"pipeline"} - sys.stdlib_module_names
        missing[module] = {
            name for name in outside if not {plain(owner) for owner in owners[name]} & installed
        }
    # Where `generation.runner` is "spark", workers run the model: they are of the image gpu then.
    model = {"torch", "transformers", "tokenizers", "safetensors"}
    with_a_model = {module for module, names in missing.items() if names & model}
    assert len(with_a_model) == 1, missing
    for module, names in missing.items():
        assert names <= (model if module in with_a_model else set()), (module, names)


def test_a_wheel_is_made_of_what_is_copied(stages: dict[str, list[str]]) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    copied = {
        source
        for line in stages["tools"]
        if line.startswith("COPY ")
        for source in line.split()[1:-1]
    }
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert copied == {"pyproject.toml", *packages}
    assert "readme" not in project["project"]


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
    assert froms == {"${PYTHON_IMAGE}", "base", "engine"}
    stand_in = (DOCKER / "postgres.Dockerfile").read_text()
    assert f"\n{image}\nFROM ${{PYTHON_IMAGE}}\n" in stand_in
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
    ours = {process.name for process in processes(Server(state=Path("/nowhere"), spark_jobs=True))}
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


def test_no_health_check_can_see_itself(
    stages: dict[str, list[str]], compose: dict[str, Any]
) -> None:
    """A check that looks for a process finds its own command line, or that of tini."""
    checks = {
        name: json.loads(line.partition(" CMD ")[2])
        for name, lines in stages.items()
        for line in lines
        if line.startswith("HEALTHCHECK ")
    }
    checks |= {
        name: service["healthcheck"]["test"][1:]
        for name, service in compose["services"].items()
        if "test" in service.get("healthcheck", {})
    }
    assert set(checks) == {
        *("airflow", "spark", "gpu"),
        *("postgres", "dag-processor", "scheduler", "spark-worker"),
    }
    for name, command in checks.items():
        if command[0] == "python":
            assert "urlopen('http://localhost:" in command[2], name
        else:
            assert command[:3] in (["airflow", "jobs", "check"], ["pg_isready", "-U", "airflow"])


def test_a_spark_service_is_asked_on_its_own_page(
    stages: dict[str, list[str]], compose: dict[str, Any]
) -> None:
    values = environment(stages["engine"])
    master, worker = (compose["services"][f"spark-{name}"] for name in ("master", "worker"))
    page = values["SPARK_MASTER_WEBUI_PORT"]
    assert page in master["command"]
    assert master["ports"] == [f"127.0.0.1:${{SPARK_PAGE_PORT:-{page}}}:{page}"]
    asks_master = next(line for line in stages["spark"] if line.startswith("HEALTHCHECK "))
    assert f"localhost:{page}/json/" in asks_master
    assert "healthcheck" not in master
    asks_worker = worker["healthcheck"]["test"][-1]
    assert f"localhost:{values['SPARK_WORKER_WEBUI_PORT']}/json/" in asks_worker
    assert "--webui-port" not in worker["command"]


def test_whatever_is_written_is_a_place_of_the_user_of_the_images(
    stages: dict[str, list[str]], compose: dict[str, Any]
) -> None:
    made = next(line for line in stages["base"] if "install --directory" in line)
    assert "useradd --create-home --uid 10001 nightcart" in made
    owned = set(re.findall(r"--group nightcart (.*)$", made)[0].split())
    assert environment(stages["base"])["AIRFLOW_HOME"] in owned
    # Spark's default is beside its package; a worker cannot start there.
    spark = environment(stages["engine"])
    assert {spark["SPARK_WORKER_DIR"], spark["SPARK_LOCAL_DIRS"]} <= owned
    ours = {name: s for name, s in compose["services"].items() if "nightcart" in s["image"]}
    mounted = {name: {v.split(":")[-1] for v in s.get("volumes", [])} for name, s in ours.items()}
    assert set().union(*mounted.values()) == owned
    assert spark["SPARK_WORKER_DIR"] in mounted["spark-worker"]
    for text in ("compose.yaml", "example.env"):
        assert "chown -R 10001:10001 " in (DOCKER / text).read_text(), text
    named = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if not volume.startswith("$")
    }
    assert named == set(compose["volumes"])


def test_the_dags_are_where_the_wheel_puts_them(
    stages: dict[str, list[str]], compose: dict[str, Any]
) -> None:
    values = environment(stages["base"])
    image = next(line for line in stages[""] if line.startswith("ARG PYTHON_IMAGE="))
    python = re.search(r"python:(\d+\.\d+)", image)
    assert python is not None
    where = f"{values['VIRTUAL_ENV']}/lib/python{python[1]}/site-packages/dags"
    assert values["AIRFLOW__CORE__DAGS_FOLDER"] == where
    assert values["PATH"].startswith(f"{values['VIRTUAL_ENV']}/bin:")
    for service in compose["services"].values():
        assert "AIRFLOW__CORE__DAGS_FOLDER" not in service.get("environment", {})


def test_scripts_name_no_machine_but_loopback_and_debians() -> None:
    for path in ("scripts/build_images.sh", "benchmarks/night_in_images.py"):
        text = (REPOSITORY / path).read_text()
        hosts = set(re.findall(r"https?://([\w.-]+)", text)) - {"localhost"}
        assert hosts <= {"deb.debian.org"}, path
    files = [DOCKER / "Dockerfile", DOCKER / "postgres.Dockerfile"]
    for file in files:
        # A mirror or a certificate comes as an argument without a default, and stays in no image.
        for line in file.read_text().splitlines():
            if re.match(r"(ARG|ENV|    )\s*(UV_DEFAULT|UV_FIND|PIP_|SSL_)", line):
                assert re.fullmatch(r"ARG [A-Z_]+", line), line


def test_java_and_python_are_those_that_the_project_asks_for(
    stages: dict[str, list[str]],
) -> None:
    assert "openjdk-17-jre-headless" in " ".join(stages["engine"])
    image = next(line for line in stages[""] if line.startswith("ARG PYTHON_IMAGE="))
    assert "python:3.11." in image
    assert f"pyspark=={version('pyspark')}" in (REPOSITORY / "requirements.lock").read_text()
