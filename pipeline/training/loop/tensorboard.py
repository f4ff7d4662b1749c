"""Losses and scores of a training run as TensorBoard event files.

`tensorboard --logdir <lake>/runs` shows them. They are written beside the run's records, in
`tensorboard/`; nothing reads them back.
"""

from __future__ import annotations

from pathlib import Path

from tensorboardX import SummaryWriter


class TensorBoard:
    """Numbers by step. A run that goes on after a kill writes on beside what is there."""

    def __init__(self, directory: Path) -> None:
        self._writer = SummaryWriter(logdir=str(directory))

    def add(self, name: str, value: float, step: int) -> None:
        """One point."""
        self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush to the disk."""
        self._writer.close()
