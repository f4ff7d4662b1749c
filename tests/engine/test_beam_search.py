"""Items of several tokens: ours is the library's generate, and every item enumerated."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from pipeline.engine.beam_search import Normalise, best_in_order
from pipeline.engine.exclusions import Exclusions, Integers, exclusions, no_exclusions
from pipeline.engine.item_trie import ItemTrie
from pipeline.engine.ranker import PROMPT_FAILED, SCORES_NOT_FINITE, Ranker, Ranking
from pipeline.model.prompt import Prompt

VOCABULARY = 60
K = 6


@dataclass(frozen=True)
class Case:
    """A random model, items of L tokens, histories of mixed length, what nobody may get."""

    model: GPT2LMHeadModel
    tokens_NL: Integers
    prompts: list[Prompt]
    excluded: Exclusions

    def ranker(self, beams: int | None, normalise: Normalise = Normalise.ALLOWED) -> Ranker:
        return Ranker(self.model, self.tokens_NL, 0, beams=beams, normalise=normalise)

    def rank(self, ranker: Ranker, k: int = K, max_rows: int = 256) -> Ranking:
        return ranker.rank(list(self.prompts), self.excluded, k, max_rows)

    def allowed(self, user: int) -> list[int]:
        return np.setdiff1d(
            np.arange(len(self.tokens_NL)), self.excluded.pairs_of(np.array([user]))[1]
        ).tolist()


def random_model(seed: int, **config: object) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(
        GPT2Config(
            **{
                "vocab_size": VOCABULARY,
                "n_layer": 2,
                "n_head": 2,
                "n_embd": 16,
                "n_positions": 64,
                **config,
            }
        )
    ).eval()
    with torch.no_grad():
        for weights in model.parameters():
            # Wider than GPT-2's own start, so that scores differ by more than rounding.
            weights.add_(torch.randn_like(weights) * 0.3)
    return model


def random_case(
    seed: int, n_levels: int, n_items: int = 70, n_excluded: int = 60, **config: object
) -> Case:
    rng = np.random.default_rng(seed)
    # Codes of different levels overlap, and prefixes are shared unevenly.
    codes = np.minimum(rng.geometric(0.12, (20 * n_items, n_levels)), 50)
    tokens_NL = np.unique(codes, axis=0)
    tokens_NL = rng.permutation(tokens_NL)[:n_items]
    prompts = [
        Prompt(rng.integers(0, VOCABULARY, n).tolist(), rng.integers(0, VOCABULARY, n).tolist())
        for n in (1, 2, 2, 7, 7, 19, 40)
    ]
    # The first user may get anything, the last very little.
    users = np.concatenate(
        [rng.integers(1, len(prompts) - 1, n_excluded), np.full(len(tokens_NL) - 3, 6)]
    )
    items = np.concatenate(
        [rng.integers(0, len(tokens_NL), n_excluded), rng.permutation(len(tokens_NL))[3:]]
    )
    return Case(
        random_model(seed, **config), tokens_NL, prompts, exclusions(users, items, len(prompts))
    )


def log_probabilities(model: GPT2LMHeadModel, prompt: Prompt, item: Integers) -> list[torch.Tensor]:
    """The slow way: a full forward pass a token; the whole vocabulary's log-probabilities."""
    tokens, types = list(prompt.token_ids), list(prompt.type_ids)
    steps = []
    for token in item.tolist():
        with torch.inference_mode():
            logits_V = model(
                input_ids=torch.tensor([tokens]), token_type_ids=torch.tensor([types])
            ).logits[0, -1]
        steps.append(logits_V.log_softmax(dim=0))
        tokens.append(token)
        types.append(prompt.type_ids[-1])
    return steps


