"""Other precisions than the reference: near it, and as independent of the batch."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from pipeline.engine.exclusions import no_exclusions
from pipeline.engine.precision import CACHED_ROWS, Precision, affine
from pipeline.engine.ranker import Ranker, Ranking
from pipeline.engine.text_writer import TextWriter
from pipeline.model.checkpoint import Checkpoint
from pipeline.model.prompt import reason_prompt
from tests.generation_shop import N_ITEMS, random_prompts

# How far a score of a random model may be from float32's, twice what was seen; scores of one user
# there are 2.8 apart or more.
FAR = {Precision.BFLOAT16: 0.05, Precision.INT8: 0.1}
OTHERS = sorted(FAR)
LENGTHS = (0, 1, 5, 9, 9, 20, 33)


def weights(n_inputs: int, n_outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    weight_DO = torch.randn(n_inputs, n_outputs, generator=random) * 0.05
    return weight_DO, torch.randn(n_outputs, generator=random)


def test_whole_numbers_come_near_the_product_and_need_no_batch() -> None:
    weight_DO, bias_O = weights(96, 64)
    weight_DO[:, 7] = 0.0
    product = affine(weight_DO, bias_O, Precision.INT8)
    states_ND = torch.randn(2 * CACHED_ROWS + 3, 96, generator=torch.Generator().manual_seed(2))
    states_ND[0] = 0.0
    states_ND[1] *= 1e6
    found_NO = product(states_ND)
    exact_NO = states_ND @ weight_DO + bias_O
    spread_N1 = (exact_NO - bias_O).abs().amax(dim=1, keepdim=True)
    assert ((found_NO - exact_NO).abs() <= 0.03 * spread_N1 + 1e-6).all()
    assert (found_NO - exact_NO).abs().max() > 0
    for row in (0, 1, 5, CACHED_ROWS, 2 * CACHED_ROWS + 2):
        assert torch.equal(product(states_ND[row : row + 1])[0], found_NO[row])


_ONES = """
import torch
from pipeline.engine.precision import Precision, affine
product = affine(torch.full((768, 64), 0.05), None, Precision.INT8)
print((product(torch.ones(4, 768)) / 38.4 - 1).abs().max().item())
"""


@pytest.mark.parametrize("instructions", ["AVX512_CORE_VNNI", "AVX2"])
def test_processors_that_add_in_sixteen_bits_give_the_same(instructions: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", _ONES],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": instructions},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(found.stdout) < 1e-5


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_stays_none(value: float) -> None:
    states_ND = torch.ones(3, 96)
    states_ND[1, 4] = value
    found_NO = affine(*weights(96, 64), Precision.INT8)(states_ND)
    assert torch.isfinite(found_NO).all(dim=1).tolist() == [True, False, True]


def ranked(checkpoint: Checkpoint, precision: Precision, rows: int, *, long: bool) -> Ranking:
    """All items by their scores; `long`: two tokens each, so that beams go on."""
    tokens = checkpoint.vocabulary.item_token_ids
    if long:
        tokens = np.stack([tokens[np.arange(N_ITEMS) // 8], tokens], axis=1)
    ranker = Ranker(checkpoint.model, tokens, 0, precision=precision)
    prompts = random_prompts(checkpoint, LENGTHS)
    return ranker.rank(prompts, no_exclusions(len(prompts)), N_ITEMS, rows)


def scores_by_item(ranking: Ranking) -> np.ndarray:
    return np.take_along_axis(ranking.scores_UK, ranking.items_UK.argsort(axis=1), axis=1)


@pytest.mark.parametrize("long", [False, True], ids=["one token", "two tokens"])
@pytest.mark.parametrize("precision", OTHERS)
def test_scores_are_near_the_references_and_alone_as_together(
    checkpoint: Checkpoint, precision: Precision, long: bool
) -> None:
    reference = scores_by_item(ranked(checkpoint, Precision.FLOAT32, 256, long=long))
    found = ranked(checkpoint, precision, 256, long=long)
    difference = np.abs(scores_by_item(found) - reference)
    assert 1e-6 < difference.max() < FAR[precision]
    alone = ranked(checkpoint, precision, 1, long=long)
    atol = 1e-5 if precision is Precision.INT8 else FAR[precision]
    np.testing.assert_allclose(scores_by_item(alone), scores_by_item(found), atol=atol)


@pytest.mark.parametrize("precision", OTHERS)
def test_texts_begin_as_the_references(checkpoint: Checkpoint, precision: Precision) -> None:
    vocabulary = checkpoint.vocabulary
    prompts = [
        reason_prompt(vocabulary, item_id, ["soft", "brush"], "en")
        for item_id in vocabulary.item_ids[:16]
    ]
    reference = TextWriter(checkpoint.model, vocabulary).write(prompts, 6, 4)
    found = TextWriter(checkpoint.model, vocabulary, precision).write(prompts, 6, 4)
    same = [ours[:1] == theirs[:1] for ours, theirs in zip(found, reference, strict=True)]
    assert sum(same) >= 14
