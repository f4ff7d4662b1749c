"""The lake of `erasure_shop`, made once and copied for each test: its flushes take seconds."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from pipeline.erasure.erase import erase
from pipeline.erasure.proof import Proof
from pipeline.lake import Lake
from pipeline.settings import load_settings
from tests.erasure.erasure_shop import Shop, build, clock


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The lake that is copied."""
    root = tmp_path_factory.mktemp("erasure")
    return build(
        load_settings(
            None,
            {
                "NIGHTCART_PATHS__RAW": str(root / "raw"),
                "NIGHTCART_PATHS__LAKE": str(root / "lake"),
                "NIGHTCART_PATHS__AIRFLOW": str(root / "airflow"),
                "NIGHTCART_PRIVACY__KEY_FILE": str(root / "user_id.key"),
            },
        )
    )


@pytest.fixture
def shop(built: Shop, tmp_path: Path) -> Shop:
    """A copy of its own for each test, with links as they are."""
    return copy_of(built, tmp_path)


@dataclasses.dataclass(frozen=True)
class Done:
    """The lake before and after, and the proof: to be looked at, not changed."""

    before: Shop
    after: Shop
    proof: Proof


@pytest.fixture(scope="session")
def done(built: Shop, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One erasure for all tests that only look."""
    after = copy_of(built, tmp_path_factory.mktemp("erased"))
    return Done(built, after, erase(after.asked(), clock))


def copy_of(shop: Shop, root: Path) -> Shop:
    """The lake and its logs in another place; the key stays where it is."""
    for name in ("lake", "airflow"):
        subprocess.run(["cp", "-a", str(shop.lake.root.parent / name), str(root)], check=True)
    paths = dataclasses.replace(
        shop.settings.paths, lake=str(root / "lake"), airflow=str(root / "airflow")
    )
    return Shop(
        Lake(root / "lake"),
        dataclasses.replace(shop.settings, paths=paths),
        shop.key,
        root / "airflow" / "logs",
    )
