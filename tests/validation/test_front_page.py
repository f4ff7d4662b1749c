"""The front page of Data Docs: its verdict and marks, from results by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.validation.front_page import index_page


def _result(*severities: str) -> dict[str, Any]:
    checks = [
        {
            "success": False,
            "expectation_config": {
                "meta": {"severity": one, "reason": "volume", "why": "Because."}
            },
            "meta": {"found": "9 rows"},
        }
        for one in severities
    ]
    return {
        "success": not checks,
        "results": checks,
        "suite_name": "cleaned_events.v1",
        "statistics": {"evaluated_expectations": 5},
        "meta": {
            "active_batch_definition": {"data_asset_name": "cleaned_events"},
            "run_id": {"run_name": "r", "run_time": "2026-03-01T00:00:00+00:00"},
        },
    }


@pytest.mark.parametrize(
    ("severities", "verdict", "mark"),
    [
        ((), "Nothing stops the night.<", "passed"),
        (("warn",), "Nothing stops the night. 1 check warns only.", "warned"),
        (("stop",), "The night was stopped: a check that must hold does not.<", "failed"),
        (
            ("stop", "warn", "stop", "warn"),
            "The night was stopped: 2 checks that must hold do not. 2 checks warn only.",
            "failed",
        ),
    ],
)
def test_the_verdict_counts_and_a_cross_is_for_what_stops(
    severities: tuple[str, ...], verdict: str, mark: str
) -> None:
    """A warning is no failure, and one is not several."""
    page = index_page({Path("page.html"): _result(*severities)})
    assert verdict in page
    assert f'<td class="{mark}"></td>' in page
