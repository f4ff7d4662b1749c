"""The job: its record, its ledger, its exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from jobs import generate
from pipeline.lake import Run
from pipeline.ledger import read_ledger
from tests.generation_shop import NIGHT, Shop, history, item, many_histories

ARGUMENTS = ["--date", NIGHT.isoformat(), "--run-id", "R"]


@pytest.fixture
def environment(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("NIGHTCART_PATHS__LAKE", shop.settings.paths.lake)
    monkeypatch.setenv("NIGHTCART_GENERATION__SHARDS", "2")
    return shop


def test_every_row_of_the_histories_is_accounted_for(environment: Shop) -> None:
    left_out = [history("asleep", [item(1)], active=False), history("no", [item(1)], consent=False)]
    owns_all = history("owns-all", [item(n) for n in range(40)])
    environment.put("histories", [*many_histories(30, seed=3), *left_out, owns_all])
    assert generate.main(ARGUMENTS) == 0
    [line] = read_ledger(environment.lake, Run(NIGHT, "R"))
    assert (line.rows_in, line.rows_out) == (33, 30)
    assert line.removed == {"inactive": 1, "no_consent": 1, "nothing_left": 1}
    record = json.loads((environment.lake.records(Run(NIGHT, "R")) / "generate.json").read_text())
    assert record["status"] == "done"
    assert record["report"]["users"] == 30
    assert record["report"]["users_per_s"] > 0
    # A retry after success leaves the same account.
    assert generate.main(ARGUMENTS) == 0
    assert read_ledger(environment.lake, Run(NIGHT, "R")) == [line]


def test_a_fault_is_one_line_and_refuses_a_retry(
    environment: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(environment.lake.dataset("histories"))
    assert generate.main(ARGUMENTS) == 65
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("generate 2026-03-01 failed: no histories for 2026-03-01")


def test_a_lake_that_cannot_be_written_may_be_retried(
    environment: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    work = Path(environment.lake.root) / "work"
    work.mkdir(exist_ok=True)
    (work / "generate").write_text("a file where a directory should be")
    assert generate.main(ARGUMENTS) == 75
    assert "/work/generate/" in capsys.readouterr().err.splitlines()[-1]
