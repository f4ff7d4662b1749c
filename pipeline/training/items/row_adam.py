"""AdamW over a large matrix of which a step touches few rows: the same weights, without the rest.

AdamW moves every row at every step, also those without a gradient: by what is left of their
momentum, and by weight decay. Of a table of 100,000 items that costs several times what the network
costs (docs/experiments/training.md). Here a row that no step touches waits; when it is next read it
is brought to where AdamW would have it by now. Without gradients both moments shrink by constant
factors, so what a row would have moved is its momentum times one number of the step that last
touched it.

Guarantees: what `take` returns and what `catch_up` leaves is AdamW's weight, but for `eps` and the
order of decay and moves within the steps that were waited (a test compares them).

Shapes: R rows, D width, U rows of a step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

EPS = 1e-8
# After so many steps without a gradient a row's momentum is below a millionth of what it was.
STEPS_OF_MOMENTUM = 400


class RowAdam:
    """A matrix whose rows are learned, and AdamW's state of them.

    Args:
        weight: changed in place; in no other optimiser.
    """

    def __init__(
        self, weight: nn.Parameter, *, betas: tuple[float, float], weight_decay: float
    ) -> None:
        self.weight = weight
        self.betas = betas
        self.weight_decay = weight_decay
        self.n_steps = 0
        self._first_RD = torch.zeros_like(weight, requires_grad=False)
        self._second_RD = torch.zeros_like(weight, requires_grad=False)
        self._last_R = torch.zeros(len(weight), dtype=torch.int64, device=weight.device)
        # By the step that touched a row last: how far its momentum went since, and the logarithm of
        # what decay has left of every weight by that step.
        self._went = np.zeros(1)
        self._decayed = np.zeros(1)
        self._taken: list[tuple[torch.Tensor, torch.Tensor]] = []

    @torch.no_grad()
    def take(self, rows_U: torch.Tensor) -> torch.Tensor:
        """These rows (each once) as a leaf, `rows_UD`; its gradient counts in the next `step`."""
        self._bring(rows_U)
        rows_UD = self.weight.detach().index_select(0, rows_U).requires_grad_()
        self._taken.append((rows_U, rows_UD))
        return rows_UD

    @torch.no_grad()
    def gradient(self, *, of_all: bool) -> nn.Parameter | None:
        """The gradient of what was taken since the last step, as that of a parameter.

        Args:
            of_all: of every row, as processes need it that sum theirs.
        """
        taken = [(rows_U, some.grad) for rows_U, some in self._taken if some.grad is not None]
        self._taken = []
        if of_all:
            rows_U = torch.arange(len(self.weight), device=self.weight.device)
            self._bring(rows_U)
        elif len(taken) == 1:  # one batch: what was read and its gradient, as they are
            ((rows_U, gradient_UD),) = taken
        elif taken:
            rows_U = torch.unique(torch.cat([some for some, _ in taken]))
        else:
            return None
        if of_all or len(taken) > 1:
            gradient_UD = self.weight.new_zeros(len(rows_U), self.weight.shape[1])
            for some_U, some_UD in taken:
                gradient_UD.index_add_(0, torch.searchsorted(rows_U, some_U), some_UD)
        whole = nn.Parameter(self.weight.detach().index_select(0, rows_U))
        whole.grad = gradient_UD
        self._taken = [(rows_U, whole)]
        return whole

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step of AdamW, with the gradient that `gradient` returned (as it is by now)."""
        first, second = self.betas
        self.n_steps += 1
        n = self.n_steps
        factor = rate * math.sqrt(1 - second**n) / (1 - first**n)
        self._went = np.append(self._went, 0.0)
        since = max(0, n - STEPS_OF_MOMENTUM)
        ages = n - np.arange(since, n)
        self._went[since:n] += factor * (first / math.sqrt(second)) ** ages
        kept = math.log1p(-rate * self.weight_decay)
        self._decayed = np.append(self._decayed, self._decayed[-1] + kept)
        for rows_U, whole in self._taken:
            assert whole.grad is not None  # `gradient` set it
            first_UD = self._first_RD.index_select(0, rows_U).lerp_(whole.grad, 1 - first)
            second_UD = self._second_RD.index_select(0, rows_U).mul_(second)
            second_UD.addcmul_(whole.grad, whole.grad, value=1 - second)
            self._first_RD.index_copy_(0, rows_U, first_UD)
            self._second_RD.index_copy_(0, rows_U, second_UD)
            spread_UD = second_UD.sqrt_().div_(math.sqrt(1 - second**n)).add_(EPS)
            moved_UD = whole.detach().mul_(1 - rate * self.weight_decay)
            moved_UD.addcdiv_(first_UD, spread_UD, value=-rate / (1 - first**n))
            self.weight.index_copy_(0, rows_U, moved_UD)
            self._last_R.index_fill_(0, rows_U, n)
        self._taken = []

    @torch.no_grad()
    def catch_up(self) -> None:
        """Bring every row to where it is by now: before the whole matrix is read."""
        self._bring(torch.arange(len(self.weight), device=self.weight.device))

    def _bring(self, rows_U: torch.Tensor) -> None:
        last_U = self._last_R.index_select(0, rows_U)
        waits_U = last_U < self.n_steps
        rows_U, last_U = rows_U[waits_U], last_U[waits_U]
        if not len(rows_U):
            return
        device = self.weight.device
        at_U = last_U.cpu().numpy()
        went_U1 = torch.from_numpy(self._went[at_U]).to(device, torch.float32)[:, None]
        left = np.exp(self._decayed[-1] - self._decayed[at_U])
        left_U1 = torch.from_numpy(left).to(device, torch.float32)[:, None]
        age_U1 = (self.n_steps - last_U).to(torch.float32)[:, None]
        first_UD = self._first_RD.index_select(0, rows_U)
        second_UD = self._second_RD.index_select(0, rows_U)
        self._second_RD.index_copy_(0, rows_U, second_UD * self.betas[1] ** age_U1)
        pull_UD = first_UD / second_UD.sqrt_().add_(EPS)
        self._first_RD.index_copy_(0, rows_U, first_UD.mul_(self.betas[0] ** age_U1))
        moved_UD = self.weight.index_select(0, rows_U).mul_(left_U1)
        moved_UD.sub_(pull_UD.mul_(went_U1))
        self.weight.index_copy_(0, rows_U, moved_UD)
        self._last_R.index_fill_(0, rows_U, self.n_steps)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the weights, for a checkpoint."""
        return {
            "n_steps": self.n_steps,
            "first": self._first_RD,
            "second": self._second_RD,
            "last": self._last_R,
            "went": torch.from_numpy(self._went),
            "decayed": torch.from_numpy(self._decayed),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.n_steps = saved["n_steps"]
        self._first_RD.copy_(saved["first"])
        self._second_RD.copy_(saved["second"])
        self._last_R.copy_(saved["last"])
        self._went, self._decayed = saved["went"].numpy(), saved["decayed"].numpy()
        self._taken = []


def gradients(tables: Sequence[RowAdam], *, of_all: bool) -> list[nn.Parameter]:
    """Of every table that a step has touched."""
    found = [table.gradient(of_all=of_all) for table in tables]
    return [whole for whole in found if whole is not None]
