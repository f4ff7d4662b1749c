"""Text: the same as a full forward pass a token, whatever the batch, greedy or drawn."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
import torch

from pipeline.generation.continuation import Continuer
from pipeline.generation.sampling import Sampling
from pipeline.model.checkpoint import Checkpoint
from pipeline.model.prompt import Prompt, reason_prompt

N_NEW = 12


def prompts_of(checkpoint: Checkpoint) -> list[Prompt]:
    words = ["soft", "brush", "love", "great", "it"]
    return [
        # Groups of several rows, so that who leaves the cache matters.
        reason_prompt(checkpoint.vocabulary, item_id, words[: 1 + n % 3], "en")
        for n, item_id in enumerate(checkpoint.vocabulary.item_ids[:16])
    ]


def uncached(
    checkpoint: Checkpoint,
    prompt: Prompt,
    sampling: Sampling | None = None,
    user_id: str = "",
) -> list[int]:
    """The slow way: a full forward pass for every token, over the whole vocabulary."""
    control = checkpoint.vocabulary.control
    tokens, types = list(prompt.token_ids), list(prompt.type_ids)
    written: list[int] = []
    while len(written) < N_NEW:
        with torch.inference_mode():
            logits_V = checkpoint.model(
                input_ids=torch.tensor([tokens]), token_type_ids=torch.tensor([types])
            ).logits[0, -1]
        logits_W = logits_V[: control["end"] + 1]
        token = int(logits_W.argmax())
        if sampling is not None:
            draw = torch.from_numpy(sampling.draws(user_id, N_NEW))[len(written)]
            token = drawn(logits_W.double() / sampling.temperature, float(draw), sampling.top_k)
        if token == control["end"]:
            break
        written.append(token)
        tokens.append(token)
        types.append(control["text"])
    return written


def drawn(logits_W: torch.Tensor, draw: float, top_k: int) -> int:
    """The token whose share of [0, 1) the draw falls into, one token after the other."""
    kept = set(logits_W.topk(top_k).indices.tolist()) if top_k else set(range(len(logits_W)))
    weights = [float(w.exp()) if n in kept else 0.0 for n, w in enumerate(logits_W)]
    end = 0.0
    for token, weight in enumerate(weights):
        end += weight / sum(weights)
        if draw < end:
            return token
    raise AssertionError("shares sum to one")


def with_likely_end(checkpoint: Checkpoint) -> Checkpoint:
    """Make `end` likely enough that rows finish at different steps."""
    end = checkpoint.vocabulary.control["end"]
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        checkpoint.model.transformer.wte.weight[end] = torch.randn(16, generator=generator) * 0.5
    return checkpoint


def test_cached_in_batches_is_uncached_one_at_a_time(checkpoint: Checkpoint) -> None:
    checkpoint = with_likely_end(checkpoint)
    prompts = prompts_of(checkpoint)
    slow = [uncached(checkpoint, prompt) for prompt in prompts]
    # What the test is about: rows that end at once, in between, and not at all.
    assert len({len(text) for text in slow}) > 2
    # One at a time, places refilled from the queue, all at once.
    for rows in (1, 3, 8, 256):
        continuer = Continuer(checkpoint.model, checkpoint.vocabulary)
        assert continuer.write(prompts, N_NEW, rows) == slow


@pytest.mark.parametrize("top_k", [0, 20])
def test_a_drawn_text_belongs_to_its_user(checkpoint: Checkpoint, top_k: int) -> None:
    checkpoint = with_likely_end(checkpoint)
    prompts = prompts_of(checkpoint)
    users = [f"user-{n}" for n in range(len(prompts))]
    sampling = Sampling(7, dt.date(2026, 3, 1), temperature=1.3, top_k=top_k)
    slow = [uncached(checkpoint, p, sampling, u) for p, u in zip(prompts, users, strict=True)]
    continuer = Continuer(checkpoint.model, checkpoint.vocabulary)
    for rows in (1, 5, 256):
        assert continuer.write(prompts, N_NEW, rows, sampling=sampling, user_ids=users) == slow
    backwards = continuer.write(prompts[::-1], N_NEW, 5, sampling=sampling, user_ids=users[::-1])
    assert backwards[::-1] == slow
    same_prompt = continuer.write([prompts[0]] * 8, N_NEW, 8, sampling=sampling, user_ids=users[:8])
    assert len(set(map(tuple, same_prompt))) > 4
    for other in (Sampling(8, sampling.run_date), Sampling(7, dt.date(2026, 3, 2))):
        assert not np.allclose(other.draws("user-0", 9), sampling.draws("user-0", 9))


@pytest.mark.parametrize(("temperature", "top_k"), [(0.0, 0), (float("nan"), 0), (1.0, -1)])
def test_sampling_that_cannot_be_meant_is_refused(temperature: float, top_k: int) -> None:
    with pytest.raises(ValueError, match="expected a temperature above 0"):
        Sampling(7, dt.date(2026, 3, 1), temperature, top_k)


def test_only_text_comes_out(checkpoint: Checkpoint) -> None:
    texts = Continuer(checkpoint.model, checkpoint.vocabulary).write(
        prompts_of(checkpoint), N_NEW, 8
    )
    assert max(token for text in texts for token in text) < checkpoint.vocabulary.n_text


def test_no_room_is_an_empty_text(checkpoint: Checkpoint) -> None:
    full = Prompt([1] * 64, [1] * 64)
    nearly = Prompt([1] * 62, [1] * 62)
    texts = Continuer(checkpoint.model, checkpoint.vocabulary).write([full, nearly], N_NEW, 8)
    assert texts[0] == []
    assert len(texts[1]) <= 2


def test_progress_counts_every_prompt(checkpoint: Checkpoint) -> None:
    told: list[int] = []
    prompts = prompts_of(checkpoint)
    Continuer(checkpoint.model, checkpoint.vocabulary).write(prompts, 2, 4, told.append)
    assert np.sum(told) == len(prompts)


def test_the_least_likelihood_is_the_slow_paths(checkpoint: Checkpoint) -> None:
    checkpoint = with_likely_end(checkpoint)
    prompts = prompts_of(checkpoint)
    end = checkpoint.vocabulary.control["end"]
    texts = [[5 + n, 9, 7][: n % 4] for n in range(len(prompts))]
    slow = []
    for prompt, text in zip(prompts, texts, strict=True):
        likely = [1.0]
        for n, token in enumerate(text):
            with torch.inference_mode():
                logits_V = checkpoint.model(
                    input_ids=torch.tensor([prompt.token_ids + text[:n]]),
                    token_type_ids=torch.tensor(
                        [prompt.type_ids + [checkpoint.vocabulary.control["text"]] * n]
                    ),
                ).logits[0, -1]
            likely.append(logits_V[: end + 1].softmax(dim=0)[token].item())
        slow.append(min(likely))
    for rows in (1, 256):
        continuer = Continuer(checkpoint.model, checkpoint.vocabulary)
        fast = continuer.least_likelihoods(prompts, texts, rows)
        np.testing.assert_allclose(fast, slow, atol=6e-5)
