"""The training loop: epochs of a phase, the best epoch's weights kept.

Two phases use it: `text_phase` and `ranking_phase`. A phase says what is trained on in each epoch,
with which loss, how an epoch is measured, which score is better and how long to wait for it.

Guarantees: on one machine's CPU with one number of threads, the same phase, model and seed give the
same weights bit for bit, whether the run was killed and went on or not; the process's own random
state is left as it was. Logs progress every ten seconds.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field

import torch
from transformers import GPT2LMHeadModel

from pipeline.training.loop.early_stopping import is_out_of_patience, keep_best
from pipeline.training.loop.process_group import ALONE, ProcessGroup
from pipeline.training.loop.stepper import LossOf, Stepper
from pipeline.training.loop.tensorboard import TensorBoard
from pipeline.training.loop.train_state import TrainCheckpoints, TrainState
from pipeline.training.rows.batches import Step, n_targets

log = logging.getLogger("nightcart")

_SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True)
class Phase:
    """What is trained, and by what it is measured.

    Args:
        plan: the steps of every epoch.
        loss: mean loss over the targets of rows.
        measure: the score of the model as it stands.
        score_name: for messages and TensorBoard, such as `validation_ndcg`.
        is_better: whether a new score (first) is better than the best so far.
        patience: epochs without a better score after which the phase ends.
        worst: what the start counts as; None: what it measures. A start that counts may come out
            again where every epoch makes it worse.
        counts: whether a step's loss counts in the epoch's mean.
        as_served: a context in which the model has the weights that would be kept.
    """

    plan: Sequence[Sequence[Step]]
    loss: LossOf
    measure: Callable[[], float]
    score_name: str
    is_better: Callable[[float, float], bool]
    patience: int
    worst: float | None = None
    counts: Callable[[Step], bool] = bool
    as_served: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def n_steps(self) -> int:
        """Steps of all epochs together."""
        return sum(map(len, self.plan))


@dataclass(frozen=True)
class RunContext:
    """With which processes a model is trained, and where its progress is stored."""

    group: ProcessGroup = ALONE
    checkpoints: TrainCheckpoints = field(default_factory=TrainCheckpoints)
    tensorboard: TensorBoard | None = None


@dataclass(frozen=True)
class EpochLog:
    """One epoch: its mean loss per target, and the score after it."""

    epoch: int
    train_loss: float
    score: float
    seconds: float


@dataclass(frozen=True)
class Trained:
    """How a phase went. Epoch 0 is what it started from.

    Args:
        best: the score of the best epoch.
        learning_rate: its highest, which the schedule warms up to.
    """

    epochs: list[EpochLog]
    best_epoch: int
    best: float
    learning_rate: float


def train_phase(
    model: GPT2LMHeadModel, phase: Phase, stepper: Stepper, context: RunContext
) -> Trained:
    """Train in place; the model ends in evaluation mode with its best epoch's weights.

    Raises:
        BrokenModelError: the loss or a gradient is not a finite number.
    """
    group, checkpoints = context.group, context.checkpoints
    state = TrainState(best=0.0, best_state=copy.deepcopy(model.state_dict()))
    if not checkpoints.restore(state, stepper):
        start = group.from_first(phase.measure)
        log.info("%s: %s %.4f before training", stepper.phase, phase.score_name, start)
        state.best = start if phase.worst is None else phase.worst
    started, first_epoch = time.monotonic(), state.epoch
    with torch.random.fork_rng(devices=[]):
        for steps in phase.plan[state.epoch - 1 :]:
            if state.done:
                break
            epoch_started, targets_before = time.monotonic(), state.n_targets
            model.train()
            loss = _train_epoch(stepper, state, steps, phase, checkpoints)
            seconds = time.monotonic() - epoch_started
            rate = (state.n_targets - targets_before) / max(seconds, 1e-9)
            with phase.as_served():
                score = group.from_first(phase.measure)
                if phase.is_better(score, state.best):
                    keep_best(state, model, score)
            seconds = round(time.monotonic() - epoch_started, 2)
            state.lines.append(asdict(EpochLog(state.epoch, loss, score, seconds)))
            if context.tensorboard is not None:
                name = f"{stepper.phase}/{phase.score_name}"
                context.tensorboard.add(name, score, stepper.n_steps)
            spent = (time.monotonic() - started) / (state.epoch + 1 - first_epoch)
            log.info(
                "%s epoch %d/%d: loss %.4f, %s %.4f, %s targets/s, at most %.0f s left",
                stepper.phase,
                state.epoch,
                len(phase.plan),
                loss,
                phase.score_name,
                score,
                f"{rate:,.0f}",
                spent * (len(phase.plan) - state.epoch),
            )
            if is_out_of_patience(state, phase.patience):
                log.info("%s: no gain for %d epochs, stopping", stepper.phase, phase.patience)
                state.done = True
            state.next_epoch()
        state.done = True
        checkpoints.keep(state, stepper, now=True)
    model.load_state_dict(state.best_state)
    model.eval()
    epochs = [EpochLog(**line) for line in state.lines]
    return Trained(epochs, state.best_epoch, state.best, stepper.optimizer.defaults["lr"])


def _train_epoch(
    stepper: Stepper,
    state: TrainState,
    steps: Sequence[Step],
    phase: Phase,
    checkpoints: TrainCheckpoints,
) -> float:
    """Make the steps that are left of `state.epoch`; returns its mean loss per target."""
    started = logged = time.monotonic()
    for done, step in enumerate(steps[state.step :], start=1):
        where = f"epoch {state.epoch}, step {state.step + 1} of {len(steps)}"
        value = stepper.step(step, phase.loss, where)
        if phase.counts(step):
            asked = sum(n_targets(rows) for rows in step)
            state.loss_sum += value * asked
            state.n_targets += asked
        state.step += 1
        checkpoints.keep(state, stepper)
        now = time.monotonic()
        if now - logged > _SECONDS_BETWEEN_LINES:
            logged = now
            left = (now - started) / done * (len(steps) - state.step)
            log.info(
                "%s epoch %d: step %d/%d, %.0f s left of it",
                *(stepper.phase, state.epoch, state.step, len(steps), left),
            )
    return state.loss_sum / max(state.n_targets, 1)
