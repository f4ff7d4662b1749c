"""A base model loads as float32 from whatever precision, and one that cannot is named as what."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import GPT2LMHeadModel

from pipeline.errors import SettingsError
from pipeline.model.vocabulary import build_vocabulary
from pipeline.settings import Model, Training
from pipeline.training.base_model import (
    _is_cached,
    _refuse_unreachable_hub,
    load_base_model,
    refuse_missing_base_model,
)
from pipeline.training.ranking_phase import fit_ranking
from pipeline.training.rows.training_rows import TrainingRow
from pipeline.training.starting_model import starting_model
from tests.training.tiny_base import save_tiny_base


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision_loads_as_float32_and_trains(tmp_path: Path, dtype: torch.dtype) -> None:
    save_tiny_base(tmp_path, n_embd=16)
    GPT2LMHeadModel.from_pretrained(tmp_path).to(dtype).save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors")["transformer.wte.weight"].dtype == dtype
    base = load_base_model(str(tmp_path))
    assert {tensor.dtype for tensor in base.model.state_dict().values()} == {torch.float32}
    vocabulary = build_vocabulary(
        ["A", "B"], ["en"], [], text_vocab_size=0, base_tokenizer=base.tokenizer
    )
    model = starting_model(vocabulary, {"A": "a quiet kettle"}, Model(), 1, base=base)
    first = vocabulary.first_item_token
    row = TrainingRow(
        [vocabulary.control["history"]], [vocabulary.control["text"]], [0], [first], False
    )
    fit_ranking(model, vocabulary, [row] * 4, None, settings=Training(max_epochs=1), seed=1)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}


def cut(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def zeros(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(bytes(path.stat().st_size))


def without_a_tensor(directory: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    del tensors["transformer.h.1.mlp.c_fc.weight"]
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def no_numbers(directory: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    tensors["transformer.ln_f.weight"][3] = torch.nan
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def pickled(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")


def without_tokenizer(directory: Path) -> None:
    (directory / "tokenizer.json").unlink()


def half_a_tokenizer(directory: Path) -> None:
    text = (directory / "tokenizer.json").read_text()
    (directory / "tokenizer.json").write_text(text[: len(text) // 2])


def another_network(directory: Path) -> None:
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"n_embd": 32}))


def without_config(directory: Path) -> None:
    (directory / "config.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "named", "at_once"),
    [
        (cut, "model.safetensors is cut off or damaged", True),
        (zeros, "model.safetensors is cut off or damaged", True),
        (without_a_tensor, "transformer.h.1.mlp.c_fc.weight", False),
        (no_numbers, "transformer.ln_f.weight has values that are no finite numbers", False),
        (pickled, "found pytorch_model.bin", True),
        (without_tokenizer, "it has no tokenizer files", True),
        (half_a_tokenizer, "its tokenizer", False),
        (another_network, "", False),
        (without_config, "config.json is missing", True),
    ],
)
def test_what_is_wrong_with_a_directory_is_named(
    tmp_path: Path, spoil: Callable[[Path], None], named: str, at_once: bool
) -> None:
    spoil(save_tiny_base(tmp_path, n_embd=16))
    with pytest.raises(SettingsError) as refused:
        load_base_model(str(tmp_path))
    assert named in str(refused.value)
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)
    if at_once:
        with pytest.raises(SettingsError):
            refuse_missing_base_model(str(tmp_path))


def test_a_directory_that_is_missing_is_named_as_one(tmp_path: Path) -> None:
    for check in (load_base_model, refuse_missing_base_model):
        with pytest.raises(SettingsError, match="no such directory"):
            check(str(tmp_path / "gone"))


def test_a_hub_that_cannot_be_reached_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound and not listening: refused
        taken.bind(("127.0.0.1", 0))
        hub = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", hub)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        asked: list[float] = []
        monkeypatch.setattr(time, "sleep", asked.append)
        with pytest.raises(SettingsError, match=r"the hub 127.0.0.1 cannot be reached"):
            load_base_model("nobody/no-such-model")
    assert not asked  # no client waited between tries


def test_a_hub_is_reached_through_the_proxy_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.2:1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        _refuse_unreachable_hub("nobody/no-such-model")


def test_a_download_that_broke_off_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    stored = tmp_path / "models--nobody--half"
    (stored / "refs").mkdir(parents=True)
    (stored / "refs/main").write_text("a" * 40)
    snapshot = stored / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text('{"model_type": "gpt2"}')
    assert not _is_cached("nobody/half")


def test_a_name_is_not_looked_for_where_the_hub_is_switched_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SettingsError, match="HF_HUB_OFFLINE"):
        load_base_model("nobody/no-such-model")
