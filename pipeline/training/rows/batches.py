"""Training rows in batches of nearly one length, and a batch as tensors.

Shapes: B rows, T tokens, N asked positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.model.next_item import padded
from pipeline.model.prompt import Prompt
from pipeline.training.rows.training_rows import TrainingRow

Step = Sequence[Sequence[TrainingRow]]  # batches whose gradients make one step


@dataclass(frozen=True)
class Batch:
    """Rows of one kind, padded on the right, and where they are asked for what.

    `later_N` is the row's next target after the one asked for, -1 after its last; `past_N` tells
    what a user went on to from what words describe.
    """

    tokens_BT: torch.Tensor
    types_BT: torch.Tensor
    row_N: torch.Tensor
    position_N: torch.Tensor
    target_N: torch.Tensor
    later_N: torch.Tensor
    past_N: torch.Tensor
    is_text: bool

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(
            self.tokens_BT.to(device),
            self.types_BT.to(device),
            self.row_N.to(device),
            self.position_N.to(device),
            self.target_N.to(device),
            self.later_N.to(device),
            self.past_N.to(device),
            self.is_text,
        )


def make_batch(rows: Sequence[TrainingRow], pad: int) -> Batch:
    """Rows of one kind as tensors."""
    tokens_BT, types_BT = padded([Prompt(row.token_ids, row.type_ids) for row in rows], pad)
    return Batch(
        tokens_BT,
        types_BT,
        torch.tensor([n for n, row in enumerate(rows) for _ in row.positions]),
        torch.tensor([position for row in rows for position in row.positions]),
        torch.tensor([target for row in rows for target in row.targets]),
        torch.tensor([target for row in rows for target in [*row.targets[1:], -1]]),
        torch.tensor([row.is_past for row in rows for _ in row.positions]),
        rows[0].is_text,
    )


def bucketed(
    rows: Sequence[TrainingRow], batch_tokens: int, order: np.random.Generator
) -> list[list[TrainingRow]]:
    """Every row once, in batches of nearly one length, rows of one length mixed by `order`.

    A batch holds at most `batch_tokens` with its padding; a longer row is alone.
    """
    noise = order.random(len(rows))
    by_length = sorted(range(len(rows)), key=lambda n: (len(rows[n]), noise[n]))
    batches: list[list[TrainingRow]] = []
    for n in by_length:
        row = rows[n]
        if batches and len(row) * (len(batches[-1]) + 1) <= batch_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def steps_of(batches: Sequence[Sequence[TrainingRow]], accumulate: int) -> list[Step]:
    """Batches in groups that make one step each; the last group may be smaller."""
    return [batches[start : start + accumulate] for start in range(0, len(batches), accumulate)]


def n_targets(rows: Sequence[TrainingRow]) -> int:
    """How many tokens the rows ask for."""
    return sum(len(row.targets) for row in rows)