def enumerated(case: Case, user: int, normalise: Normalise, prior_N: np.ndarray) -> np.ndarray:
    """Every allowed item's score from its definition; -inf for the others."""
    allowed = case.allowed(user)
    scores_N = np.full(len(case.tokens_NL), -np.inf)
    for item in allowed:
        score = 0.0
        steps = log_probabilities(case.model, case.prompts[user], case.tokens_NL[item])
        for level, step_V in enumerate(steps):
            prefix = case.tokens_NL[item][:level]
            shares = [n for n in allowed if (case.tokens_NL[n][:level] == prefix).all()]
            children = sorted({int(case.tokens_NL[n][level]) for n in shares})
            token = int(case.tokens_NL[item][level])
            logits = {child: float(step_V[child]) for child in children}
            if normalise is Normalise.VOCABULARY:
                score += logits[token]
                continue
            for child in children:
                below = [
                    n
                    for n in range(len(case.tokens_NL))
                    if (case.tokens_NL[n][:level] == prefix).all()
                    and case.tokens_NL[n][level] == child
                ]
                logits[child] += float(np.log(np.exp(prior_N[below]).mean()))
            total = np.logaddexp.reduce(list(logits.values()))
            score += logits[token] - total
        if normalise is Normalise.VOCABULARY:
            score += prior_N[item]
        scores_N[item] = score
    return scores_N


@pytest.mark.parametrize(
    ("seed", "n_levels", "normalise"),
    [
        (seed, n_levels, normalise)
        for seed, n_levels in ((1, 1), (2, 2), (3, 3))
        for normalise in Normalise
    ],
)
@pytest.mark.parametrize("with_prior", [False, True])
def test_following_every_prefix_is_scoring_every_item(
    seed: int, n_levels: int, normalise: Normalise, with_prior: bool
) -> None:
    case = random_case(seed, n_levels, n_items=20, n_excluded=24)
    n, n_items = len(case.prompts), len(case.tokens_NL)
    rng = np.random.default_rng(seed)
    prior_UN = rng.normal(0, 2, (n, n_items)) * (rng.random((n, n_items)) < 0.3) * with_prior
    found = case.ranker(None, normalise).rank(
        list(case.prompts),
        case.excluded,
        n_items,
        256,
        prior_UN=scipy.sparse.csr_array(prior_UN) if with_prior else None,
    )
    assert not found.errors
    for user in (0, 3, 5, 6):
        scores_N = enumerated(case, user, normalise, prior_UN[user])
        there = found.items_UK[user] >= 0
        items = found.items_UK[user][there]
        assert sorted(items) == case.allowed(user)
        np.testing.assert_allclose(found.scores_UK[user][there], scores_N[items], atol=1e-4)
        assert (np.diff(found.scores_UK[user][there]) <= 0).all()
        if normalise is Normalise.ALLOWED:
            assert np.exp(found.scores_UK[user][there]).sum() == pytest.approx(1, abs=1e-5)


