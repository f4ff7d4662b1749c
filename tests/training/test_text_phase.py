"""Text before items: what is held out, when it stops, and that it repeats."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from transformers import GPT2LMHeadModel

from pipeline.errors import GateError
from pipeline.model.checkpoint import small_config
from pipeline.model.prompt import reason_prompt
from pipeline.model.vocabulary import build_vocabulary
from pipeline.settings import Training
from pipeline.training.rows.training_rows import TrainingRow, text_row
from pipeline.training.text_phase import HELD_OUT, fit_text, split_text, text_loss

V = build_vocabulary(["A", "B"], ["en"], ["kettle"] * 3, text_vocab_size=300)
SETTINGS = Training(text_epochs=6, batch_tokens=64, learning_rate=1e-2)


def text_rows(n: int) -> list[TrainingRow]:
    return [
        text_row(V, reason_prompt(V, "AB"[k % 2], [f"w{k}"], "en"), V.encode_text("kettle ok"))
        for k in range(n)
    ]


def item_rows(n: int) -> list[TrainingRow]:
    history, first = V.control["history"], V.first_item_token
    kind = V.control["text"]
    return [
        TrainingRow([history, first], [kind, V.control["view"]], [0, 1], [first, first + 1], False)
        for _ in range(n)
    ]


def model() -> GPT2LMHeadModel:
    torch.manual_seed(3)
    config = small_config(V, n_layer=1, n_head=2, n_embd=8, n_positions=64, dropout=0.1)
    return GPT2LMHeadModel(config).eval()


def test_a_row_is_held_out_whatever_stands_beside_it() -> None:
    rows = text_rows(400)
    kept, held = split_text([*rows, *item_rows(3)])
    assert len(kept) + len(held) == 400
    assert 0.5 < len(held) * HELD_OUT / 400 < 2
    assert split_text(rows[::-1])[1] == held[::-1]
    assert split_text(held) == ([], held)


def test_of_a_large_catalogue_few_titles_are_measured() -> None:
    rows = [dataclasses.replace(row, about=n) for n, row in enumerate(text_rows(400))]
    texts = text_rows(400)
    kept, held = split_text([*rows, *texts], 5 * HELD_OUT)
    assert len([row for row in held if row.about is not None]) == 5
    assert [row for row in held if row.about is None] == split_text(texts)[1]
    assert len(kept) + len(held) == 800
    again = split_text(rows[::-1], 5 * HELD_OUT)[1]
    assert sorted(row.about for row in again) == [
        row.about for row in held if row.about is not None
    ]


def test_held_out_text_is_learned_and_the_best_epoch_kept() -> None:
    gpt2, kept, held = model(), text_rows(40)[4:], text_rows(4)
    before = text_loss(gpt2, V, [held])
    fitted = fit_text(gpt2, V, kept, held, item_rows(9), settings=SETTINGS, seed=1)
    losses = [line.score for line in fitted.epochs]
    assert fitted.best == min(losses) == losses[fitted.best_epoch - 1] < before
    assert text_loss(gpt2, V, [held]) == pytest.approx(fitted.best, rel=1e-4)
    assert not gpt2.training


def test_the_same_seed_gives_the_same_weights_and_leaves_the_random_state() -> None:
    kept, held = text_rows(40)[4:], text_rows(4)
    torch.manual_seed(8)
    state = torch.random.get_rng_state()
    weights = []
    for _ in range(2):
        gpt2 = model()
        torch.random.set_rng_state(state)
        fit_text(gpt2, V, kept, held, item_rows(9), settings=SETTINGS, seed=1)
        assert torch.equal(torch.random.get_rng_state(), state)
        weights.append(gpt2.transformer.wte.weight.detach().clone())
    assert torch.equal(*weights)


def test_it_stops_when_unseen_text_gets_worse() -> None:
    kept, held = text_rows(40)[4:], text_rows(4)
    # What is held out says the opposite of what is learned.
    other = [text_row(V, reason_prompt(V, "A", ["w"], "en"), V.encode_text("zzz zz")) for _ in held]
    settings = Training(text_epochs=40, batch_tokens=64, learning_rate=3e-2)
    fitted = fit_text(model(), V, kept, other, [], settings=settings, seed=1)
    assert len(fitted.epochs) == fitted.best_epoch + 3 < 40


def test_nothing_to_learn_or_to_measure_by_leaves_the_model_as_it_was() -> None:
    gpt2 = model()
    start = gpt2.transformer.wte.weight.detach().clone()
    for kept, held in (([], text_rows(3)), (text_rows(3), [])):
        fitted = fit_text(gpt2, V, kept, held, item_rows(3), settings=SETTINGS, seed=1)
        assert fitted is None
    assert torch.equal(gpt2.transformer.wte.weight, start)


def test_a_loss_that_is_no_number_ends_it() -> None:
    gpt2 = model()
    with torch.no_grad():
        gpt2.transformer.wte.weight[0] = float("nan")
    with pytest.raises(GateError, match=r"learning_rate"):
        fit_text(gpt2, V, text_rows(5), text_rows(2), [], settings=SETTINGS, seed=1)
