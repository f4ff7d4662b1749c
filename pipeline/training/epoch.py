"""One pass over an epoch's batches, from wherever an earlier attempt got to; and what it runs under.

Says how far it is and how long it will take, every ten seconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipeline.training.bookmark import Bookmarks, Standing
from pipeline.training.curves import Curves
from pipeline.training.stepper import LossOf, Stepper, n_targets
from pipeline.training.team import ALONE, Team
from pipeline.training.training_rows import TrainingRow

log = logging.getLogger("nightcart")

_SECONDS_BETWEEN_LINES = 10.0

Group = Sequence[Sequence[TrainingRow]]


@dataclass(frozen=True)
class Conditions:
    """With whom a model is trained, and where it is noted how far it came."""

    team: Team = ALONE
    bookmarks: Bookmarks = field(default_factory=Bookmarks)
    curves: Curves | None = None

    def point(self, name: str, value: float, step: int) -> None:
        """A point of a curve, if curves are drawn."""
        if self.curves is not None:
            self.curves.add(name, value, step)


def train_epoch(
    stepper: Stepper,
    standing: Standing,
    groups: Sequence[Group],
    loss_of: LossOf,
    bookmarks: Bookmarks,
    *,
    counts: Callable[[Group], bool] = bool,
) -> float:
    """Make the steps that are left of `standing.epoch`; returns its mean loss per target.

    Args:
        groups: of batches, one group a step.
        counts: whether a group's loss counts in the mean.

    Raises:
        BrokenModelError: the loss or a gradient is not a finite number.
    """
    started = said = time.monotonic()
    for done, group in enumerate(groups[standing.step :], start=1):
        where = f"epoch {standing.epoch}, step {standing.step + 1} of {len(groups)}"
        value = stepper.step(group, loss_of, where)
        if counts(group):
            asked = sum(n_targets(rows) for rows in group)
            standing.loss_sum += value * asked
            standing.n_targets += asked
        standing.step += 1
        bookmarks.keep(standing, stepper)
        now = time.monotonic()
        if now - said > _SECONDS_BETWEEN_LINES:
            said = now
            left = (now - started) / done * (len(groups) - standing.step)
            log.info(
                "%s epoch %d: step %d/%d, %.0f s left of it",
                *(stepper.phase, standing.epoch, standing.step, len(groups), left),
            )
    return standing.loss_sum / max(standing.n_targets, 1)
