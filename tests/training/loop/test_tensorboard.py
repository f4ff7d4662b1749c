"""The curves are event files for TensorBoard: records of length, checksum, protocol buffer."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from pipeline.training.loop.tensorboard import TensorBoard


def points(directory: Path) -> list[tuple[str, int, float]]:
    (path,) = directory.glob("events.out.tfevents.*")
    content, start = path.read_bytes(), 0
    found = []
    while start < len(content):
        (length,) = struct.unpack_from("<Q", content, start)
        event = Event.FromString(content[start + 12 : start + 12 + length])
        found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        start += 12 + length + 4
    return found


def test_points_by_step(tmp_path: Path) -> None:
    curves = TensorBoard(tmp_path / "tensorboard")
    curves.add("training/loss", 2.5, 1)
    curves.add("training/loss", 2.0, 2)
    curves.close()
    assert points(tmp_path / "tensorboard") == [
        ("training/loss", 1, pytest.approx(2.5)),
        ("training/loss", 2, pytest.approx(2.0)),
    ]
