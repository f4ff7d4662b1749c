"""Text: the same as a full forward pass a token, whatever the batch."""

from __future__ import annotations

import numpy as np
import torch

from pipeline.engine.text_writer import TextWriter
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


def uncached(checkpoint: Checkpoint, prompt: Prompt) -> list[int]:
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
        if token == control["end"]:
            break
        written.append(token)
        tokens.append(token)
        types.append(control["text"])
    return written


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
        text_writer = TextWriter(checkpoint.model, checkpoint.vocabulary)
        assert text_writer.write(prompts, N_NEW, rows) == slow


def test_only_text_comes_out(checkpoint: Checkpoint) -> None:
    texts = TextWriter(checkpoint.model, checkpoint.vocabulary).write(
        prompts_of(checkpoint), N_NEW, 8
    )
    assert max(token for text in texts for token in text) < checkpoint.vocabulary.n_text


def test_no_room_is_an_empty_text(checkpoint: Checkpoint) -> None:
    full = Prompt([1] * 64, [1] * 64)
    nearly = Prompt([1] * 62, [1] * 62)
    texts = TextWriter(checkpoint.model, checkpoint.vocabulary).write([full, nearly], N_NEW, 8)
    assert texts[0] == []
    assert len(texts[1]) <= 2


def test_progress_counts_every_prompt(checkpoint: Checkpoint) -> None:
    finished: list[int] = []
    prompts = prompts_of(checkpoint)
    TextWriter(checkpoint.model, checkpoint.vocabulary).write(prompts, 2, 4, finished.append)
    assert np.sum(finished) == len(prompts)


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
        text_writer = TextWriter(checkpoint.model, checkpoint.vocabulary)
        fast = text_writer.least_likelihoods(prompts, texts, rows)
        np.testing.assert_allclose(fast, slow, atol=6e-5)