def library_beams(case: Case, user: int, n_beams: int) -> list[tuple[tuple[int, ...], float]]:
    """Transformers' generate with a prefix function, as it is used today."""
    prompt = case.prompts[user]
    n_levels = case.tokens_NL.shape[1]
    children: dict[tuple[int, ...], set[int]] = {}
    for item in case.allowed(user):
        for level in range(n_levels):
            prefix = tuple(case.tokens_NL[item][:level].tolist())
            children.setdefault(prefix, set()).add(int(case.tokens_NL[item][level]))

    def allowed_tokens(batch_id: int, sent: torch.Tensor) -> list[int]:
        return sorted(children.get(tuple(sent[len(prompt) :].tolist()), {0}))

    with torch.inference_mode():
        made = case.model.generate(
            input_ids=torch.tensor([prompt.token_ids]),
            token_type_ids=torch.tensor([prompt.type_ids]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            num_beams=n_beams,
            num_return_sequences=n_beams,
            max_new_tokens=n_levels,
            min_new_tokens=n_levels,
            length_penalty=0.0,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            prefix_allowed_tokens_fn=allowed_tokens,
            output_scores=True,
            return_dict_in_generate=True,
        )
    tokens = made.sequences[:, len(prompt) :].tolist()
    return [
        (tuple(row), score)
        for row, score in zip(tokens, made.sequences_scores.tolist(), strict=True)
        if score > -1e8  # below are the library's fillers
    ]


@pytest.mark.parametrize(
    ("seed", "n_levels", "config"),
    [
        (11, 1, {}),
        (12, 2, {}),
        (13, 3, {}),
        (14, 3, {"scale_attn_by_inverse_layer_idx": True, "n_layer": 3}),
        (15, 4, {"activation_function": "relu", "n_layer": 1, "n_inner": 24}),
    ],
)
def test_beams_are_the_librarys(seed: int, n_levels: int, config: dict[str, object]) -> None:
    """Same items, same order, scores within 1e-4, whether the search cuts prefixes or not."""
    case = random_case(seed, n_levels, **config)
    found = case.rank(case.ranker(K, Normalise.VOCABULARY))
    cut = 0
    for user in range(len(case.prompts)):
        library = library_beams(case, user, K)
        n = min(K, len(case.allowed(user)))
        assert [tuple(case.tokens_NL[item].tolist()) for item in found.items_UK[user][:n]] == [
            tokens for tokens, _ in library[:n]
        ]
        np.testing.assert_allclose(
            found.scores_UK[user][:n], [score for _, score in library[:n]], atol=1e-4
        )
        assert (found.items_UK[user][n:] == -1).all()
        cut += not np.array_equal(
            found.items_UK[user], case.rank(case.ranker(None, Normalise.VOCABULARY)).items_UK[user]
        )
    # What the test is about: beams that lost something to their width.
    assert cut > 0 or n_levels == 1


@pytest.mark.parametrize("normalise", list(Normalise))
@pytest.mark.parametrize("n_levels", [1, 3])
def test_batched_is_one_at_a_time(
    n_levels: int, normalise: Normalise, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = random_case(21, n_levels)
    ranker = case.ranker(K, normalise)
    together, alone = case.rank(ranker), case.rank(ranker, max_rows=1)
    monkeypatch.setattr("pipeline.engine.ranker.MAX_LOGITS", 900)  # few users a step
    parts = case.rank(ranker, max_rows=3)
    for other in (alone, parts):
        assert other.items_UK.tolist() == together.items_UK.tolist()
        np.testing.assert_allclose(other.scores_UK, together.scores_UK, atol=1e-5)


def test_exactly_k_allowed_items_however_narrow_the_beam() -> None:
    """Prefixes whose items are all excluded would be dead ends."""
    for seed in range(3):
        case = random_case(30 + seed, 3, n_items=200, n_excluded=700)
        for k in (1, 2, 5, 40):
            found = case.rank(case.ranker(k), k)
            for user in range(len(case.prompts)):
                items = found.items_UK[user][found.items_UK[user] >= 0].tolist()
                assert len(items) == len(set(items)) == min(k, len(case.allowed(user)))
                assert set(items) <= set(case.allowed(user))


def test_one_level_is_the_one_token_engine() -> None:
    case = random_case(41, 1)
    flat = Ranker(case.model, case.tokens_NL[:, 0], 0)
    assert case.rank(flat).items_UK.tolist() == case.rank(case.ranker(K)).items_UK.tolist()


def test_a_prior_moves_an_item_to_the_front_of_its_users_list() -> None:
    case = random_case(42, 3)
    ranker = case.ranker(K)
    last = case.allowed(2)[-1]
    prior = scipy.sparse.csr_array(
        (np.array([40.0]), (np.array([2]), np.array([last]))), shape=(7, len(case.tokens_NL))
    )
    plain = case.rank(ranker)
    moved = ranker.rank(list(case.prompts), case.excluded, K, 256, prior_UN=prior)
    assert moved.items_UK[2, 0] == last
    assert plain.items_UK[2, 0] != last
    others = [0, 1, 3, 4, 5, 6]
    assert moved.items_UK[others].tolist() == plain.items_UK[others].tolist()


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        (
            scipy.sparse.csr_array(np.zeros((7, 3))),
            r"shape \(7, 3\); expected 7 users and 70 items",
        ),
        (scipy.sparse.csr_array(np.full((7, 70), -np.inf)), "not finite"),
    ],
)
def test_a_prior_that_cannot_be_meant_is_refused(prior: scipy.sparse.csr_array, said: str) -> None:
    case = random_case(43, 2)
    with pytest.raises(ValueError, match=said):
        case.ranker(K).rank(list(case.prompts), no_exclusions(7), K, 256, prior_UN=prior)


