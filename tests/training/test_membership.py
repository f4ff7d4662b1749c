"""What a model gives away: little of what it learned once, all of what it knows by heart."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel

from pipeline.model.checkpoint import small_config
from pipeline.model.prompt import reason_prompt
from pipeline.model.vocabulary import build_vocabulary
from pipeline.settings import Training
from pipeline.training.loop.target_loss import target_loss
from pipeline.training.membership import (
    REFERENCES,
    auc_of_lower,
    canary_rows,
    measure_membership,
    row_losses,
)
from pipeline.training.rows.batches import make_batch
from pipeline.training.rows.training_rows import TrainingRow, text_row
from pipeline.training.text_phase import fit_text

WORDS = ["warm", "quiet", "light", "strong", "small", "round", "bright", "sturdy"]
V = build_vocabulary(["A", "B"], ["en"], [" ".join(WORDS)] * 3, text_vocab_size=300)


def sentences(n: int, seed: int) -> list[TrainingRow]:
    draw = np.random.default_rng(seed)
    prompt = reason_prompt(V, "A", ["warm"], "en")
    return [text_row(V, prompt, V.encode_text(" ".join(draw.choice(WORDS, 6)))) for _ in range(n)]


def model() -> GPT2LMHeadModel:
    torch.manual_seed(3)
    config = small_config(V, n_layer=1, n_head=2, n_embd=32, n_positions=64, dropout=0.0)
    return GPT2LMHeadModel(config).eval()


def test_auc_by_hand() -> None:
    """Pairs (first, second) where the first is lower: 3 and a tie of 6."""
    assert auc_of_lower(np.array([1.0, 2.0, 5.0]), np.array([2.0, 4.0])) == pytest.approx(3.5 / 6)
    assert auc_of_lower(np.zeros(3), np.ones(2)) == 1.0


def test_a_rows_loss_does_not_depend_on_its_batch() -> None:
    gpt2, rows = model(), sentences(9, 1)
    alone = [target_loss(gpt2, V, make_batch([row], V.control["pad"])).item() for row in rows]
    assert row_losses(gpt2, V, rows, 64) == pytest.approx(alone, rel=1e-4)
    assert row_losses(gpt2, V, rows, 10_000) == pytest.approx(alone, rel=1e-4)


def test_what_is_known_by_heart_shows_and_what_is_not_known_does_not() -> None:
    learned, unseen = sentences(30, 1), sentences(30, 4)
    canaries = canary_rows(learned, 2, seed=5)
    assert canary_rows(learned, 2, seed=5) == canaries

    def measured(gpt2: GPT2LMHeadModel) -> tuple[float, float]:
        found = measure_membership(gpt2, V, learned, unseen, canaries, batch_tokens=4096, seed=5)
        assert found is not None
        assert found.exposure_bits is not None
        return found.low, found.exposure_bits

    gpt2 = model()
    low, exposure = measured(gpt2)
    assert low < 0.5
    assert exposure < 6
    settings = Training(text_epochs=60, batch_tokens=128, learning_rate=1e-2)
    # Held out are the learned ones: the epoch that knows them best is kept.
    by_heart = [*learned, *canaries]
    assert fit_text(gpt2, V, by_heart, by_heart, [], settings=settings, seed=1) is not None
    low, exposure = measured(gpt2)
    assert low > 0.8
    assert exposure == pytest.approx(math.log2(REFERENCES), abs=0.6)


def test_copies_are_not_taken_for_unseen_ones() -> None:
    learned = sentences(5, 1)
    assert measure_membership(model(), V, learned, learned, [], batch_tokens=64, seed=1) is None
    assert measure_membership(model(), V, [], learned, [], batch_tokens=64, seed=1) is None
