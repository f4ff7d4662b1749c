"""Where training starts from: rows carried by name, new items from their titles."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import GPT2LMHeadModel

from pipeline.model.checkpoint import Checkpoint
from pipeline.model.vocabulary import Vocabulary, build_vocabulary
from pipeline.settings import Model
from pipeline.training.base_model import load_base_model
from pipeline.training.starting_model import starting_model
from tests.training.tiny_base import save_tiny_base

SMALL = Model(n_layer=1, n_head=1, n_embd=32, n_positions=32, text_vocab_size=280)
OLD = build_vocabulary(["A", "B"], ["en"], ["red kettle"] * 9, text_vocab_size=280)
# One language and two items more: every control after the first new one, and every item, moves.
NEW = build_vocabulary(["0", "A", "B", "Z"], ["de", "en"], ["blue kettle"] * 9, text_vocab_size=280)


def rows_by_name(model: GPT2LMHeadModel, vocabulary: Vocabulary) -> dict[str, torch.Tensor]:
    weight = model.transformer.wte.weight.detach()
    return {name: weight[n] for n, name in enumerate(vocabulary.tokens())}


def champion() -> Checkpoint:
    model = starting_model(OLD, {"A": "red kettle"}, SMALL, 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5)
    return Checkpoint(model, OLD, "2026-03-01-00000000")


def test_a_warm_start_carries_rows_by_name() -> None:
    old = champion()
    model = starting_model(NEW, {}, SMALL, 2, champion=old)
    before, after = rows_by_name(old.model, OLD), rows_by_name(model, NEW)
    shared = before.keys() & after.keys()
    assert {"<|item:A|>", "<|item:B|>", "<|purchase|>", "<|lang:en|>", "Ġ"} <= shared
    assert {"<|item:Z|>", "<|lang:de|>"} <= after.keys() - shared
    for name in shared:
        assert torch.equal(before[name], after[name]), name
    for name, tensor in old.model.state_dict().items():
        if "wte" not in name and "lm_head" not in name:
            assert torch.equal(tensor, model.state_dict()[name]), name
    assert model.lm_head.weight.data_ptr() == model.transformer.wte.weight.data_ptr()


def test_a_new_item_starts_near_its_title() -> None:
    for old in (None, champion()):
        model = starting_model(
            NEW, {"0": "blue kettle", "Z": "blue kettle"}, SMALL, 2, champion=old
        )
        rows = rows_by_name(model, NEW)
        title = model.transformer.wte.weight[NEW.encode_text("blue kettle")].mean(0).detach()
        for name in ("<|item:0|>", "<|item:Z|>"):
            assert torch.cosine_similarity(rows[name], title, 0) > 0.9
        assert not torch.equal(rows["<|item:0|>"], rows["<|item:Z|>"])


def test_items_met_together_start_near_each_other() -> None:
    pasts = [["A", "B", "gone"], ["B", "A"], ["0", "Z"], ["Z", "0"]] * 2
    model = starting_model(NEW, {}, SMALL, 2, pasts=pasts)
    rows = rows_by_name(model, NEW)

    def near(first: str, second: str) -> float:
        pair = rows[f"<|item:{first}|>"], rows[f"<|item:{second}|>"]
        return float(torch.cosine_similarity(*pair, 0))

    assert near("A", "B") > near("A", "0") + 0.5
    assert near("0", "Z") > near("0", "B") + 0.5
    # A champion knows better: its rows are carried over untouched.
    old = champion()
    carried = rows_by_name(starting_model(NEW, {}, SMALL, 2, pasts=pasts, champion=old), NEW)
    assert torch.equal(carried["<|item:A|>"], rows_by_name(old.model, OLD)["<|item:A|>"])


def test_a_champion_of_another_shape_is_not_used() -> None:
    wider = Model(n_layer=1, n_head=1, n_embd=16, n_positions=32, text_vocab_size=280)
    model = starting_model(NEW, {}, wider, 2, champion=champion())
    fresh = starting_model(NEW, {}, wider, 2)
    for name, tensor in fresh.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])


def test_a_base_model_keeps_its_words_and_network(tmp_path: Path) -> None:
    base = load_base_model(str(save_tiny_base(tmp_path, n_embd=16)))
    vocabulary = build_vocabulary(
        ["A"], ["en"], [], text_vocab_size=0, base_tokenizer=base.tokenizer
    )
    model = starting_model(vocabulary, {"A": "a quiet kettle"}, SMALL, 1, base=base)
    n_text = base.model.config.vocab_size
    assert torch.equal(
        model.transformer.wte.weight[:n_text], base.model.transformer.wte.weight[:n_text]
    )
    for name, tensor in base.model.state_dict().items():
        if "wte" not in name and "lm_head" not in name:
            assert torch.equal(tensor, model.state_dict()[name]), name
    assert model.config.vocab_size == vocabulary.size
    assert model.config.resid_pdrop == SMALL.dropout


def test_the_seed_decides_and_the_process_is_left_alone() -> None:
    state = torch.random.get_rng_state()
    first, second = (starting_model(NEW, {"A": "red"}, SMALL, 5) for _ in range(2))
    assert torch.equal(first.transformer.wte.weight, second.transformer.wte.weight)
    other = starting_model(NEW, {"A": "red"}, SMALL, 6)
    assert not torch.equal(first.transformer.wte.weight, other.transformer.wte.weight)
    assert torch.equal(torch.random.get_rng_state(), state)
