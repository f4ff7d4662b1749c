"""A model breaks: one clear message, the champion or the fallback generates, the report says so.

Yesterday's model is the champion; each case breaks tonight's, or both, and runs the night's real
jobs from fine_tune to the report.
"""

from __future__ import annotations

import datetime as dt
import html
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs import evaluate, fine_tune, generate, report
from pipeline.lake import Lake, Run
from pipeline.model.champion import ChampionRecord, champion_of, write_champion
from pipeline.model.checkpoint import load_checkpoint
from pipeline.training import ranking_phase
from tests.lake_rows import read_rows, write_rows
from tests.small_shop import N_ITEMS, NIGHT, RUN, catalogue_row, fill

TONIGHT = Run(NIGHT + dt.timedelta(days=1), "tonight")
CONFIG = """\
[paths]
lake = "lake"
[model]
n_layer = 1
n_head = 1
n_embd = 16
n_positions = 64
text_vocab_size = 300
[training]
max_epochs = 2
text_epochs = 1
batch_tokens = 256
min_users = 10
[generation]
k = 3
shards = 1
[reasons]
enabled = false
"""


@dataclass(frozen=True)
class Shop:
    home: Path

    @property
    def lake(self) -> Lake:
        return Lake(self.home / "lake")

    @property
    def champion_directory(self) -> Path:
        return self.lake.run_directory("models", RUN)

    def job(self, module: Any, run: Run = TONIGHT) -> int:
        arguments = ["--date", str(run.run_date), "--run-id", run.run_id]
        code: int = module.main([*arguments, "--config", str(self.home / "nightcart.toml")])
        return code

    def record(self) -> ChampionRecord:
        found = champion_of(self.lake, TONIGHT.run_date)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def yesterday(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A champion, whatever the gate would have thought of it."""
    shop = Shop(tmp_path_factory.mktemp("broken") / "yesterday")
    shop.home.mkdir()
    (shop.home / "nightcart.toml").write_text(CONFIG, encoding="utf-8")
    fill(shop.lake)
    assert shop.job(fine_tune, RUN) == 0
    version = load_checkpoint(shop.champion_directory).model_version
    record = ChampionRecord(NIGHT.isoformat(), RUN.run_id, version, True, "it won")
    write_champion(shop.lake.begin("champions", RUN), record)
    shop.lake.commit("champions", RUN, rows=1)
    return shop


@pytest.fixture
def shop(yesterday: Shop, tmp_path: Path) -> Shop:
    copy = Shop(tmp_path / "tonight")
    shutil.copytree(yesterday.home, copy.home)
    fill(copy.lake, TONIGHT)
    return copy


Break = Callable[[Shop, pytest.MonkeyPatch], None]


def nan_loss(shop: Shop, patch: pytest.MonkeyPatch) -> None:
    """A learning rate at which the second batch's loss is no number any more."""
    patch.setenv("NIGHTCART_TRAINING__LEARNING_RATE", "1e38")


def exploding_gradients(shop: Shop, patch: pytest.MonkeyPatch) -> None:
    """The loss stays finite; its gradient does not."""
    finite = ranking_phase.target_loss

    def steep(model: Any, *rest: Any, **more: Any) -> torch.Tensor:
        return finite(model, *rest, **more) + (model.transformer.ln_f.bias.sum() * 0).abs().sqrt()

    patch.setattr(ranking_phase, "target_loss", steep)


def empty_vocabulary(shop: Shop, patch: pytest.MonkeyPatch) -> None:
    """Overnight the item files name every item otherwise than the events do."""
    rows = [{**catalogue_row(n), "item_id": f"SKU-{n:05d}"} for n in range(N_ITEMS)]
    write_rows(shop.lake, "catalogue", TONIGHT, rows)


def champion_missing(shop: Shop, patch: pytest.MonkeyPatch) -> None:
    nan_loss(shop, patch)
    shutil.rmtree(shop.champion_directory)


def champion_damaged(shop: Shop, patch: pytest.MonkeyPatch) -> None:
    nan_loss(shop, patch)
    weights = shop.champion_directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])


@pytest.mark.parametrize(
    ("breaks", "message", "generates"),
    [
        (nan_loss, r"the training loss became (nan|inf)", "champion"),
        (exploding_gradients, "the gradients exploded", "champion"),
        (empty_vocabulary, "0 of the 24 items of the histories are among them", "fallback"),
        (champion_missing, "previous champion cannot be used", "fallback"),
        (champion_damaged, "is damaged", "fallback"),
    ],
)
def test_the_night_goes_on(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    breaks: Break,
    message: str,
    generates: str,
) -> None:
    monkeypatch.setenv("NIGHTCART_TRAINING__WARM_START", "false")
    breaks(shop, monkeypatch)
    assert shop.job(fine_tune) == 0
    stage = json.loads((shop.lake.records(TONIGHT) / "fine_tune.json").read_text(encoding="utf-8"))
    assert stage["report"]["fault"]
    assert shop.lake.current("models", TONIGHT.run_date) is None
    _goes_on(shop, message, generates)


def test_a_corrupt_checkpoint(shop: Shop) -> None:
    """Training went well, and the disk spoiled what it saved."""
    assert shop.job(fine_tune) == 0
    weights = shop.lake.require("models", TONIGHT.run_date).path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    _goes_on(shop, r"the candidate cannot be used: .*model\.safetensors is damaged", "champion")


def test_a_retry_that_succeeds_takes_the_fault_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        exploding_gradients(shop, patch)
        assert shop.job(fine_tune) == 0
    assert shop.job(fine_tune) == 0
    assert shop.job(evaluate) == 0
    assert "exploded" not in shop.record().why


def _goes_on(shop: Shop, message: str, generates: str) -> None:
    assert shop.job(evaluate) == 0
    record = shop.record()
    assert not record.promoted
    pattern = re.compile(message)
    assert pattern.search(record.why), record.why
    assert shop.job(generate) == 0
    rows = read_rows(shop.lake, "generated", TONIGHT.run_date)
    made_by = {row["method"] for row in rows}
    if generates == "champion":
        assert record.model_run == RUN
        assert made_by == {"model"}
        assert {row["model_version"] for row in rows} == {record.model_version}
    else:
        assert "model" not in made_by
        assert all(row["fallback_reason"] for row in rows)
    assert shop.job(report) == 0
    page = (shop.lake.records(TONIGHT) / "report.html").read_text(encoding="utf-8")
    assert pattern.search(html.unescape(page))
