"""Two simulated shops that the simulator's tests read: a dirty one and a clean one."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pipeline.simulator.shop import simulate_shop


@pytest.fixture(scope="session")
def dirty_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of fault, on both sides of a clock change (29 March 2026)."""
    out = tmp_path_factory.mktemp("dirty")
    simulate_shop(
        out,
        users=300,
        items=120,
        days=30,
        seed=11,
        start_date=dt.date(2026, 3, 20),
        timezone="Europe/Berlin",
        dirt=10.0,
    )
    return out


@pytest.fixture(scope="session")
def clean_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No fault at all, and enough users to measure what they do."""
    out = tmp_path_factory.mktemp("clean")
    simulate_shop(out, users=700, items=200, days=40, seed=12, dirt=0.0)
    return out
