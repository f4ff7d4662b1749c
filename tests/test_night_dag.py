"""The names by which the DAG and those who start it meet: each in one place."""

from __future__ import annotations

import pytest

from pipeline import night_dag
from tests.literals import files_of, spelled_out


@pytest.mark.parametrize(
    "name",
    [
        "NIGHTCART_EVENTS",
        "NIGHTCART_NIGHT_STARTED",
        "nightly_recommendations",
        "per_night",
        "weekly",
        "always",
    ],
)
def test_a_name_is_spelled_out_once(name: str) -> None:
    assert files_of(spelled_out([name])) == {"pipeline/night_dag.py"}


def test_the_values_of_a_param_begin_with_its_default() -> None:
    assert night_dag.RETRAIN == ("per_night", "weekly", "never")
    assert night_dag.WAKE_EXPORT == ("newest", "always", "never")
