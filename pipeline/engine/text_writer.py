"""Text after a prompt: one prompt pass, then one token at a time over a KV cache of fixed size.

Only text tokens and `end` can come out: states are projected onto these alone. Prompts wait in a
queue, shortest first; a finished row leaves its place in the cache to the next prompts.
The likeliest token is taken each time. Guarantees: a prompt's text does
not depend on what it is batched with beyond float rounding.

Shapes: B prompts, R rows being written, T tokens, D width, W words (text tokens and `end`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import GPT2LMHeadModel

from pipeline.engine.batches import MAX_TOKENS, padded_batch
from pipeline.engine.decoder import Decoder
from pipeline.engine.kv_cache import PromptKeys, RowKeys
from pipeline.engine.precision import Precision, affine
from pipeline.model.prompt import Prompt
from pipeline.model.vocabulary import Vocabulary
from pipeline.progress import no_progress

# The most that the cache of one call may take.
MAX_CACHE_BYTES = 1024 * 1024 * 1024
# So large a share of the rows must be finished before the next prompts take their places: a pass
# over a few prompts would leave the processor waiting.
REFILL_SHARE = 0.25


@dataclass
class _Rows:
    """The rows being written: the prompt of each, its tokens so far, how many it may have."""

    prompt_R: torch.Tensor  # -1: a finished row's place
    last_R: torch.Tensor
    types_R: torch.Tensor
    written_R: torch.Tensor
    room_R: torch.Tensor


class TextWriter:
    """A model that continues prompts with text."""

    def __init__(
        self,
        model: GPT2LMHeadModel,
        vocabulary: Vocabulary,
        precision: Precision = Precision.FLOAT32,
    ) -> None:
        self.model = model
        self.vocabulary = vocabulary
        self.decoder = Decoder(model, precision)
        self.device = self.decoder.device
        self.end = vocabulary.control["end"]
        self.text_type = vocabulary.control["text"]
        # Text tokens and `end` are the first ids, without a gap (see the vocabulary).
        self.words_WD = self.decoder.words_VD[: self.end + 1]
        # Words are chosen, not scored: int8 is exact enough; bfloat16 makes too many scores equal.
        words_precision = precision if precision is Precision.INT8 else Precision.FLOAT32
        self.logits = affine(self.words_WD.T, None, words_precision)

    @torch.inference_mode()
    def write(
        self,
        prompts: Sequence[Prompt],
        max_new_tokens: int,
        max_rows: int,
        done: Callable[[int], None] = no_progress,
    ) -> list[list[int]]:
        """Token ids of each prompt's continuation, without `end`, in the order of the prompts.

        A prompt that leaves no room below the model's `n_positions` gets an empty continuation.
        """
        lengths_U = np.array([len(prompt) for prompt in prompts], dtype=np.int64)
        room_U = np.minimum(max_new_tokens, self.decoder.n_positions - lengths_U)
        texts_UN = np.full((len(prompts), max(max_new_tokens, 1)), self.end, dtype=np.int64)
        order = np.argsort(lengths_U, kind="stable")
        queue = deque(int(user) for user in order if room_U[user] > 0)
        done(len(prompts) - len(queue))
        if queue:
            writer = _WriteQueue(self, prompts, room_U=room_U, texts_UN=texts_UN)
            writer.write(queue, max_rows, done)
        return [_before(text, self.end) for text in texts_UN.tolist()]

    @torch.inference_mode()
    def least_likelihoods(
        self, prompts: Sequence[Prompt], texts: Sequence[Sequence[int]], max_rows: int
    ) -> list[float]:
        """The probability of each text's least likely token, `end` not counted; 1 for no text.

        Rounded, so that the other texts of a batch do not decide between two texts.
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


