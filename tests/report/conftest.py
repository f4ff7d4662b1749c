"""One good night in a lake of its own."""

from __future__ import annotations

import pytest

from pipeline.lake import Lake, Run
from tests.report.night_by_hand import NIGHT, write_good_night


@pytest.fixture
def run() -> Run:
    return Run(NIGHT, "attempt-1")


@pytest.fixture
def good_night(lake: Lake, run: Run) -> Lake:
    """A lake in which everything of one night is there."""
    write_good_night(lake, run)
    return lake
