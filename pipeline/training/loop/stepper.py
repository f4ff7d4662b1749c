"""One optimiser step: the gradients of a few batches, clipped, and a step down.

Guarantees: a step's randomness (dropout, sampled items) is keyed by the seed, the phase, the number
of the step and the process, so that a run that goes on after a kill makes the same steps; a loss or
a gradient that is no number ends training before it reaches a weight. bfloat16 where the device is
a GPU that has it; weights stay float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from pipeline.errors import BrokenModelError
from pipeline.training.items.row_adam import RowAdam, gradients
from pipeline.training.loop.process_group import ALONE, ProcessGroup
from pipeline.training.loop.tensorboard import TensorBoard
from pipeline.training.rows.batches import n_targets
from pipeline.training.rows.training_rows import TrainingRow

MAX_GRADIENT_NORM = 1.0

LossOf = Callable[[Sequence[TrainingRow]], torch.Tensor]


class Stepper:
    """An optimiser and its schedule.

    Args:
        parameters: everything that is learned.
        seed: with `phase`, the key of every step's randomness.
        phase: what is trained, in a word: for messages and TensorBoard.
        tables: matrices among the parameters that are learned by the row.
    """

    def __init__(
        self,
        parameters: Sequence[torch.nn.Parameter],
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        *,
        seed: int,
        phase: str,
        tables: Sequence[RowAdam] = (),
        group: ProcessGroup = ALONE,
        tensorboard: TensorBoard | None = None,
    ) -> None:
        self.parameters = list(parameters)
        self.tables = list(tables)
        apart = {id(table.weight) for table in self.tables}
        self._whole = [p for p in self.parameters if id(p) not in apart]
        self.optimizer = optimizer
        self.schedule = schedule
        self.seed = seed
        self.phase = phase
        self.group = group
        self.tensorboard = tensorboard
        self.n_steps = 0

    def step(self, batches: Sequence[Sequence[TrainingRow]], loss_of: LossOf, where: str) -> float:
        """Step down; returns the mean loss over the targets of all batches.

        Args:
            batches: whose gradients make one step.
            loss_of: mean loss over the targets of rows.
            where: the place, for a message.

        Raises:
            BrokenModelError: the loss or the gradients' norm is not a finite number.
        """
        self._key_randomness()
        self.optimizer.zero_grad(set_to_none=True)
        n_all = sum(n_targets(rows) for rows in batches)
        value = 0.0
        for rows in batches:
            part = self.group.part(rows)
            if part:
                with _half_precision(self.parameters[0].device):
                    loss = loss_of(part) * (n_targets(part) / n_all)
                loss.backward()  # type: ignore[no-untyped-call]
                value += loss.item()
        value = self.group.sum(value)
        self._must_be_finite(value, f"{self.phase} loss became", where)
        learned = [*self._whole, *gradients(self.tables, of_all=self.group.size > 1)]
        self.group.sum_gradients(learned)
        norm = float(torch.nn.utils.clip_grad_norm_(learned, MAX_GRADIENT_NORM))
        self._must_be_finite(norm, "gradients exploded: their norm became", where)
        rate = float(self.schedule.get_last_lr()[0])
        self.optimizer.step()
        for table in self.tables:
            table.step(rate)
        self.schedule.step()
        self.n_steps += 1
        if self.tensorboard is not None:
            for name, number in (("loss", value), ("gradient_norm", norm), ("rate", rate)):
                self.tensorboard.add(f"{self.phase}/{name}", number, self.n_steps)
        return value

    def _key_randomness(self) -> None:
        phase = int.from_bytes(self.phase.encode(), "big")
        key = np.random.SeedSequence([self.seed, phase, self.n_steps, self.group.rank])
        torch.manual_seed(int(key.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def _must_be_finite(self, value: float, what: str, where: str) -> None:
        if not math.isfinite(value):
            raise BrokenModelError(
                f"the {what} {value} in {where}; lower training.learning_rate (now "
                f"{self.optimizer.defaults['lr']}), or set training.warm_start to false if the "
                "champion's weights are at fault"
            )


def _half_precision(device: torch.device) -> torch.autocast:
    use = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=use)
