"""`nightcart models`: what it lists and compares, and decisions that are added, never edited."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.cli.main import main as nightcart
from pipeline.errors import InputError
from pipeline.evaluation.evaluate import evaluate
from pipeline.generation.champion import load_champion, read_champion
from pipeline.lake import Lake, Run
from pipeline.model.champion import champion_before, champion_of
from pipeline.settings import Settings, load_settings
from pipeline.training.fine_tune import fine_tune
from tests.small_shop import NIGHT, RUN, fill, quick

TOMORROW = Run(NIGHT + dt.timedelta(days=1), "two")
LATER = NIGHT + dt.timedelta(days=2)
WHY = ["--why", "lists full of kettles", "--by", "Ada"]


@dataclasses.dataclass(frozen=True)
class Nights:
    """Two evaluated nights; both models were promoted."""

    config: Path
    lake: Lake
    settings: Settings

    def run(self, *arguments: str) -> int:
        return nightcart(["models", *arguments, "--config", str(self.config)])

    def version(self, run: Run) -> str:
        record = champion_of(self.lake, run.run_date)
        assert record is not None
        return str(record.model_version)


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    home = tmp_path_factory.mktemp("models")
    lake = Lake(home / "lake")
    config = home / "nightcart.toml"
    config.write_text('[paths]\nlake = "lake"\n', encoding="utf-8")
    settings = quick(load_settings(config, {}), max_epochs=6, learning_rate=0.03)
    for run in (RUN, TOMORROW):
        fill(lake, run)
        made = fine_tune(lake, run, dataclasses.replace(settings, seed=run.run_date.day))
        evaluate(lake, run, settings)
        # Whatever the gate thought of them: what a person can decide starts here.
        record = champion_of(lake, run.run_date)
        assert record is not None
        directory = lake.begin("champions", run)
        said = {
            "model_run_date": run.run_date.isoformat(),
            "model_run_id": run.run_id,
            "model_version": made.checkpoint.model_version,
            "promoted": True,
            "why": "it won",
            "fallback": "item_knn",
        }
        (directory / "champion.json").write_text(json.dumps(said), encoding="utf-8")
        (directory / "model_card.md").write_text("# card\n", encoding="utf-8")
        lake.commit("champions", run, rows=1)
    return Nights(config, lake, settings)


@pytest.fixture
def nights(two_nights: Nights) -> Iterator[Nights]:
    """With the pointers put back afterwards."""
    pointers = {
        path: path.read_text(encoding="utf-8")
        for path in two_nights.lake.dataset("champions").glob("*/current.json")
    }
    yield two_nights
    for path, text in pointers.items():
        path.write_text(text, encoding="utf-8")


def test_list(nights: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    assert nights.run("list") == 0
    header, newest, oldest = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["night", "model", "NDCG"]
    assert newest.startswith("2026-03-02  2026-03-02-")
    assert oldest.startswith("2026-03-01  2026-03-01-")
    assert re.search(r"0\.\d{4} \[0\.\d{4}, 0\.\d{4}\]", newest)
    assert nights.run("list", "--json") == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first["generates"] == first["model_version"]
    assert set(first["ndcg"]) == {"candidate", "champion", "popularity", "markov", "item_knn"} - (
        set() if "champion" in first["ndcg"] else {"champion"}
    )
    assert first["parameters"] > 1000


def test_compare_is_of_the_same_users(nights: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    assert nights.run("compare", "2026-03-01", "2026-03-01", "--json") == 0
    same = json.loads(capsys.readouterr().out)
    for measure in same["measures"].values():
        assert measure["difference"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
        assert measure["better"] == "no difference beyond noise"
    assert nights.run("compare", "2026-03-01", nights.version(TOMORROW)) == 0
    said = capsys.readouterr().out
    assert "30 shoppers held out for the test of 2026-03-02" in said
    # A model that was trained on what is held out may not be measured on it.
    assert nights.run("compare", "2026-03-01", "2026-03-02", "--date", "2026-03-01") == 65
    assert "was trained on what 2026-03-01 holds out" in capsys.readouterr().err


def test_rollback_adds_a_record_and_erases_nothing(nights: Nights) -> None:
    lake = nights.lake
    first, second = nights.version(RUN), nights.version(TOMORROW)
    before = lake.require("champions", TOMORROW.run_date).path
    text = (before / "champion.json").read_text(encoding="utf-8")
    assert nights.run("rollback", *WHY) == 0
    record = champion_of(lake, TOMORROW.run_date)
    assert record is not None
    assert (record.model_version, record.decided_by, record.promoted) == (first, "Ada", False)
    assert record.fallback == "item_knn", "nobody decided otherwise"
    assert record.why == f"rolled back from {second} by Ada: lists full of kettles"
    assert dt.datetime.fromisoformat(str(record.decided_at)).tzinfo is not None
    assert (before / "champion.json").read_text(encoding="utf-8") == text
    assert (lake.require("champions", TOMORROW.run_date).path / "model_card.md").is_file()
    # The next night starts from it, this night's generation loads it, the night before has its own.
    following = champion_before(lake, LATER)
    assert following is not None
    assert following.model_version == first
    chosen = load_champion(lake, read_champion(lake, TOMORROW.run_date), nights.settings.generation)
    assert chosen.model_version == first
    assert nights.version(RUN) == first


def test_a_decision_stays_when_the_night_is_evaluated_again(nights: Nights) -> None:
    assert nights.run("rollback", *WHY) == 0
    first = nights.version(RUN)
    for run_id in ("again", "and again"):
        made = evaluate(
            nights.lake, Run(TOMORROW.run_date, run_id.replace(" ", "-")), nights.settings
        )
        assert made.champion.model_version == first
        assert made.champion.decided_by == "Ada"
        assert made.champion.fallback == "markov", "as it was measured this time"
        assert made.champion.why.count("lists full of kettles; the gate says: ") == 1
    # Until a person says otherwise.
    assert nights.run("promote", "2026-03-02/two", *WHY) == 0
    record = champion_of(nights.lake, TOMORROW.run_date)
    assert record is not None
    assert record.model_run == TOMORROW


@pytest.fixture
def cut_off(nights: Nights) -> Nights:
    """Tomorrow's record ends in the middle."""
    whole = nights.lake.require("champions", TOMORROW.run_date).path / "champion.json"
    run = Run(TOMORROW.run_date, "cut-off")
    half = whole.read_text(encoding="utf-8")[:40]
    (nights.lake.begin("champions", run) / "champion.json").write_text(half, encoding="utf-8")
    nights.lake.commit("champions", run, rows=1)
    with pytest.raises(InputError, match="does not say which model generates"):
        champion_of(nights.lake, TOMORROW.run_date)
    return nights


