"""The learning rate of a step: a linear warm-up, then a cosine down to 0; lower for a champion.

The schedule is transformers' `get_cosine_schedule_with_warmup` (Loshchilov & Hutter, SGDR, 2017).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from transformers import get_cosine_schedule_with_warmup

from pipeline.settings import Training


def warm_up_then_cosine(
    optimizer: torch.optim.Optimizer, warmup_share: float, n_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The schedule of a phase of `n_steps`; at least one step warms up."""
    schedule: torch.optim.lr_scheduler.LRScheduler = get_cosine_schedule_with_warmup(
        optimizer, max(1, round(warmup_share * n_steps)), n_steps
    )
    return schedule


def refined(training: Training) -> Training:
    """Settings that refine a champion: the rate of a start from nothing would unlearn it first."""
    return replace(training, learning_rate=training.learning_rate * training.warm_rate)
