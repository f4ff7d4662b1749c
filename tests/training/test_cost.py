"""Time and energy: counters where there are any, an estimate that says so where not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.training.cost import WATTS_PER_CORE, Meter


def counter(root: Path, name: str, microjoules: str) -> None:
    (root / name).mkdir(parents=True, exist_ok=True)
    (root / name / "energy_uj").write_text(microjoules, encoding="utf-8")


def test_packages_are_summed_and_their_parts_are_not(tmp_path: Path) -> None:
    for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"):
        counter(tmp_path, name, "1000000\n")
    meter = Meter.start(tmp_path)
    counter(tmp_path, "intel-rapl:0", "3600000000\n")
    counter(tmp_path, "intel-rapl:0:0", "9900000000\n")
    spent = meter.spent(tmp_path)
    assert spent["watt_hours"] == pytest.approx((3600 - 1) / 3600, abs=0.001)
    assert "measured" in spent["energy_source"]


@pytest.mark.parametrize("after", ["0\n", "no number\n"])
def test_a_counter_that_wrapped_or_cannot_be_read_is_not_believed(
    tmp_path: Path, after: str
) -> None:
    counter(tmp_path, "intel-rapl:0", "5000000\n")
    meter = Meter.start(tmp_path)
    counter(tmp_path, "intel-rapl:0", after)
    assert "estimated" in meter.spent(tmp_path)["energy_source"]


def test_without_counters_it_is_an_estimate_from_processor_time(tmp_path: Path) -> None:
    spent = Meter(0.0, -3600.0, None).spent(tmp_path)  # an hour of one core, and what this took
    assert spent["watt_hours"] == pytest.approx(WATTS_PER_CORE, rel=0.2)
    assert spent["processor_seconds"] >= 3600