def test_a_record_that_cannot_be_read_is_mended_by_promoting(
    cut_off: Nights, caplog: pytest.LogCaptureFixture
) -> None:
    assert cut_off.run("promote", "2026-03-01", "--date", "2026-03-02", *WHY) == 0
    record = champion_of(cut_off.lake, TOMORROW.run_date)
    assert record is not None
    assert (record.model_run, record.decided_by, record.fallback) == (RUN, "Ada", None)
    assert "names no fallback" in caplog.text


def test_a_record_that_cannot_be_read_is_mended_by_evaluating_again(
    cut_off: Nights, caplog: pytest.LogCaptureFixture
) -> None:
    made = evaluate(cut_off.lake, Run(TOMORROW.run_date, "mended"), cut_off.settings)
    assert champion_of(cut_off.lake, TOMORROW.run_date) == made.champion
    assert (made.champion.decided_by, made.champion.fallback) == (None, "markov")
    assert "whatever a person decided for this night is lost" in caplog.text


def test_what_cannot_be_decided(nights: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    cases = [
        (["promote", "2026-03-02", "--date", "2026-03-01"], "trained on what happened after"),
        (["promote", "2026-02-01"], "there is no model '2026-02-01'"),
        (["promote", "the good one"], "names no model"),
        (["promote", "2026-03-01-00000000"], "there is no model"),
        (["rollback", "--date", "2026-03-01"], "is the first champion"),
        (["rollback", "--date", "2026-02-01"], "nothing to roll back"),
    ]
    for arguments, message in cases:
        assert nights.run(*arguments, *WHY) == 65, arguments
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        nights.run("rollback")  # without a reason


def test_a_damaged_model_is_not_promoted(
    nights: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = nights.lake.run_directory("models", RUN) / "model.safetensors"
    whole = weights.read_bytes()
    try:
        weights.write_bytes(whole[:-1] + b"?")
        assert nights.run("rollback", *WHY) == 65
        assert "is damaged" in capsys.readouterr().err
        record = champion_of(nights.lake, TOMORROW.run_date)
        assert record is not None
        assert record.model_run == TOMORROW
    finally:
        weights.write_bytes(whole)


def test_nothing_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "nightcart.toml"
    config.write_text('[paths]\nlake = "lake"\n', encoding="utf-8")
    assert nightcart(["models", "list", "--config", str(config)]) == 0
    assert "no model was trained yet" in capsys.readouterr().out
    assert nightcart(["models", "rollback", *WHY, "--config", str(config)]) == 65
