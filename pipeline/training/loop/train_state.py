"""Checkpoints of a training run, so that one that is killed goes on to the same weights.

A phase's checkpoint is one file: weights, optimiser, schedule, what the loop counts, and the best
weights so far. It is written aside, flushed and renamed, every so many seconds and at the phase's
end; randomness needs no place in it, for steps are keyed by their number. Read with `weights_only`:
nothing in it can be executed. A checkpoint of other rows, settings, code or starting weights, or
one that is damaged, is left aside and the phase begins anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline import durable
from pipeline.lake import storage_errors
from pipeline.training.loop.stepper import Stepper
from pipeline.training.rows.training_rows import TrainingRow

log = logging.getLogger("nightcart")


@dataclass
class TrainState:
    """What a loop counts. `step` of `epoch` are done; `best_state` is the best epoch's weights."""

    best: float
    best_state: dict[str, torch.Tensor]
    best_epoch: int = 0
    epoch: int = 1
    step: int = 0
    loss_sum: float = 0.0
    n_targets: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    done: bool = False

    def next_epoch(self) -> None:
        """Begin to count anew."""
        self.epoch += 1
        self.step = self.n_targets = 0
        self.loss_sum = 0.0


class TrainCheckpoints:
    """The files of one run's phases.

    Args:
        directory: None to keep none.
        fingerprint: of everything that the weights depend on.
        every_seconds: how often a checkpoint is renewed; 0 after every step.
    """

    def __init__(
        self, directory: Path | None = None, fingerprint: str = "", every_seconds: float = 0.0
    ) -> None:
        self.directory = directory
        self.fingerprint = fingerprint
        self.every_seconds = every_seconds
        self._kept = time.monotonic()

    def restore(self, state: TrainState, stepper: Stepper) -> bool:
        """Read the state of an earlier attempt; returns whether there was one."""
        path = self._path(stepper)
        if path is None or not path.exists():
            return False
        try:
            saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            if saved["fingerprint"] != self.fingerprint:
                log.info("%s is of other inputs: beginning anew", path)
                return False
            counted = saved["state"]
            with torch.no_grad():
                for ours, theirs in zip(stepper.parameters, saved["parameters"], strict=True):
                    ours.copy_(theirs)
            stepper.optimizer.load_state_dict(saved["optimizer"])
            stepper.schedule.load_state_dict(saved["schedule"])
            for table, stored in zip(stepper.tables, saved["tables"], strict=True):
                table.load_state_dict(stored)
            stepper.n_steps = saved["n_steps"]
            for name, value in counted.items():
                setattr(state, name, value)
        except Exception as error:  # torch raises many kinds for a damaged file
            log.warning("%s cannot be read, beginning anew: %s", path, error)
            path.unlink(missing_ok=True)
            return False
        log.info("going on after step %d of epoch %d", state.step, state.epoch)
        return True

    def keep(self, state: TrainState, stepper: Stepper, *, now: bool = False) -> None:
        """Renew the checkpoint if it is time, or `now`."""
        path = self._path(stepper)
        if path is None or not stepper.group.is_first:
            return
        if not now and time.monotonic() - self._kept < self.every_seconds:
            return
        saved = {
            "fingerprint": self.fingerprint,
            "state": {
                entry.name: getattr(state, entry.name) for entry in dataclasses.fields(state)
            },
            "parameters": [parameter.detach() for parameter in stepper.parameters],
            "optimizer": stepper.optimizer.state_dict(),
            "schedule": stepper.schedule.state_dict(),
            "tables": [table.state_dict() for table in stepper.tables],
            "n_steps": stepper.n_steps,
        }
        with storage_errors(f"cannot write {path}"), durable.in_place(path) as file:
            torch.save(saved, file)
        self._kept = time.monotonic()

    def _path(self, stepper: Stepper) -> Path | None:
        return None if self.directory is None else self.directory / f"{stepper.phase}.pt"


def training_fingerprint(
    made_by: Mapping[str, Any], rows: Iterable[TrainingRow], state: Mapping[str, torch.Tensor]
) -> str:
    """A checksum of settings and code, rows in their order, and the weights to start from."""
    digest = hashlib.sha256(json.dumps(made_by, sort_keys=True, default=str).encode())
    for row in rows:
        for ids in (row.token_ids, row.type_ids, row.positions, row.targets, [row.is_text]):
            digest.update(np.asarray([len(ids), *ids], dtype="<i8").tobytes())
    for name, tensor in state.items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()
