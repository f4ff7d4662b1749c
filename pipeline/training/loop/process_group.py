"""The processes that train one model together, and this one's place among them.

Each takes its share of every batch's rows; gradients are summed over all, so that a step is the one
that a single process would have made of the whole batch (dropout apart: each draws its own).
Started by `torchrun` or Spark's TorchDistributor, which tell each process its place in the
environment; gloo between processors, nccl between GPUs.

Gives up: sending gradients while others are still computed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist

from pipeline.training.rows.training_rows import TrainingRow

PATIENCE = dt.timedelta(minutes=30)  # the first process validates while the others wait


@dataclass(frozen=True)
class ProcessGroup:
    """Process `rank` of `size`."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one validates, writes and speaks for all."""
        return self.rank == 0

    def part(self, rows: Sequence[TrainingRow]) -> Sequence[TrainingRow]:
        """This process's share of a batch; may be empty."""
        return rows if self.size == 1 else rows[self.rank :: self.size]

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Give every process the sum of all gradients, in one message."""
        if self.size == 1:
            return
        flat = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in parameters]
        )
        dist.all_reduce(flat)
        start = 0
        for parameter in parameters:
            part = flat[start : start + parameter.numel()]
            parameter.grad = part.view_as(parameter).clone()
            start += parameter.numel()

    def sum(self, value: float) -> float:
        """The sum over all processes."""
        if self.size == 1:
            return value
        total = torch.tensor([value], dtype=torch.float64, device=_wire())
        dist.all_reduce(total)
        return float(total.item())

    def from_first(self, make: Callable[[], float]) -> float:
        """What the first process makes, for everybody: they must decide alike."""
        if self.size == 1:
            return make()
        value = torch.tensor(
            [make() if self.is_first else 0.0], dtype=torch.float64, device=_wire()
        )
        dist.broadcast(value, src=0)
        return float(value.item())


ALONE = ProcessGroup()


def is_member(environ: Mapping[str, str]) -> bool:
    """Whether a launcher started this process as one of several."""
    return "RANK" in environ and int(environ.get("WORLD_SIZE", "1")) > 1


def join_group(environ: Mapping[str, str]) -> ProcessGroup:
    """Join the other processes; on machines with GPUs each takes the one of its local rank."""
    if torch.cuda.is_available():
        torch.cuda.set_device(int(environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    return ProcessGroup(dist.get_rank(), dist.get_world_size())


def leave_group() -> None:
    """Leave the group that `join_group` joined."""
    dist.destroy_process_group()


def training_device() -> torch.device:
    """The GPU of this process, else the processor."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def _wire() -> torch.device:
    """Where a message must lie to be sent."""
    return training_device() if dist.get_backend() == "nccl" else torch.device("cpu")
