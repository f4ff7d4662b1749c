"""Batches lose no row, the loss is the slow path's, the best epoch is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2LMHeadModel

from pipeline.model.checkpoint import small_config
from pipeline.model.prompt import reason_prompt
from pipeline.model.vocabulary import build_vocabulary
from pipeline.settings import Training
from pipeline.training.loop.target_loss import target_loss
from pipeline.training.ranking_phase import fit_ranking
from pipeline.training.rows.batches import bucketed, make_batch
from pipeline.training.rows.training_rows import TrainingRow, text_row

V = build_vocabulary(["A", "B", "C", "D"], ["en"], ["kettle"] * 3, text_vocab_size=300)
ITEMS = [int(token) for token in V.item_token_ids]


def item_row(n: int) -> TrainingRow:
    tokens = [V.control["history"], *(ITEMS[k % 4] for k in range(n))]
    return TrainingRow(
        tokens,
        [V.control["text"], *[V.control["view"]] * n],
        list(range(n + 1)),
        [*tokens[1:], ITEMS[n % 4]],
        False,
    )


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 200), st.integers(0, 9))
def test_every_row_is_in_one_batch_that_fits(
    lengths: list[int], batch_tokens: int, seed: int
) -> None:
    rows = [item_row(n) for n in lengths]
    batches = bucketed(rows, batch_tokens, np.random.default_rng(seed))
    assert sorted(id(row) for batch in batches for row in batch) == sorted(map(id, rows))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(map(len, batch)) <= batch_tokens


def model() -> GPT2LMHeadModel:
    torch.manual_seed(3)
    made = GPT2LMHeadModel(
        small_config(V, n_layer=2, n_head=2, n_embd=8, n_positions=64, dropout=0.0)
    )
    with torch.no_grad():
        made.transformer.wte.weight *= 20  # far from uniform, so that a wrong target shows
    return made.eval()


@pytest.mark.parametrize("is_text", [False, True])
def test_the_loss_is_transformers_own(is_text: bool) -> None:
    if is_text:
        rows = [
            text_row(V, reason_prompt(V, "A", ["red"], "en"), V.encode_text(text))
            for text in ("kettle", "a longer text", "x")
        ]
        allowed = list(range(V.control["end"] + 1))
    else:
        rows, allowed = [item_row(n) for n in (5, 0, 2)], ITEMS
    gpt2 = model()
    ours = target_loss(gpt2, V, make_batch(rows, V.control["pad"]))
    losses = []
    for row in rows:  # one row at a time, whole vocabulary, everything else masked
        logits_TV = gpt2(
            input_ids=torch.tensor([row.token_ids]), token_type_ids=torch.tensor([row.type_ids])
        ).logits[0]
        mask_V = torch.full((V.size,), -torch.inf)
        mask_V[allowed] = 0.0
        for position, target in zip(row.positions, row.targets, strict=True):
            losses.append(-torch.log_softmax(logits_TV[position] + mask_V, 0)[target])
    torch.testing.assert_close(ours, torch.stack(losses).mean(), rtol=1e-4, atol=1e-5)


def test_the_best_epoch_is_kept_and_patience_ends_it() -> None:
    gpt2 = model()
    ndcgs = iter([0.1, 0.3, 0.2, 0.25, 0.9])
    seen: list[torch.Tensor] = []

    def validation(current: GPT2LMHeadModel) -> float:
        assert not current.training
        seen.append(current.transformer.wte.weight.detach().clone())
        return next(ndcgs)

    fitted = fit_ranking(
        gpt2,
        V,
        [item_row(n) for n in range(8)],
        validation,
        settings=Training(max_epochs=10, patience=2, batch_tokens=32),
        seed=1,
    )
    assert [line.score for line in fitted.epochs] == [0.3, 0.2, 0.25]
    assert (fitted.best_epoch, fitted.best) == (1, 0.3)
    assert torch.equal(gpt2.transformer.wte.weight, seen[1])
    assert not torch.equal(seen[1], seen[3])
    assert not gpt2.training


@pytest.mark.parametrize("may_keep_start", [False, True])
def test_training_that_only_harms_leaves_a_champion_as_it_was(may_keep_start: bool) -> None:
    gpt2 = model()
    start = gpt2.transformer.wte.weight.detach().clone()
    ndcgs = iter([0.5, 0.4, 0.3, 0.2])
    fitted = fit_ranking(
        gpt2,
        V,
        [item_row(n) for n in range(8)],
        lambda _: next(ndcgs),
        settings=Training(max_epochs=9, patience=2, batch_tokens=32),
        seed=1,
        may_keep_start=may_keep_start,
    )
    assert torch.equal(gpt2.transformer.wte.weight, start) is may_keep_start
    kept = (0, 0.5) if may_keep_start else (1, 0.4)
    assert (fitted.best_epoch, fitted.best) == kept
