"""Which parameters decay: matrices; biases and layer norms do not, as in GPT-2's own training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

from pipeline.training.items.row_adam import RowAdam


def parameter_groups(
    parameters: Iterable[nn.Parameter], weight_decay: float, apart: Sequence[RowAdam] = ()
) -> list[dict[str, object]]:
    """The learned parameters in two groups for an optimiser, without those learned by the row."""
    by_row = {id(table.weight) for table in apart}
    learned = [p for p in parameters if p.requires_grad and id(p) not in by_row]
    return [
        {"params": [p for p in learned if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.dim() < 2], "weight_decay": 0.0},
    ]
