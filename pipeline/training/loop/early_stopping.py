"""Early stopping: the best epoch's weights are kept; epochs without a gain end the phase."""

from __future__ import annotations

import copy

from torch import nn

from pipeline.training.loop.train_state import TrainState


def keep_best(state: TrainState, model: nn.Module, score: float) -> None:
    """Make the weights as they stand those of the best epoch."""
    state.best, state.best_epoch = score, state.epoch
    state.best_state = copy.deepcopy(model.state_dict())


def is_out_of_patience(state: TrainState, patience: int) -> bool:
    """Whether so many epochs, `state.epoch` the last of them, brought no gain."""
    return state.epoch - state.best_epoch >= patience
