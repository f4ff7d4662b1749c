"""The next-basket benchmark: both splits, measures by hand, files that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import next_basket
from benchmarks.next_basket_data import read_time_split, read_user_split
from pipeline.errors import InputError
from pipeline.ranking.pair_logit import PairRows
from pipeline.ranking.tifu_knn import TifuShape


def write(directory: Path, seed: int = 1) -> None:
    rng = np.random.default_rng(seed)

    def baskets() -> list[list[int]]:
        own = rng.choice(20, 3, replace=False)
        return [
            [*rng.choice(own, 1).tolist(), *rng.integers(0, 20, 2).tolist()]
            for _ in range(int(rng.integers(3, 6)))
        ]

    split = {
        part: {str(user): baskets() for user in range(n)}
        for part, n in (("train", 60), ("validate", 30), ("test", 30))
    }
    (directory / "split.json").write_text(json.dumps(split))
    history = {str(user): [[-1], *baskets(), [-1]] for user in range(80)}
    (directory / "all_history.json").write_text(json.dumps(history))
    future = {user: [[-1], baskets()[0], [-1]] for user in history}
    (directory / "all_future.json").write_text(json.dumps(future))


def test_measures_by_hand() -> None:
    scores = -np.arange(12.0)[None].repeat(2, axis=0)  # items 0 to 9 are the list
    wanted, bought = np.zeros((2, 12), dtype=bool), np.zeros((2, 12), dtype=bool)
    wanted[0, [1, 4, 11]] = True
    bought[0, [1, 11]] = True
    wanted[1, 10] = True
    found = next_basket.measure(scores, wanted, bought)
    gain = 1 / np.log2(3) + 1 / np.log2(6)
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    np.testing.assert_allclose(found["recall"], [2 / 3, 0])
    np.testing.assert_allclose(found["ndcg"], [gain / ideal, 0])
    np.testing.assert_allclose(found["phr"], [1, 0])
    np.testing.assert_allclose(found["repeat recall"], [1 / 2, np.nan])
    np.testing.assert_allclose(found["new recall"], [1, 0])


def test_runs_both_splits_and_ends_with_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.setattr(next_basket, "TIFU_SHAPES", (TifuShape(5), TifuShape(10)))
    assert next_basket.main(["--data", str(tmp_path), "--users", "50", "--seeds", "2"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    for part in ("by_users", "by_time"):
        test = last[part]["test"]
        assert {"gp_topfreq", "tifu_knn", "repeats", "mixture"} <= test["rows"].keys()
        assert test["users"] == {"by_users": 30, "by_time": 50}[part]
        assert len(test["seeds"]) == 2
    next_basket.main(["--data", str(tmp_path), "--split", "time", "--seeds", "1", "--without-test"])
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "test" not in last["by_time"]
    assert "by_users" not in last


def test_a_change_of_the_test_baskets_moves_nothing_that_is_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.setattr(next_basket, "TIFU_SHAPES", (TifuShape(5),))

    def learned() -> list[object]:
        next_basket.main(["--data", str(tmp_path), "--seeds", "1"])
        last = json.loads(capsys.readouterr().out.splitlines()[-1])
        of = [last[part] for part in ("by_users", "by_time")]
        return [(part["weights"], part["validation"]) for part in of]

    before = learned()
    split = json.loads((tmp_path / "split.json").read_text())
    for baskets in split["test"].values():
        baskets[-1] = [0]
    (tmp_path / "split.json").write_text(json.dumps(split))
    future = json.loads((tmp_path / "all_future.json").read_text())
    changed = {user: [[-1], [0], [-1]] for user in future}
    (tmp_path / "all_future.json").write_text(json.dumps(changed))
    assert learned() == before


def test_too_few_users_to_choose_on_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(SystemExit, match="1 users of two or more baskets"):
        next_basket.main(["--data", str(tmp_path), "--split", "time", "--users", "1"])


def test_nobody_to_learn_from_gives_even_odds() -> None:
    fitted = PairRows(("a", "b"), ()).fit()
    for logit in (fitted.bought, fitted.new):
        assert (logit.weight_F.tolist(), logit.bias) == ([0, 0], 0)


def test_says_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"split\.json.*--data"):
        read_user_split(tmp_path)
    write(tmp_path)
    (tmp_path / "split.json").write_text('{"train": {}}')
    with pytest.raises(InputError, match="no part 'validate'"):
        read_user_split(tmp_path)
    (tmp_path / "split.json").write_text(
        '{"train": {"7": [[1]]}, "validate": {"8": [[1], [2]]}, "test": {}}'
    )
    with pytest.raises(InputError, match="user 7: 1 baskets, at least 2"):
        read_user_split(tmp_path)
    (tmp_path / "all_future.json").write_text('{"0": [[1]]}')
    with pytest.raises(InputError, match="different users"):
        read_time_split(tmp_path)
    with pytest.raises(SystemExit, match="different users"):
        next_basket.main(["--data", str(tmp_path), "--split", "time"])
