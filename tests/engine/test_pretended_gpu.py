"""Lists and texts where the model lies on a GPU: nothing mixes devices, and the same comes out."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.sparse
import torch

from pipeline.engine.beam_search import Normalise
from pipeline.engine.exclusions import exclusions
from pipeline.engine.ranker import Ranker
from pipeline.engine.text_writer import TextWriter
from pipeline.model.checkpoint import Checkpoint
from pipeline.model.prompt import reason_prompt
from tests.engine.pretended_gpu import GPU, on_gpu, pretended_gpu
from tests.generation_shop import N_ITEMS, random_prompts


def test_it_notices_what_mixes() -> None:
    with pretended_gpu():
        there, here = torch.ones(3, device=GPU), torch.ones(3)
        assert there.device == GPU
        assert (there + 1).device == GPU
        assert there.cpu().device.type == "cpu"
        assert there.sum().item() == 3
        with pytest.raises(RuntimeError, match="on the GPU and on the processor"):
            _ = there + here


@pytest.mark.parametrize("normalise", list(Normalise))
@pytest.mark.parametrize("long", [False, True], ids=["one token", "two tokens"])
def test_lists(checkpoint: Checkpoint, long: bool, normalise: Normalise) -> None:
    prompts = random_prompts(checkpoint, (0, 1, 5, 9, 9, 20))
    tokens = checkpoint.vocabulary.item_token_ids
    if long:
        tokens = np.stack([tokens[np.arange(N_ITEMS) // 8], tokens], axis=1)
    excluded = exclusions(np.array([0, 0, 2, 3]), np.array([3, 7, 1, 39]), len(prompts))
    prior = np.zeros((len(prompts), N_ITEMS))
    prior[1, 5] = prior[4, 30] = 2.0

    def ranked(model: torch.nn.Module) -> tuple[np.ndarray, np.ndarray]:
        ranker = Ranker(model, tokens, 0, beams=4, normalise=normalise)  # type: ignore[arg-type]
        prior_UN = scipy.sparse.csr_array(prior)
        found = ranker.rank(list(prompts), excluded, 5, 4, prior_UN=prior_UN)
        assert not found.errors
        return found.items_UK, found.scores_UK

    items_UK, scores_UK = ranked(checkpoint.model)
    with pretended_gpu():
        found_UK, found_scores_UK = ranked(on_gpu(copy.deepcopy(checkpoint.model)))
    assert found_UK.tolist() == items_UK.tolist()
    np.testing.assert_allclose(found_scores_UK, scores_UK, atol=1e-5)


def test_texts(checkpoint: Checkpoint) -> None:
    vocabulary = checkpoint.vocabulary
    prompts = [
        reason_prompt(vocabulary, item_id, ["soft", "brush"][: 1 + n % 2], "en")
        for n, item_id in enumerate(vocabulary.item_ids[:9])
    ]

    def written(model: torch.nn.Module) -> tuple[list[list[int]], list[float]]:
        text_writer = TextWriter(model, vocabulary)  # type: ignore[arg-type]
        texts = text_writer.write(prompts, 6, 4)
        return texts, text_writer.least_likelihoods(prompts, texts, 4)

    texts, likely = written(checkpoint.model)
    with pretended_gpu():
        found, found_likely = written(on_gpu(copy.deepcopy(checkpoint.model)))
    assert found == texts
    assert found_likely == pytest.approx(likely, abs=1e-3)
