"""Descriptions as features, and a table that is its own rows plus what they say, until folded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel

from pipeline.model.catalogue import CatalogueItem
from pipeline.model.checkpoint import small_config
from pipeline.model.item_features import description_features, feature_matrix
from pipeline.model.vocabulary import build_vocabulary
from pipeline.settings import Training
from pipeline.training.items.item_descriptions import DescribedTable
from pipeline.training.ranking_phase import fit_ranking
from pipeline.training.rows.training_rows import TrainingRow

V = build_vocabulary(["a", "b", "c", "d"], ["en"], ["kettle"] * 3, text_vocab_size=280)
ITEMS = [
    CatalogueItem("a", "Red kettle", "Acme", "Kitchen > Kettles", True),
    CatalogueItem("b", "Blue kettle", "Acme", "Kitchen > Kettles", True),
    CatalogueItem("c", "Red car", "", "Toys", True),
    CatalogueItem("gone", "Red Red kettle", "Acme", "Toys", True),
]


def model() -> GPT2LMHeadModel:
    torch.manual_seed(3)
    config = small_config(V, n_layer=1, n_head=2, n_embd=8, n_positions=16, dropout=0.1)
    return GPT2LMHeadModel(config).eval()


def test_features_by_hand() -> None:
    assert description_features(ITEMS[0]) == {
        "red": 1,
        "kettle": 1,
        "brand acme": 2,
        "category kitchen": 2,
        "category kettles": 2,
    }
    chinese = description_features(CatalogueItem("x", "静音水壶 1L 壶", "", "", True))
    assert chinese == {"静音": 1, "音水": 1, "水壶": 1, "1l": 1, "壶": 1}
    assert not description_features(CatalogueItem("x", "", "", "", True))


def test_rows_are_of_the_vocabulary_and_of_length_one() -> None:
    matrix = feature_matrix(ITEMS, V.item_ids)
    # Two items of the vocabulary each: red, kettle, brand acme, category kitchen and kettles.
    # "toys" and "car" are of one item only, for "gone" is no item of the vocabulary.
    assert matrix.shape == (4, 5)
    lengths = np.sqrt(matrix.multiply(matrix).sum(axis=1)).ravel()
    np.testing.assert_allclose(np.asarray(lengths).ravel(), [1, 1, 1, 0])
    assert feature_matrix([], V.item_ids).shape == (4, 0)


def test_the_table_is_the_sum_and_folds_back_bit_for_bit() -> None:
    gpt2 = model()
    features = feature_matrix(ITEMS, V.item_ids)
    described = DescribedTable(gpt2, V, features)
    before = gpt2.transformer.wte.weight.detach().clone()
    assert torch.equal(described.table_VD(), before)
    with torch.no_grad():
        described.vectors_FD.normal_()
    said = features @ described.vectors_FD.detach().numpy()
    expected = before.clone()
    expected[V.first_item_token :] += torch.tensor(said, dtype=torch.float32)
    with described.folded() as folded:
        torch.testing.assert_close(folded.transformer.wte.weight.detach(), expected)
    assert torch.equal(gpt2.transformer.wte.weight, before)


def test_gradients_reach_rows_and_features_as_through_a_dense_product() -> None:
    gpt2 = model()
    features = feature_matrix(ITEMS, V.item_ids)
    described = DescribedTable(gpt2, V, features)
    weight = torch.randn(V.size, 8)
    (described.table_VD() * weight).sum().backward()
    own, said = gpt2.transformer.wte.weight.grad, described.vectors_FD.grad
    assert own is not None
    assert said is not None
    torch.testing.assert_close(own, weight)
    dense = torch.tensor(features.toarray().T, dtype=torch.float32)
    torch.testing.assert_close(said, dense @ weight[V.first_item_token :])


def test_what_is_learned_of_an_item_moves_its_like() -> None:
    """An item that is never met follows the one whose words it shares, and only by them."""
    history, kind = V.control["history"], V.control["text"]
    a, b, c = (V.first_item_token + n for n in range(3))
    row = TrainingRow([history, c], [kind, V.control["view"]], [0, 1], [c, a], False)
    settings = Training(max_epochs=15, batch_tokens=64, learning_rate=1e-2, sampled_items=0)

    def likeness(with_features: bool) -> float:
        gpt2 = model()
        features = feature_matrix(ITEMS, V.item_ids) if with_features else None
        fit_ranking(gpt2, V, [row] * 8, None, settings=settings, seed=1, features_IF=features)
        rows = gpt2.transformer.wte.weight.detach()
        return float(torch.cosine_similarity(rows[a], rows[b], 0))

    assert likeness(True) > likeness(False) + 0.3


@pytest.mark.parametrize("sampled", [0, 2])
def test_the_same_seed_gives_the_same_weights(sampled: int) -> None:
    history, kind = V.control["history"], V.control["text"]
    first = V.first_item_token
    rows = [TrainingRow([history], [kind], [0], [first + n % 3], False) for n in range(12)]
    settings = Training(max_epochs=2, batch_tokens=4, sampled_items=sampled)
    made = []
    for _ in range(2):
        gpt2 = model()
        fit_ranking(
            gpt2,
            V,
            rows,
            None,
            settings=settings,
            seed=1,
            features_IF=feature_matrix(ITEMS, V.item_ids),
        )
        made.append(gpt2.state_dict())
    for name, tensor in made[0].items():
        assert torch.equal(tensor, made[1][name]), name
