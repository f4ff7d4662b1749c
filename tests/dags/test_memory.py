"""Out of memory: recognised, counted for the run, and answered with half the batch."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pipeline.lake import Lake, Run
from pipeline.settings import Settings, load_settings

RUN = Run(dt.date(2026, 3, 1), "r1")


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (1, "fine_tune 2026-03-01 failed: OutOfMemoryError: CUDA out of memory.", True),
        (1, "fine_tune 2026-03-01 failed: MemoryError: ", True),
        (1, "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory", True),
        (1, "fine_tune 2026-03-01 failed: KeyError: 'a'", False),
        (-9, "epoch 3", False),  # somebody's kill: the kernel has counted none of its own
    ],
)
def test_what_counts_as_out_of_memory(
    airflow_home: Path, code: int, said: str, expected: bool
) -> None:
    from dags import memory

    assert memory.ran_out(code, said, memory.kernel_kills()) is expected


def test_a_kill_that_the_kernel_counted_is_one(
    airflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dags import memory

    counter = tmp_path / "memory.events"
    counter.write_text("oom 3\noom_kill 1\noom_group_kill 0\n")
    monkeypatch.setattr(memory, "_COUNTERS", (counter, tmp_path / "no such file"))
    before = memory.kernel_kills()
    counter.write_text("oom 4\noom_kill 2\noom_group_kill 0\n")
    assert (before, memory.kernel_kills()) == (1, 2)
    assert memory.ran_out(-9, "", before)


def test_each_time_halves_the_batch_of_that_run_and_job_down_to_a_floor(
    airflow_home: Path, lake: Lake
) -> None:
    from dags import memory

    settings, floor = Settings(), memory.BATCHES["fine_tune"].smallest
    wanted, seen = settings.training.batch_tokens, []
    for _ in range(12):
        override = memory.smaller_batch(lake, RUN, "fine_tune", settings)
        seen.append(load_settings(None, override).training.batch_tokens)
        memory.note(lake, RUN, "fine_tune")
    assert seen[:3] == [wanted, wanted // 2, wanted // 4]
    assert seen[-1] == floor
    assert memory.smaller_batch(lake, RUN, "generate", settings) == {}
    assert memory.smaller_batch(lake, Run(RUN.run_date, "r2"), "fine_tune", settings) == {}