class _WriteQueue:
    """One call of `TextWriter.write`: a queue of prompts, a cache, and the rows in it."""

    def __init__(
        self,
        text_writer: TextWriter,
        prompts: Sequence[Prompt],
        *,
        room_U: np.ndarray,
        texts_UN: np.ndarray,
    ) -> None:
        self.text_writer = text_writer
        self.decoder = text_writer.decoder
        self.prompts = prompts
        self.texts_UN = texts_UN
        device = text_writer.device
        self.room_U = torch.from_numpy(room_U).to(device)

    def write(self, queue: deque[int], max_rows: int, done: Callable[[int], None]) -> None:
        """Write every prompt's text into `texts_UN`."""
        width = min(
            self.decoder.n_positions,
            max(len(self.prompts[user]) for user in queue) + self.texts_UN.shape[1],
        )
        fits = max(1, MAX_CACHE_BYTES // (width * self.decoder.token_bytes))
        n_rows = min(max_rows, fits, len(queue))
        rows = self._no_rows(n_rows)
        cache: RowKeys | None = None
        while True:
            free_F = (rows.prompt_R < 0).nonzero()[:, 0]
            n_alive = len(rows.prompt_R) - len(free_F)
            if queue and (not n_alive or len(free_F) >= REFILL_SHARE * len(rows.prompt_R)):
                cache = self._admit(queue, free_F, rows, cache, width)
            elif not n_alive:
                return
            elif not queue and n_alive <= len(rows.prompt_R) // 2:
                assert cache is not None
                alive_R = (rows.prompt_R >= 0).nonzero()[:, 0]
                cache.keep(alive_R)
                rows = _Rows(*(column[alive_R] for column in vars(rows).values()))
            else:
                assert cache is not None
                hidden_RD = self.decoder.decode_rows(rows.last_R, rows.types_R, cache)
                self._take(hidden_RD, torch.arange(len(rows.prompt_R)), rows)
            done(self._retire(rows, cache))

    def _admit(
        self,
        queue: deque[int],
        free_F: torch.Tensor,
        rows: _Rows,
        cache: RowKeys | None,
        width: int,
    ) -> RowKeys:
        """Read the next prompts into the places that are free; take their first tokens."""
        budget = max(1, min(len(free_F), MAX_TOKENS // max(1, len(self.prompts[queue[0]]))))
        users_B = np.array([queue.popleft() for _ in range(min(budget, len(queue)))])
        batch = padded_batch(self.prompts, users_B, self.text_writer.end)
        hidden_BD, keys = self.decoder.prefill(batch, keep=True)
        assert isinstance(keys, PromptKeys)
        cache = cache or RowKeys(keys, len(rows.prompt_R), width)
        rows_B = free_F[: len(users_B)]
        cache.admit(rows_B, keys)
        prompt_B = torch.from_numpy(users_B).to(rows.prompt_R.device)
        rows.prompt_R[rows_B] = prompt_B
        # The text goes on in the type of the prompt's last token, as in transformers' generate.
        rows.types_R[rows_B] = keys.last_types_B
        rows.written_R[rows_B] = 0
        rows.room_R[rows_B] = self.room_U[prompt_B]
        self._take(hidden_BD, rows_B, rows)
        return cache

    def _take(self, hidden_BD: torch.Tensor, rows_B: torch.Tensor, rows: _Rows) -> None:
        """Choose the next token of some rows and write it down."""
        logits_BW = self.text_writer.logits(hidden_BD)
        prompt_B, written_B = rows.prompt_R[rows_B], rows.written_R[rows_B]
        alive_B = prompt_B >= 0
        next_B = _likeliest(logits_BW)
        rows.last_R[rows_B] = next_B
        rows.written_R[rows_B] = written_B + alive_B
        prompts, places = prompt_B[alive_B].cpu().numpy(), written_B[alive_B].cpu().numpy()
        self.texts_UN[prompts, places] = next_B[alive_B].cpu().numpy()

    def _retire(self, rows: _Rows, cache: RowKeys | None) -> int:
        """Free the places of rows that ended or are full; how many there were."""
        full_R = rows.written_R >= rows.room_R
        over_R = (rows.prompt_R >= 0) & (full_R | (rows.last_R == self.text_writer.end))
        rows.prompt_R[over_R] = -1
        if cache is not None:
            # A free place is computed along with the others; let it stay short.
            cache.lengths_R[rows.prompt_R < 0] = 0
        return int(over_R.sum())

    def _no_rows(self, n_rows: int) -> _Rows:
        def filled(value: int) -> torch.Tensor:
            return torch.full((n_rows,), value, dtype=torch.long, device=self.text_writer.device)

        return _Rows(filled(-1), filled(0), filled(0), filled(0), filled(1))


def _likeliest(logits_BW: torch.Tensor) -> torch.Tensor:
    """The first of each row's largest."""
    if logits_BW.device.type == "cpu" and logits_BW.dtype == torch.float32:
        # NumPy's is vectorised: 0.05 ms, not 0.77, for 128 rows of 4,001
        # (docs/experiments/generation.md).
        return torch.from_numpy(logits_BW.numpy().argmax(axis=1))
    return logits_BW.argmax(dim=1)


def _before(text: list[int], end: int) -> list[int]:
    return text[: text.index(end)] if end in text else text


def _equal_lengths(prompts: Sequence[Prompt], max_rows: int) -> Iterator[list[int]]:
    """Places of prompts of one length each, at most `max_rows` together, shortest first."""
    by_length: dict[int, list[int]] = {}
    for row, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(row)
    for length in sorted(by_length):
        rows = by_length[length]
        step = max(1, min(max_rows, MAX_TOKENS // max(1, length)))
        yield from (rows[start : start + step] for start in range(0, len(rows), step))
