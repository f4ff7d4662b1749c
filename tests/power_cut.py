"""What a power cut would leave of a lake, at every moment of what this process does.

Nothing is on the disk but what was flushed. Of names there are two models, and real file systems
lie between them: `early`, in which a new name is there at once and its content only when flushed
(what ext4 does where a file is renamed before its pages are written), and `late`, in which a name
is there only when its directory was flushed. Every manifest that is put in its place, and every
pointer, must hold under both: at that moment as far as it is there, and at the end be there.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.lake import CURRENT, LATEST, MANIFEST

Find = Callable[[Path], int | None]  # the inode that has a path, or none
_NAMED = {MANIFEST, CURRENT, LATEST}


@dataclass
class Disk:
    """What was flushed below a root, by inode: an inode keeps its content when it is renamed."""

    root: Path
    contents: dict[int, bytes] = field(default_factory=dict)  # of manifests and the like
    sums: dict[int, str] = field(default_factory=dict)
    names: dict[int, dict[str, int]] = field(default_factory=dict)
    before: dict[int, tuple[int, int]] = field(default_factory=dict)
    put: dict[Path, None] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)
    cuts: int = 0

    def __post_init__(self) -> None:
        """What is there before is on the disk."""
        for directory, _, files in os.walk(self.root):
            self.names[Path(directory).stat().st_ino] = _entries(Path(directory))
            for name in files:
                found = Path(directory, name).stat()
                self.before[found.st_ino] = (found.st_size, found.st_mtime_ns)

    def flush(self, path: Path) -> None:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            self.names[found.st_ino] = _entries(path)
            return
        content = path.read_bytes()
        self.sums[found.st_ino] = hashlib.sha256(content).hexdigest()
        if path.suffix != ".parquet":
            self.contents[found.st_ino] = content

    def cut(self, path: Path) -> None:
        """The power goes right after a name was given."""
        self.cuts += 1
        if path.name in _NAMED:
            self.put[path] = None
            self._look(path, "right after it", must_be_there=False)

    def end(self) -> None:
        """The power goes when everything is said to be done."""
        self.cuts += 1
        for path in self.put:
            if path.exists():  # a date that was made again has another pointer
                self._look(path, "at the end", must_be_there=True)

    def late(self, path: Path) -> int | None:
        """The inode of a path, by the names that were flushed."""
        inode: int | None = self.root.stat().st_ino
        for part in path.relative_to(self.root).parts:
            inode = self.names.get(inode, {}).get(part) if inode is not None else None
        return inode

    def _look(self, path: Path, when: str, *, must_be_there: bool) -> None:
        for model, find in (("early", _early), ("late", self.late)):
            inode = find(path)
            if inode is None:
                faults = ["it is not there"] if must_be_there else []
            else:
                faults = list(self._faults(path, inode, find))
            self.bad += [f"{path}, {when}, names {model}: {fault}" for fault in faults]

    def _faults(self, path: Path, inode: int, find: Find) -> Iterator[str]:
        content = self.contents.get(inode)
        if content is None:
            if inode not in self.before:
                yield "it has no content"
            return
        said: dict[str, Any] = json.loads(content)
        for entry in said.get("files", ()):
            file = path.parent / entry["path"]
            found = find(file)
            if found is None or not self._holds(file, found, entry["sha256"]):
                yield f"{entry['path']} was not flushed"
        if path.name != MANIFEST:
            date = f"run_date={said['run_date']}" if "run_date" in said else "."
            named = path.parent / date / f"run_id={said['run_id']}" / MANIFEST
            named = Path(os.path.normpath(named))
            closed = find(named)
            if closed is None or not (closed in self.contents or closed in self.before):
                yield f"{named} is not closed"

    def _holds(self, file: Path, inode: int, sha256: str) -> bool:
        if inode in self.sums:
            return self.sums[inode] == sha256
        found = file.stat()
        return self.before.get(inode) == (found.st_size, found.st_mtime_ns)


@contextmanager
def power_cuts(root: Path) -> Iterator[Disk]:
    """Note what this process flushes below a root, and cut the power at each rename and at the end.

    Raises:
        AssertionError: after the block, if any cut would have left something bad.
    """
    disk = Disk(root)
    real = {name: getattr(os, name) for name in ("fsync", "replace", "rename", "link")}

    def fsync(descriptor: Any) -> None:
        real["fsync"](descriptor)
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        path = Path(f"/proc/self/fd/{number}").readlink()
        if path.is_relative_to(root):
            disk.flush(path)

    def watched(name: str) -> Any:
        def move(source: Any, target: Any, **kwargs: Any) -> None:
            real[name](source, target, **kwargs)
            if Path(target).is_relative_to(root):
                disk.cut(Path(target))

        return move

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        for name in ("replace", "rename", "link"):
            patch.setattr(os, name, watched(name))
        yield disk
    disk.end()
    assert disk.bad == []


def _early(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _entries(directory: Path) -> dict[str, int]:
    """What is there; nothing of a directory that another thread has removed by now."""
    try:
        return {entry.name: entry.inode() for entry in os.scandir(directory)}
    except FileNotFoundError:
        return {}
