"""A table of which a step reads only some rows is trained to the weights of one read whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from transformers import GPT2LMHeadModel

from pipeline.model.checkpoint import small_config
from pipeline.model.prompt import reason_prompt
from pipeline.model.vocabulary import build_vocabulary
from pipeline.settings import Training
from pipeline.training.items import touched_rows
from pipeline.training.ranking_phase import fit_ranking
from pipeline.training.rows.training_rows import TrainingRow, text_row

N = 60
V = build_vocabulary([f"i{n:02d}" for n in range(N)], ["en"], ["kettle"] * 3, text_vocab_size=300)
FIRST = V.first_item_token
# Items of one tenth share a word; the last ten have none.
FEATURES = sparse.csr_matrix(
    (np.ones(N - 10), (np.arange(N - 10), np.arange(N - 10) // 10)), shape=(N, 5)
)


def rows() -> list[TrainingRow]:
    random = np.random.default_rng(4)
    found = []
    for _ in range(60):
        items = (FIRST + random.integers(0, N - 5, 6)).tolist()
        tokens = [V.control["history"], *items[:-1]]
        kinds = [V.control["text"], *[V.control["view"]] * 5]
        found.append(TrainingRow(tokens, kinds, list(range(6)), items, False, True))
    texts = [text_row(V, reason_prompt(V, "i01", ["red"], "en"), V.encode_text("ok"))] * 20
    return [*found, *texts]


def trained(*, few: bool, patch: pytest.MonkeyPatch, accumulate: int) -> GPT2LMHeadModel:
    patch.setattr(touched_rows, "MIN_ITEMS", 0 if few else 10**9)
    torch.manual_seed(3)
    gpt2 = GPT2LMHeadModel(
        small_config(V, n_layer=1, n_head=2, n_embd=8, n_positions=64, dropout=0.0)
    )
    fit_ranking(
        gpt2,
        V,
        rows(),
        None,
        settings=Training(max_epochs=4, batch_tokens=24, sampled_items=12, accumulate=accumulate),
        seed=1,
        features_IF=FEATURES,
        unmet_I=torch.arange(N) >= N - 5,
    )
    return gpt2


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_weights_are_those_of_a_table_that_is_read_whole(
    monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    whole = trained(few=False, patch=monkeypatch, accumulate=accumulate)
    few = trained(few=True, patch=monkeypatch, accumulate=accumulate)
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(few.state_dict()[name], tensor, rtol=2e-3, atol=2e-4, msg=name)
