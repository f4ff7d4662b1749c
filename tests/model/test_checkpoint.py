"""A checkpoint: plain Hugging Face, named by its bytes, refused when damaged."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, GPT2LMHeadModel

from pipeline.errors import InputError
from pipeline.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, small_config
from pipeline.model.next_item import next_item_logits
from pipeline.model.prompt import history_prompt
from pipeline.model.vocabulary import build_vocabulary

NIGHT = dt.date(2026, 3, 1)
V = build_vocabulary(["A", "B", "C"], ["en"], ["kettle"] * 3, text_vocab_size=300)


@pytest.fixture
def saved(tmp_path: Path) -> Checkpoint:
    torch.manual_seed(1)
    config = small_config(V, n_layer=2, n_head=2, n_embd=8, n_positions=32, dropout=0.5)
    return save_checkpoint(tmp_path, GPT2LMHeadModel(config), V, NIGHT)


def test_it_comes_back_with_its_version(saved: Checkpoint, tmp_path: Path) -> None:
    loaded = load_checkpoint(tmp_path)
    digest = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert loaded.model_version == saved.model_version == f"2026-03-01-{digest[:8]}"
    assert not loaded.model.training
    state = saved.model.state_dict()
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_transformers_alone_loads_and_generates(saved: Checkpoint, tmp_path: Path) -> None:
    model = GPT2LMHeadModel.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    names = ["<|history|>", "<|item:A|>", "<|item:B|>"]
    input_ids = torch.tensor([tokenizer.convert_tokens_to_ids(names)])
    out = model.generate(input_ids, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert out.shape == (1, 7)
    assert model.lm_head.weight.data_ptr() == model.transformer.wte.weight.data_ptr()
    assert all(path.suffix in (".json", ".safetensors") for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "items.json", "nightcart.json"]
)
def test_a_missing_file_is_named(saved: Checkpoint, tmp_path: Path, name: str) -> None:
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=name):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "items.json", "nightcart.json"]
)
def test_a_cut_off_file_is_named(saved: Checkpoint, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=name):
        load_checkpoint(tmp_path)


def test_one_changed_byte_of_the_weights_is_noticed(saved: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors is damaged: its SHA-256 starts with"):
        load_checkpoint(tmp_path)


def test_batched_scores_are_single_scores(saved: Checkpoint, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(tmp_path)
    prompts = [
        history_prompt(V, list("ABCABC"[:n]), ["view"] * n, [], "en", 50) for n in (6, 0, 3, 1)
    ]
    together = next_item_logits(checkpoint.model, V, prompts)
    for row, prompt in zip(together, prompts, strict=True):
        alone = next_item_logits(checkpoint.model, V, [prompt])[0]
        torch.testing.assert_close(row, alone, rtol=1e-5, atol=1e-6)
        # The slow way: transformers' own head over the whole vocabulary.
        logits = checkpoint.model(
            input_ids=torch.tensor([prompt.token_ids]),
            token_type_ids=torch.tensor([prompt.type_ids]),
        ).logits[0, -1, V.first_item_token :]
        torch.testing.assert_close(row, logits, rtol=1e-5, atol=1e-6)
