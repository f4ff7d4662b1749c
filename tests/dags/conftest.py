"""Airflow with a home of the test run's own: set before anything imports it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    """Importing Airflow gives the root logger a handler on this test's stdout, soon closed."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty AIRFLOW_HOME in this process's environment; no database."""
    home = tmp_path_factory.mktemp("airflow")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
            patch.delenv(name)
        patch.setenv("AIRFLOW_HOME", str(home))
        patch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
        patch.setenv("AIRFLOW__USAGE_DATA_COLLECTION__ENABLED", "False")
        patch.delenv("NIGHTCART_CONFIG", raising=False)
        yield home


@pytest.fixture(scope="session")
def dag(airflow_home: Path) -> Any:
    """The DAG, as Airflow imports it."""
    from dags.nightly_recommendations import dag

    return dag