def test_a_bias_is_a_prior_of_everybody_s() -> None:
    case = random_case(46, 1)
    bias_N = np.random.default_rng(46).normal(0, 3, len(case.tokens_NL))
    prior = scipy.sparse.csr_array(np.tile(bias_N, (7, 1)))
    asked = (list(case.prompts), case.excluded, K, 256)
    biased = Ranker(case.model, case.tokens_NL[:, 0], 0, bias_N=bias_N).rank(*asked)
    favoured = case.ranker(K).rank(*asked, prior_UN=prior)
    assert biased.items_UK.tolist() == favoured.items_UK.tolist()
    assert biased.items_UK.tolist() != case.rank(case.ranker(K)).items_UK.tolist()
    np.testing.assert_allclose(biased.scores_UK, favoured.scores_UK, atol=1e-5)


@pytest.mark.parametrize(
    ("levels", "bias_N", "said"),
    [
        (1, np.zeros(3), r"shape \(3,\); expected 44 items"),
        (2, np.zeros(70), "of one token, not of 2"),
        (1, np.full(44, np.nan), "not finite"),
    ],
)
def test_a_bias_that_cannot_be_meant_is_refused(levels: int, bias_N: np.ndarray, said: str) -> None:
    case = random_case(47, levels)
    with pytest.raises(ValueError, match=said):
        Ranker(case.model, case.tokens_NL, 0, bias_N=bias_N)


def test_a_prompt_without_room_for_the_items_tokens_is_its_users_error() -> None:
    case = random_case(44, 3)
    full, fits = Prompt([1] * 63, [1] * 63), Prompt([1] * 62, [1] * 62)
    found = case.ranker(K).rank([full, fits], no_exclusions(2), K, 8)
    assert found.errors == {0: PROMPT_FAILED}
    assert (found.items_UK[1] >= 0).all()


def test_logits_that_are_not_numbers_on_a_later_step_give_no_list() -> None:
    case = random_case(45, 2, n_excluded=0)
    ranker = case.ranker(None)
    broken = int(np.setdiff1d(case.tokens_NL[:, 1], case.tokens_NL[:, 0])[0])
    with torch.no_grad():
        case.model.transformer.wte.weight[broken] = torch.nan
    prompts = [Prompt([1], [1])]
    found = ranker.rank([*prompts], no_exclusions(1), K, 8)
    assert found.errors == {0: SCORES_NOT_FINITE}


def test_two_items_of_the_same_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match=r"numbers \[1, 3\] \(\[4, 5\]\)"):
        ItemTrie(np.array([[1, 2], [4, 5], [4, 6], [4, 5]]), torch.device("cpu"))


def test_equal_scores_are_taken_by_key() -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        scores = rng.integers(-2, 3, 9).astype(float)
        keys = rng.permutation(9)
        for k in (1, 3, 9, 11):
            _, columns = best_in_order(torch.tensor(scores)[None], k, torch.from_numpy(keys)[None])
            expected = sorted(range(9), key=lambda n: (-scores[n], keys[n]))[:k]
            assert columns[0].tolist() == expected


def test_ties_are_broken_in_item_order_across_prefixes() -> None:
    """A model without weights finds every item equally likely given its prefix's siblings."""
    model = random_model(5)
    with torch.no_grad():
        for weights in model.parameters():
            weights.zero_()
    tokens = np.array(list(itertools.product([9, 3, 7], [8, 2], [5, 1])))
    shuffled = np.random.default_rng(1).permutation(tokens)
    found = Ranker(model, shuffled, 0).rank([Prompt([1], [1])], no_exclusions(1), 12, 8)
    assert found.items_UK[0].tolist() == list(range(12))
    assert found.scores_UK[0].tolist() == pytest.approx([-np.log(12)] * 12)
