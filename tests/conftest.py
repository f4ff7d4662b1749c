"""Fixtures that the whole suite shares: one Spark session, settings, a lake, the real data."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from pyspark.sql import SparkSession

from jobs.cli.airflow_home import prepare
from pipeline.encryption import keyring
from pipeline.file_modes import as_before
from pipeline.lake import Lake
from pipeline.settings import Settings, load_settings
from pipeline.settings import Spark as SparkSettings
from pipeline.spark_session import open_spark
from tests import night_runner
from tests.night_runner import NightRunner, StageRunner

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = Path(
    os.environ.get("NIGHTCART_TEST_DATA") or REPOSITORY.parent / "shared" / "data"
).resolve()


def pytest_configure() -> None:
    """Ctrl-C counts: a shell starts what it puts in the background with it ignored for good.

    No example of a property has a deadline. Torch computes by one thread: threads of two test
    processes that wait for each other on two cores took 143 s for what one does in 10.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for jobs of the tests, too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # What an example takes says how loaded the machine is.
    hypothesis.settings.register_profile("untimed", deadline=None)
    hypothesis.settings.load_profile("untimed")


def pytest_runtest_setup() -> None:
    """Each test has Python's own handler of Ctrl-C: a Spark session puts one in its place."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that open Spark; put the files that may take longest first.

    Files are shared out in this order: one that is long and starts last would be waited for.
    """
    longest: dict[Path, float] = {}
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.spark)
        limit = item.get_closest_marker("timeout")
        seconds = float(limit.args[0]) if limit else 0.0
        longest[item.path] = max(longest.get(item.path, 0.0), seconds)
    items.sort(key=lambda item: -longest[item.path])  # stable: the order within a file stays


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """What a command sets in this process is not the next test's."""
    with as_before(), keyring.as_before():
        yield


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """One session per test process."""
    small = SparkSettings(
        master="local[2]", driver_memory="2g", shuffle_partitions=2, quick_start=True
    )
    session = open_spark(small, "tests")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def run_stages(spark: SparkSession) -> StageRunner:
    """`night_runner.run_stages`, by the session that the tests share."""
    return night_runner.run_stages


@pytest.fixture(scope="session")
def run_night(spark: SparkSession) -> NightRunner:
    """`night_runner.run_night`, by the session that the tests share."""
    return night_runner.run_night


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Defaults, with every path below a fresh directory."""
    return load_settings(
        None,
        {
            "NIGHTCART_PATHS__RAW": str(tmp_path / "raw"),
            "NIGHTCART_PATHS__LAKE": str(tmp_path / "lake"),
            "NIGHTCART_PRIVACY__KEY_FILE": str(tmp_path / "user_id.key"),
            "NIGHTCART_SPARK__MASTER": "local[2]",
            "NIGHTCART_SPARK__DRIVER_MEMORY": "1g",
            "NIGHTCART_SPARK__SHUFFLE_PARTITIONS": "2",
        },
    )


@pytest.fixture
def lake(settings: Settings) -> Lake:
    """The lake of the `settings` fixture."""
    return Lake(settings.paths.lake)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Public data sets, in NIGHTCART_TEST_DATA or beside the checkout; CI cannot do without."""
    if not SHARED_DATA.is_dir():
        message = f"the public data sets are not at {SHARED_DATA} (see NIGHTCART_TEST_DATA)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return SHARED_DATA


@pytest.fixture(scope="session")
def airflow_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One AIRFLOW_HOME for the session: the database is made once."""
    home = tmp_path_factory.mktemp("airflow_of_the_tests")
    prepare(home, os.environ)
    return home
