"""A file system that is really full: one clear error, nothing half published, a clean resume.

The lake lies on a small tmpfs of its own, whose room is taken by a file but for a few blocks, so
that writes fail where they would on a full disk, with the system's own ENOSPC.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.errors import StorageError
from pipeline.lake import Lake, Run
from pipeline.publishing.publish import publish
from tests.generation_shop import NIGHT, Shop, checksums, many_histories
from tests.lake_rows import write_rows

SIZE = 16 * 1024 * 1024
BLOCK = 4096


@dataclass(frozen=True)
class Disk:
    """A small file system."""

    root: Path

    @property
    def filler(self) -> Path:
        return self.root / "filler"

    def leave(self, n_bytes: int) -> None:
        """Take all room but so much."""
        told = os.statvfs(self.root)
        with self.filler.open("ab") as file:
            left = told.f_bavail * told.f_frsize - n_bytes
            file.write(bytes(max(0, left)))

    def make_room(self) -> None:
        self.filler.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """A tmpfs; where none may be mounted the reason is the system's."""
    root = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(root)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        refused = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        refused = str(error)
    if refused:
        pytest.skip(f"a small file system cannot be mounted here: {refused}")
    yield Disk(root)
    # Lazily: the weights of a model may still be mapped.
    subprocess.run(["umount", "--lazy", str(root)], check=True)


@pytest.fixture
def disk(mounted: Disk) -> Iterator[Disk]:
    """An empty one."""
    yield mounted
    for path in mounted.root.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture
def full_shop(shop: Shop, disk: Disk) -> Shop:
    """The tiny shop, its lake on that file system, a user who said yes to marketing."""
    write_rows(
        shop.lake,
        "cleaned_users",
        Run(NIGHT, "upstream"),
        [{"user_id": row["user_id"], "consent": True} for row in many_histories(30, seed=3)],
    )
    shutil.copytree(shop.lake.root, disk.root / "lake")
    return Shop(Lake(disk.root / "lake"), shop.settings)


# A night of the tiny shop takes less.
MAX_BLOCKS = 60


def test_generating_on_a_full_disk(full_shop: Shop, disk: Disk) -> None:
    undisturbed = full_shop.generate("undisturbed")
    lake = full_shop.lake
    where: set[str] = set()
    for blocks in range(MAX_BLOCKS):
        run_id = f"R{blocks}"
        disk.leave(blocks * BLOCK)
        try:
            full_shop.generate(run_id)
        except StorageError as error:
            said = str(error)
        else:
            break
        assert "No space left on device; make room" in said
        assert "run the same date again" in said
        assert str(disk.root / "lake") in said
        where.add(said.partition(str(disk.root))[0])
        current = lake.current("generated", NIGHT)
        assert current is not None
        assert current.path == undisturbed.partition.path
        disk.make_room()
        assert checksums(full_shop.generate(run_id)) == checksums(undisturbed)
        assert len(lake.attempts("generated", Run(NIGHT, run_id))) == 1
        assert not lake.work("generate", Run(NIGHT, run_id)).exists()
        # So that readers' night is the same at each room.
        lake.point(undisturbed.partition)
    # What the test is about: it was full at different steps.
    assert where == {
        "cannot set the users of each shard apart in ",
        "cannot write shard ",
        "cannot write ",
        "cannot commit ",
    }


def test_publishing_on_a_full_disk(full_shop: Shop, disk: Disk) -> None:
    lake, settings = full_shop.lake, full_shop.settings
    full_shop.generate("R0")
    first = publish(lake, Run(NIGHT, "R0"), settings).partition
    refused: list[str] = []
    for blocks in range(MAX_BLOCKS):
        run_id = f"P{blocks}"
        full_shop.with_settings("reasons", enabled=blocks % 2 == 0).generate(run_id)
        disk.leave(blocks * BLOCK)
        try:
            publish(lake, Run(NIGHT, run_id), settings)
        except StorageError as error:
            refused.append(str(error))
        else:
            break
        said = refused[-1]
        assert "No space left on device" in said
        assert str(disk.root / "lake") in said
        assert f"Nothing was published: readers see {first.path}" in said
        latest = lake.latest("recommendations")
        assert latest is not None
        assert latest.path == first.path
        disk.make_room()
        publish(lake, Run(NIGHT, run_id), settings)
        latest = lake.latest("recommendations")
        assert latest is not None
        assert latest.run_id == run_id
        lake.publish("recommendations", first)
    assert len(refused) >= 2, refused
