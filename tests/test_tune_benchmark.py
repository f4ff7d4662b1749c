"""The search for a recipe: the known recipe first, the test never looked at, trials kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import tune
from tests.test_quality_benchmark import write_dataset


def run(directory: Path, study: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    asked = ["--dataset", str(directory), "--study", str(study), "--trials", "1", "--epochs", "1"]
    assert tune.main(asked) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_a_search_goes_on_from_its_study_and_never_sees_a_test_item(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = tune.histories
    monkeypatch.setattr(tune, "histories", lambda pasts, n: (seen.append(n), real(pasts, n))[1])
    directory = write_dataset(tmp_path)
    first = run(directory, tmp_path / "study.db", capsys)
    assert (first["trials"], first["whole"]) == (1, 1)
    assert first["best"] == {
        "model.n_layer": 1,
        "model.n_embd": 128,
        "model.dropout": 0.5,
        "training.learning_rate": 2e-3,
        "training.weight_decay": 0.01,
        "training.later_weight": 0.25,
        "training.batch_tokens": 1024,
    }
    second = run(directory, tmp_path / "study.db", capsys)
    assert second["trials"] == 2
    # 2 from the end is the validation item: what comes after it is not in those histories.
    assert seen == [2, 2]
