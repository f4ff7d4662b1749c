"""Greedy text after a prompt: one prompt pass, then one token at a time over a KV cache.

Only text tokens and `end` can come out: the vocabulary is projected onto nothing else. Prompts
are grouped by exact length, so that no row is padded and no mask is needed; a finished row leaves
the cache as soon as it ends. Guarantees: a prompt's text does not depend on what it is batched
with beyond float rounding.

Gives up: sampling, a static cache, refilling a batch from the queue.

Shapes: B rows still being written, T tokens, D width, W words (text tokens and `end`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from transformers import DynamicCache, GPT2LMHeadModel

from pipeline.generation.batches import MAX_TOKENS
from pipeline.generation.progress import unheard
from pipeline.model.prompt import Prompt
from pipeline.model.vocabulary import Vocabulary


class Continuer:
    """A model that goes on writing."""

    def __init__(self, model: GPT2LMHeadModel, vocabulary: Vocabulary) -> None:
        self.model = model
        self.vocabulary = vocabulary
        self.device = model.lm_head.weight.device
        self.end = vocabulary.control["end"]
        self.text_type = vocabulary.control["text"]
        # Text tokens and `end` are the first ids, without a gap (see the vocabulary).
        self.words_WD = model.lm_head.weight.detach()[: self.end + 1]

    def write(
        self,
        prompts: Sequence[Prompt],
        max_new_tokens: int,
        max_rows: int,
        done: Callable[[int], None] = unheard,
    ) -> list[list[int]]:
        """Token ids of each prompt's continuation, without `end`, in the order of the prompts.

        A prompt that leaves no room below the model's `n_positions` gets an empty continuation.
        """
        texts: list[list[int]] = [[] for _ in prompts]
        for rows in _equal_lengths(prompts, max_rows):
            room = self.model.config.n_positions - len(prompts[rows[0]])
            self._write_batch(prompts, rows, min(max_new_tokens, room), texts)
            done(len(rows))
        return texts

    @torch.inference_mode()
    def least_likelihoods(
        self, prompts: Sequence[Prompt], texts: Sequence[Sequence[int]], max_rows: int
    ) -> list[float]:
        """How likely each text's least likely token was, `end` not counted; 1 for no text.

        Rounded, so that what a text is batched with does not decide between two of them.
        """
        whole = [
            Prompt([*prompt.token_ids, *text], [*prompt.type_ids, *[self.text_type] * len(text)])
            for prompt, text in zip(prompts, texts, strict=True)
        ]
        least = [1.0] * len(whole)
        for rows in _equal_lengths(whole, max_rows):
            hidden_BTD = self.model.transformer(
                input_ids=torch.tensor([whole[row].token_ids for row in rows], device=self.device),
                token_type_ids=torch.tensor(
                    [whole[row].type_ids for row in rows], device=self.device
                ),
            ).last_hidden_state
            for hidden_TD, row in zip(hidden_BTD, rows, strict=True):
                text = torch.tensor(texts[row], device=self.device)
                if len(text):
                    logits_TW = hidden_TD[-len(text) - 1 : -1] @ self.words_WD.T
                    likely_T = logits_TW.softmax(dim=1).gather(1, text[:, None])
                    least[row] = round(likely_T.min().item(), 4)
        return least

    @torch.inference_mode()
    def _write_batch(
        self, prompts: Sequence[Prompt], rows: list[int], n_new: int, texts: list[list[int]]
    ) -> None:
        if n_new <= 0:
            return
        length = len(prompts[rows[0]])
        token_ids_BT = torch.tensor([prompts[row].token_ids for row in rows], device=self.device)
        type_ids_BT = torch.tensor([prompts[row].type_ids for row in rows], device=self.device)
        cache = DynamicCache(config=self.model.config)
        row_B = torch.tensor(rows)
        written_BT = torch.full((len(rows), n_new), self.end, device=self.device)
        alive_B = torch.arange(len(rows), device=self.device)
        positions_T = torch.arange(length, device=self.device)
        for step in range(n_new):
            hidden_BTD = self.model.transformer(
                input_ids=token_ids_BT,
                token_type_ids=type_ids_BT,
                position_ids=positions_T.expand(len(alive_B), -1),
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state
            next_B = (hidden_BTD[:, -1] @ self.words_WD.T).argmax(dim=1)
            written_BT[alive_B, step] = next_B
            goes_on_B = next_B != self.end
            if not bool(goes_on_B.all()):
                alive_B, next_B = alive_B[goes_on_B], next_B[goes_on_B]
                if not len(alive_B):
                    break
                cache.batch_select_indices(goes_on_B.nonzero()[:, 0])
            token_ids_BT = next_B[:, None]
            type_ids_BT = torch.full_like(token_ids_BT, self.text_type)
            positions_T = torch.tensor([length + step], device=self.device)
        for row, tokens in zip(row_B.tolist(), written_BT.tolist(), strict=True):
            texts[row] = tokens[: tokens.index(self.end)] if self.end in tokens else tokens


def _equal_lengths(prompts: Sequence[Prompt], max_rows: int) -> Iterator[list[int]]:
    """Places of prompts of one length each, at most `max_rows` together, shortest first."""
    by_length: dict[int, list[int]] = {}
    for row, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(row)
    for length in sorted(by_length):
        rows = by_length[length]
        step = max(1, min(max_rows, MAX_TOKENS // max(1, length)))
        yield from (rows[start : start + step] for start in range(0, len(rows), step))
