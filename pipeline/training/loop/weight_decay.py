"""Which parameters decay: matrices; biases and layer norms do not, as in GPT-2's own training."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


def parameter_groups(
    parameters: Iterable[nn.Parameter], weight_decay: float
) -> list[dict[str, object]]:
    """The learned parameters in two groups for an optimiser."""
    learned = [p for p in parameters if p.requires_grad]
    return [
        {"params": [p for p in learned if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.dim() < 2], "weight_decay": 0.0},
    ]
