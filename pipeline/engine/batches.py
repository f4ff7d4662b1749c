"""Batches of prompts of nearly equal length, so that hardly any work is spent on padding.

Guarantees: the same prompts give the same batches in the same order; at most `max_rows` rows and
`max_tokens` tokens a batch (a single prompt may be longer); padding is at most `PADDING_SHARE`
of a batch once it has `SMALL_BATCH` rows.

Shapes: B rows of a batch, T tokens of its longest prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch

from pipeline.engine.exclusions import Integers
from pipeline.model.prompt import Prompt

MAX_TOKENS = 16384
PADDING_SHARE = 0.1
SMALL_BATCH = 32


@dataclass(frozen=True)
class Batch:
    """Prompts padded on the right. `users_B` are their places in the sequence of all prompts."""

    users_B: Integers
    token_ids_BT: torch.Tensor
    type_ids_BT: torch.Tensor
    last_B: torch.Tensor

    def __len__(self) -> int:
        return len(self.users_B)


def length_batches(
    lengths_U: Integers, users: Integers, max_rows: int, max_tokens: int = MAX_TOKENS
) -> Iterator[Integers]:
    """Split users into batches by the length of their prompts, shortest first."""
    ordered = users[np.argsort(lengths_U[users], kind="stable")]
    start, tokens = 0, 0
    for end, user in enumerate(ordered):
        rows, length = end - start + 1, int(lengths_U[user])
        padding = rows * length - (tokens + length)
        wasteful = padding > PADDING_SHARE * rows * length and rows > SMALL_BATCH
        if end > start and (rows > max_rows or rows * length > max_tokens or wasteful):
            yield ordered[start:end]
            start, tokens = end, 0
        tokens += length
    if start < len(ordered):
        yield ordered[start:]


def padded_batch(prompts: Sequence[Prompt], users_B: Integers, pad: int) -> Batch:
    """One batch as tensors."""
    chosen = [prompts[user] for user in users_B]
    lengths_B = np.fromiter((len(prompt) for prompt in chosen), dtype=np.int64, count=len(chosen))
    width = int(lengths_B.max())
    mask_BT = np.arange(width)[None, :] < lengths_B[:, None]

    def grid(lists: Iterator[list[int]]) -> torch.Tensor:
        cells = np.full(mask_BT.shape, pad, dtype=np.int64)
        cells[mask_BT] = np.fromiter(chain.from_iterable(lists), dtype=np.int64)
        return torch.from_numpy(cells)

    return Batch(
        users_B=users_B,
        token_ids_BT=grid(prompt.token_ids for prompt in chosen),
        type_ids_BT=grid(prompt.type_ids for prompt in chosen),
        last_B=torch.from_numpy(lengths_B - 1),
    )
