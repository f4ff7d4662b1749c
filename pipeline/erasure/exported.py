"""Exports that hold erased users, which lie outside the lake and by the retailer's own ids.

An export's files are copies of lists, and can be made again: those of an export that holds a user
are removed as a whole. What a tool was sent (`.sent.parquet`) keeps the user's id until the next
export to it, because only that tells the tool to clear what it has; a list of the user is then in
no file any more.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import durable
from pipeline.erasure.wanted import Wanted
from pipeline.exports.folder import LATEST, MANIFEST, SENT, ToolFolder

_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"


@dataclass(frozen=True)
class ToolExports:
    """What there is of the users for one tool.

    Args:
        tool: name of the profile.
        holding: exports whose files hold one of them.
        sent: how many of them the tool has, as far as the newest exports say.
    """

    tool: str
    holding: tuple[Path, ...]
    sent: int


def exports_of(root: Path, wanted: Wanted) -> list[ToolExports]:
    """The tools of which any export holds one of the users, in name order."""
    found = []
    for folder in sorted(path for path in root.glob("*/") if (path / LATEST).exists()):
        directories = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
        known = {path: _sent_of(path, wanted) for path in directories}
        holding = tuple(path for path in directories if _files(path) and _holds(path, wanted))
        newest = ToolFolder(root, folder.name).newest_names()
        sent = set[str]().union(*(ids for path, ids in known.items() if path.name in newest))
        if holding or sent:
            found.append(ToolExports(folder.name, holding, len(sent)))
    return found


def remove_exports(root: Path, found: ToolExports) -> None:
    """Remove the files of exports; of the newest ones, what was sent stays."""
    folder = ToolFolder(root, found.tool)
    with folder.alone():
        newest = folder.newest_names()
        for path in found.holding:
            if path.name in newest:
                for file in _files(path):
                    file.unlink()
                durable.sync_directory(path)
            else:
                shutil.rmtree(path)
        durable.sync_directory(folder.path)


def _sent_of(export: Path, wanted: Wanted) -> set[str]:
    path = export / SENT
    if not path.exists():
        return set()
    keys = pq.read_table(path, columns=["key"])["key"]
    told = {*wanted.id_of.values(), *wanted.pseudonyms}
    return told.intersection(pc.unique(keys).to_pylist())


def _holds(export: Path, wanted: Wanted) -> bool:
    """Whether the files hold one of them; an id that is no word is known by what was sent."""
    if _sent_of(export, wanted):
        return True
    return any(wanted.in_text(content) for file in _files(export) for content in _contents(file))


def _files(export: Path) -> list[Path]:
    """All but the manifest and what was sent."""
    paths = (path for path in export.rglob("*") if path.is_file())
    return sorted(path for path in paths if path.name not in (MANIFEST, SENT))


def _contents(file: Path) -> Iterator[bytes]:
    content = file.read_bytes()
    if content[:2] == _GZIP:
        yield gzip.decompress(content)
    elif content[:4] == _PARQUET:
        for row in pq.read_table(file).to_pylist():
            yield "\n".join(map(str, row.values())).encode()
    else:
        yield content
