"""Whether what is read is what was written: sizes, checksums, and JSON that carries its own.

`check_sizes` is cheap and asked whenever a partition is opened. `check_contents` hashes files and
remembers, for the life of the process, which ones it has found good: a stage reads each of its
inputs twice, once for this (1.6 GB a second and core where it was measured) and once for the work.
A partition that was found to hold another content is marked (`.damaged` beside its manifest), so
that the stage that makes it again knows so without hashing the past.

An erasure exchanges a directory with one that has another manifest: who read the old manifest and
meets the new files is told so, and nothing is marked.

Gives up: a file that changes between the hashing and the reading, or later in the same process
with its size and time kept. Standard library only.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline import durable
from pipeline.errors import StorageError

MARK = ".damaged"
_MANIFEST = "manifest.json"  # `pipeline.lake.MANIFEST`, which stands above this module

_SEAL = "seal"
_NO_SEAL = "0" * 64
# Of files that were hashed and found good: path -> size, time of change, inode.
_good: dict[Path, tuple[int, int, int]] = {}


class FaultError(Exception):
    """What is wrong with some files, without saying which dataset's they are."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed_json(value: Mapping[str, Any]) -> bytes:
    """JSON with a key `seal`: the SHA-256 of the same bytes with 64 zeros in its place."""
    content = _json_bytes({**value, _SEAL: _NO_SEAL})
    return content.replace(_line(_NO_SEAL), _line(_sha256(content)))


def read_sealed_json(path: Path) -> dict[str, Any]:
    """What `sealed_json` wrote, without its seal; older files have none and are taken as they are.

    Raises:
        FaultError: it is not there, no JSON object, or not what was written.
        StorageError: the system refuses.
    """
    content = _read(path)
    try:
        value = json.loads(content)
    except ValueError as error:
        raise FaultError(f"cannot read {path}: {error}") from None
    if not isinstance(value, dict):
        raise FaultError(f"{path} is not a JSON object")
    seal = value.pop(_SEAL, None)
    if seal is not None:
        as_sealed = content.replace(_line(seal), _line(_NO_SEAL))
        if _sha256(as_sealed) != seal:
            raise FaultError(f"{path} is damaged: its content is not that of its seal {seal}")
    return value


def is_sealed(path: Path) -> bool:
    """Whether a JSON file carries its own checksum."""
    return _SEAL in json.loads(_read(path))


def check_sizes(directory: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Look at the size of each file that a manifest names, and at the mark.

    Raises:
        FaultError: a file is not there or has another size, or the directory is marked.
    """
    for entry in entries:
        path = directory / entry["path"]
        try:
            found = path.stat().st_size
        except FileNotFoundError:
            raise FaultError(f"{path} is not there") from None
        if found != entry["bytes"]:
            raise FaultError(
                f"{path} is damaged: it has {found:,} bytes, its manifest says {entry['bytes']:,}"
            )
    mark = directory / MARK
    if mark.exists():
        raise FaultError(mark.read_text(encoding="utf-8", errors="replace").strip())


def check_contents(directory: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Hash each file that a manifest names and this process has not found good yet.

    Raises:
        FaultError: a file holds other bytes; the directory is marked.
        StorageError: the system refuses.
    """
    durable.in_threads(lambda entry: _check_content(directory, entry), entries)


def forget_checked() -> None:
    """Hash every file anew from here on: for who is asked to look at the disk."""
    _good.clear()


def mark(directory: Path, fault: str) -> None:
    """Let everybody know that a closed directory is damaged.

    Not flushed, and in vain where it cannot be written: the next who reads it finds out again.
    """
    with suppress(OSError):
        (directory / MARK).write_text(fault + "\n", encoding="utf-8")


def _check_content(directory: Path, entry: Mapping[str, Any]) -> None:
    path = directory / entry["path"]
    try:
        found = path.stat()
        known = (found.st_size, found.st_mtime_ns, found.st_ino)
        if _good.get(path) == known:
            return
        sha256 = file_sha256(path)
    except OSError as error:
        raise _of_system(error, path) from None
    if sha256 != entry["sha256"]:
        if _was_written_again(directory, entry):
            raise FaultError(f"{path} was written again while it was read; ask again")
        fault = f"{path} is damaged: it has SHA-256 {sha256}, its manifest says {entry['sha256']}"
        mark(directory, fault)
        raise FaultError(fault)
    _good[path] = known


def _was_written_again(directory: Path, entry: Mapping[str, Any]) -> bool:
    """Whether the directory has another manifest by now than the one that the entry is of."""
    try:
        now = read_sealed_json(directory / _MANIFEST)["files"]
    except (FaultError, KeyError):
        return False
    return all(other["sha256"] != entry["sha256"] for other in now)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _of_system(error, path) from None


def _of_system(error: OSError, path: Path) -> Exception:
    """What the system says of a file: damage, or something that a retry may help."""
    if isinstance(error, FileNotFoundError):
        return FaultError(f"{path} is not there")
    if error.errno == errno.EIO:
        return FaultError(f"the disk cannot read {path}")
    return StorageError(f"cannot read {path}: {error.strerror or error}")


def _line(seal: object) -> bytes:
    return f'"{_SEAL}": "{seal}"'.encode()


def _json_bytes(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
