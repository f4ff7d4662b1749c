"""The engine: the same as transformers' own forward pass and topk, whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.engine.beam_search import best_in_order
from pipeline.engine.exclusions import Exclusions, exclusions, no_exclusions
from pipeline.engine.ranker import (
    MODEL_FAILED,
    NO_ALLOWED_ITEM,
    PROMPT_FAILED,
    SCORES_NOT_FINITE,
    Ranker,
)
from pipeline.model.checkpoint import Checkpoint
from pipeline.model.prompt import Prompt, history_prompt

K = 7


@pytest.fixture
def ranker(checkpoint: Checkpoint) -> Ranker:
    return Ranker(checkpoint.model, checkpoint.vocabulary.item_token_ids, 0)


def prompts_of(checkpoint: Checkpoint, lengths: list[int]) -> list[Prompt]:
    rng = np.random.default_rng(5)
    vocabulary = checkpoint.vocabulary
    return [
        history_prompt(
            vocabulary,
            [str(i) for i in rng.choice(vocabulary.item_ids, n)],
            [str(t) for t in rng.choice(["view", "purchase"], n)],
            ["soft brush"] if n % 2 else [],
            "en",
            50,
        )
        for n in lengths
    ]


def random_exclusions(n_users: int, n_items: int, n: int, seed: int = 6) -> Exclusions:
    rng = np.random.default_rng(seed)
    return exclusions(rng.integers(0, n_users, n), rng.integers(0, n_items, n), n_users)


LENGTHS = [0, 1, 1, 5, 9, 9, 9, 20, 33, 2]


def test_batched_is_one_at_a_time(checkpoint: Checkpoint, ranker: Ranker) -> None:
    prompts = prompts_of(checkpoint, LENGTHS)
    excluded = random_exclusions(len(prompts), 40, 100)
    together = ranker.rank(list(prompts), excluded, K, 256)
    for user, prompt in enumerate(prompts):
        rows, items = excluded.pairs_of(np.array([user]))
        alone = ranker.rank([prompt], exclusions(rows, items, 1), K, 1)
        assert alone.items_UK[0].tolist() == together.items_UK[user].tolist()
        np.testing.assert_allclose(alone.scores_UK[0], together.scores_UK[user], atol=1e-5)


def test_equals_the_librarys_forward_and_topk(checkpoint: Checkpoint, ranker: Ranker) -> None:
    prompts = prompts_of(checkpoint, LENGTHS)
    excluded = random_exclusions(len(prompts), 40, 150)
    found = ranker.rank(list(prompts), excluded, K, 4)
    for user, prompt in enumerate(prompts):
        with torch.inference_mode():
            logits_V = checkpoint.model(
                input_ids=torch.tensor([prompt.token_ids]),
                token_type_ids=torch.tensor([prompt.type_ids]),
            ).logits[0, -1]
        first = checkpoint.vocabulary.first_item_token
        allowed = np.setdiff1d(np.arange(40), excluded.pairs_of(np.array([user]))[1])
        log_probabilities = logits_V[first + torch.from_numpy(allowed)].log_softmax(dim=0)
        best = log_probabilities.topk(K)
        assert found.items_UK[user].tolist() == allowed[best.indices.numpy()].tolist()
        np.testing.assert_allclose(found.scores_UK[user], best.values.numpy(), atol=1e-5)


def test_a_catalogue_too_large_for_one_projection_gives_the_same(
    checkpoint: Checkpoint, ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = prompts_of(checkpoint, LENGTHS)
    excluded = random_exclusions(len(prompts), 40, 100)
    whole = ranker.rank(list(prompts), excluded, K, 256)
    monkeypatch.setattr("pipeline.engine.ranker.MAX_LOGITS", 90)  # two users at a time
    parts = ranker.rank(list(prompts), excluded, K, 256)
    assert parts.items_UK.tolist() == whole.items_UK.tolist()


def test_scores_are_log_probabilities_of_the_allowed_items(
    checkpoint: Checkpoint, ranker: Ranker
) -> None:
    prompts = prompts_of(checkpoint, [3, 8])
    excluded = random_exclusions(2, 40, 30)
    found = ranker.rank(list(prompts), excluded, 40, 8)
    there = found.items_UK >= 0
    assert there.sum(axis=1).tolist() == (40 - excluded.counts_U).tolist()
    np.testing.assert_allclose(
        np.where(there, np.exp(found.scores_UK), 0).sum(axis=1), 1, rtol=1e-5
    )
    for user in range(2):
        listed = found.items_UK[user][there[user]]
        assert len(set(listed)) == len(listed)
        assert not set(listed) & set(excluded.pairs_of(np.array([user]))[1])


def test_one_item_and_none(checkpoint: Checkpoint) -> None:
    one = Ranker(checkpoint.model, checkpoint.vocabulary.item_token_ids[4:5], 0)
    prompts = list(prompts_of(checkpoint, [3, 4]))
    owns_it = exclusions(np.array([1]), np.array([0]), 2)
    found = one.rank([*prompts], owns_it, 3, 8)
    assert found.items_UK.tolist() == [[0, -1, -1], [-1, -1, -1]]
    assert found.scores_UK[0, 0] == pytest.approx(0.0)
    assert found.errors == {1: NO_ALLOWED_ITEM}
    none = Ranker(checkpoint.model, checkpoint.vocabulary.item_token_ids[:0], 0)
    assert none.rank([*prompts], no_exclusions(2), 3, 8).errors == dict.fromkeys(
        (0, 1), NO_ALLOWED_ITEM
    )


def test_a_bad_prompt_is_an_error_of_its_user_alone(checkpoint: Checkpoint, ranker: Ranker) -> None:
    good = prompts_of(checkpoint, [5])[0]
    n_ids = checkpoint.vocabulary.size
    bad = [
        None,
        Prompt([], []),
        Prompt([1] * 65, [1] * 65),  # longer than n_positions
        Prompt([n_ids], [1]),
        Prompt([1], [-1]),
        Prompt([1, 2], [1]),
    ]
    alone = ranker.rank([good], no_exclusions(1), K, 8)
    found = ranker.rank([good, *bad, good], no_exclusions(8), K, 8)
    assert found.errors == dict.fromkeys(range(1, 7), PROMPT_FAILED)
    for user in (0, 7):
        assert found.items_UK[user].tolist() == alone.items_UK[0].tolist()


def test_a_model_that_fails_on_one_row_serves_the_others(
    checkpoint: Checkpoint, ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = prompts_of(checkpoint, LENGTHS)
    poison = 3
    whole = ranker.decoder.prefill

    def out_of_memory(batch, keep):  # type: ignore[no-untyped-def]
        if poison in batch.users_B:
            raise RuntimeError("not enough memory")
        return whole(batch, keep)

    expected = ranker.rank(list(prompts), no_exclusions(10), K, 256)
    monkeypatch.setattr(ranker.decoder, "prefill", out_of_memory)
    found = ranker.rank(list(prompts), no_exclusions(10), K, 256)
    assert found.errors == {poison: MODEL_FAILED}
    others = [user for user in range(10) if user != poison]
    assert found.items_UK[others].tolist() == expected.items_UK[others].tolist()


def test_scores_that_are_not_numbers_give_no_list(checkpoint: Checkpoint) -> None:
    tokens = checkpoint.vocabulary.item_token_ids
    prompts = list(prompts_of(checkpoint, [3, 4]))
    with torch.no_grad():
        checkpoint.model.transformer.wte.weight[int(tokens[9])] = torch.nan
    ranker = Ranker(checkpoint.model, tokens, 0)
    # The second user may not get the broken item, so that it cannot break their list.
    found = ranker.rank([*prompts], exclusions(np.array([1]), np.array([9]), 2), K, 8)
    assert found.errors.get(0) == SCORES_NOT_FINITE
    assert found.items_UK[0].tolist() == [-1] * K


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(-2, 2), min_size=9, max_size=9), min_size=1, max_size=4),
    st.integers(1, 11),
)
def test_equal_scores_are_taken_in_item_order(rows: list[list[int]], k: int) -> None:
    scores_BN = torch.tensor(rows, dtype=torch.float32)
    scores_BN[scores_BN == -2] = -torch.inf
    values_BK, columns_BK = best_in_order(scores_BN, k)
    for row, values, columns in zip(scores_BN.tolist(), values_BK, columns_BK, strict=True):
        expected = sorted(range(9), key=lambda n: (-row[n], n))[:k]
        n_real = sum(row[n] > -float("inf") for n in expected)
        assert columns.tolist()[:n_real] == expected[:n_real]
        assert values.tolist() == [row[n] for n in expected]
