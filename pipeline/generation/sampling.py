"""Chance that belongs to a user: the same draw whoever they are batched with, and when.

A row's draws come from a generator keyed by (seed, run_date, user_id), 128 bits of it, and are
made before its first token: they depend on no batch, order, shard, worker or machine.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn.

    Args:
        temperature: what logits are divided by; above 0.
        top_k: only so many of the likeliest tokens can be drawn; 0: all of them.
    """

    seed: int
    run_date: dt.date
    temperature: float = 1.0
    top_k: int = 0

    def __post_init__(self) -> None:
        if not self.temperature > 0 or self.top_k < 0:
            raise ValueError(
                f"sampling with temperature {self.temperature} and top_k {self.top_k}: expected "
                "a temperature above 0 and a top_k of 0 or more"
            )

    def draws(self, user_id: str, n: int) -> NDArray[np.float64]:
        """A user's n numbers in [0, 1)."""
        text = json.dumps([self.seed, self.run_date.isoformat(), user_id])
        key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
        return np.random.Generator(np.random.Philox(key=key)).random(n)

    def choose(self, logits_RW: torch.Tensor, draws_R: torch.Tensor) -> torch.Tensor:
        """The token of each row whose share of [0, 1), in the order of ids, holds the draw."""
        logits_RW = logits_RW.double() / self.temperature
        if 0 < self.top_k < logits_RW.shape[1]:
            least_R1 = logits_RW.topk(self.top_k, dim=1).values[:, -1:]
            logits_RW = logits_RW.masked_fill(logits_RW < least_R1, -torch.inf)
        ends_RW = logits_RW.softmax(dim=1).cumsum(dim=1)
        # Rounding may leave the last end below 1; a draw of 0 must not find a token of share 0.
        at_R1 = (draws_R[:, None] * ends_RW[:, -1:]).clamp(max=1.0)
        chosen_R = torch.searchsorted(ends_RW, at_R1, right=True)[:, 0]
        last_R = (ends_RW < ends_RW[:, -1:]).sum(dim=1)
        return torch.minimum(chosen_R, last_R)
