"""Files that outlive a power cut: the only way in which anything is put in its place.

A file is written aside, flushed to the disk (`fsync`), renamed, and then its directory is flushed,
without which the new name is only in memory. So after a cut there is the old file or the new one,
whole, and what was said to be done is there. `make_directory` flushes the parents of what is new.
`sync_files` and `sync_directories` do the same for a directory that somebody else has filled, such
as Spark: a flush is of the file, whoever wrote it.

Costs one flush a file and one a directory. Where there are several they wait together, in threads:
the journal of a file system takes them in one go. Flushes are errors if they fail; only a file
system that cannot flush directories at all (some network ones say EINVAL) is taken as it is.
Standard library only.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

FROM_UMASK = 0o666
PRIVATE = 0o600
REMOVED = ".removed."  # begins the name of a directory that is being removed

_T = TypeVar("_T")
_R = TypeVar("_R")

_THREADS = 8
# Directories by path, and the inode of what this process has flushed into their parent.
_in_parent: dict[Path, int] = {}


@contextmanager
def in_place(path: Path, mode: int = FROM_UMASK) -> Iterator[BinaryIO]:
    """A file to be written; after the block it is on the disk and has its name.

    If the block fails, what was there before stays.

    Args:
        mode: of the new file, before the process's umask.
    """
    with beside(path, mode) as (file, flush):
        yield file
        flush()


@contextmanager
def beside(path: Path, mode: int = FROM_UMASK) -> Iterator[tuple[BinaryIO, Callable[[], None]]]:
    """As `in_place`, in two steps: `flush` inside the block, the rename at its end.

    For what must be known to have room before something else is done that cannot be undone.
    """
    aside = _aside_of(path)
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:

            def flush() -> None:
                file.flush()
                os.fsync(file.fileno())
                file.close()

            yield file, flush
            assert file.closed, f"{path} was not flushed"
        rename(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def put_text(path: Path, text: str, mode: int = FROM_UMASK, errors: str = "strict") -> None:
    """A whole text file, in UTF-8, in its place."""
    with in_place(path, mode) as file:
        file.write(text.encode("utf-8", errors))


def put_in_order(contents: Sequence[tuple[Path, bytes]], mode: int = FROM_UMASK) -> None:
    """Several files, each whole in its place; a kill leaves the first ones.

    All are on the disk at the end. After a power cut each is the old or the new one.
    """
    asides = [_aside_of(path) for path, _ in contents]

    def write(aside: Path, content: bytes) -> None:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    try:
        in_threads(
            lambda one: write(*one),
            [(aside, content) for aside, (_, content) in zip(asides, contents, strict=True)],
        )
        for aside, (path, _) in zip(asides, contents, strict=True):
            aside.replace(path)
        in_threads(sync_directory, {path.parent for path, _ in contents})
    finally:
        for aside in asides:
            aside.unlink(missing_ok=True)


def _aside_of(path: Path) -> Path:
    """Where a file is written aside: nothing is there, and its directory is."""
    make_directory(path.parent)
    # Several machines may write beside each other, and two may have a process of one number.
    aside = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    aside.unlink(missing_ok=True)
    return aside


def rename(aside: Path, path: Path) -> None:
    """Rename a flushed file or directory, and flush the directories that this changed."""
    aside.replace(path)
    sync_directory(path.parent)
    if aside.parent != path.parent:
        sync_directory(aside.parent)


def link_new(aside: Path, path: Path) -> None:
    """Give a flushed file its name, unless something has it: `FileExistsError` then."""
    os.link(aside, path)
    sync_directory(path.parent)


def remove(directory: Path) -> None:
    """Remove a directory: under a hidden name first, so that it is there whole or not at all.

    What a kill left under the hidden name is for the caller to find, by `cut_off_removals`.
    """
    aside = directory.with_name(f"{REMOVED}{directory.name}")
    if aside.exists():
        shutil.rmtree(aside)
    rename(directory, aside)
    shutil.rmtree(aside)
    sync_directory(directory.parent)


def cut_off_removals(root: Path, depth: int = 0) -> list[Path]:
    """What `remove` had renamed when it was killed, sorted.

    Args:
        depth: how many directories there may be between `root` and what was removed.
    """
    patterns = ("/".join([*"*" * between, f"{REMOVED}*"]) for between in range(depth + 1))
    return sorted(path for pattern in patterns for path in root.glob(pattern))


def copy(source: Path, target: Path) -> None:
    """Copy a file's bytes into a new file, and flush it; its directory is left to the caller."""
    with source.open("rb") as reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())


def make_directory(directory: Path) -> None:
    """Make a directory and its parents, and flush the parent of each that is new."""
    new = []
    for path in (directory, *directory.parents):
        if path.exists():
            break
        new.append(path)
    for path in reversed(new):
        path.mkdir(exist_ok=True)
        sync_directory(path.parent)


def sync_parents(directory: Path, root: Path) -> None:
    """Flush that a directory is in its parent, and so on up to `root` in its own.

    An earlier process may have made one of them and been killed before it flushed. What this
    process has flushed once is not flushed again while it is the same directory.
    """
    chain = [directory, *(path for path in directory.parents if path.is_relative_to(root))]
    todo = {path: path.stat().st_ino for path in chain if path.parent != path}
    todo = {path: inode for path, inode in todo.items() if _in_parent.get(path) != inode}
    in_threads(sync_directory, {path.parent for path in todo})
    _in_parent.update(todo)


def sync_directories(directory: Path) -> None:
    """Flush a directory and every directory below it: the names of what lies there."""
    in_threads(sync_directory, [Path(path) for path, _, _ in os.walk(directory)])


def sync_files(paths: Iterable[Path]) -> None:
    """Flush files that are written already."""
    in_threads(_sync, paths)


def sync_directory(directory: Path) -> None:
    """Flush the names that a directory holds."""
    try:
        _sync(directory)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise


def in_threads(work: Callable[[_T], _R], over: Iterable[_T]) -> list[_R]:
    """`work` of each, in their order; several at a time, for it waits for the disk."""
    of = list(over)
    if len(of) <= 1:
        return [work(one) for one in of]
    with ThreadPoolExecutor(min(_THREADS, len(of))) as pool:
        return list(pool.map(work, of))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
