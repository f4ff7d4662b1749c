"""Exports that hold erased users, which lie outside the lake and by the retailer's own ids.

An export's files are copies of lists, and can be made again: those of an export that holds a user
are removed as a whole, and so is whatever a killed export left. What a tool was sent by its newest
export (`.sent.parquet`) keeps the user's id until the next one, because only that tells the tool to
clear what it has; a list of the user is then in no file any more. Then the erasure is asked for
once more to take the id out of the older directory, and of the file that told the tool.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import durable
from pipeline.arrow_columns import compute as pc
from pipeline.erasure.wanted import Wanted
from pipeline.errors import DamagedError
from pipeline.exports.folder import MANIFEST, SENT, ToolFolder

_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_AROUND_KEYS = ("input", "attributes")  # see `pipeline.exports.shapes`


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
    """The tools of which any export holds one of the users, in name order.

    Every directory of every tool counts, also one that a killed export or erasure has left.

    Raises:
        DamagedError: what the tool was sent cannot be read, so nobody can say whom it names.
    """
    found = []
    for folder in sorted(root.glob("*/")):
        tool = ToolFolder(root, folder.name)
        newest, left_over = tool.newest_names(), tool.left_over()
        holding, sent = [], set[str]()
        for path in sorted(path for path in folder.glob("*/") if not path.is_symlink()):
            if path.name in newest:
                sent |= _sent_of(path, wanted)
            if path in left_over or (
                (path.name not in newest or _files(path)) and _holds(path, wanted)
            ):
                holding.append(path)
        if holding or sent:
            found.append(ToolExports(folder.name, tuple(holding), len(sent)))
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
            elif path.name.startswith(durable.REMOVED):
                shutil.rmtree(path)
            elif path.exists():  # an export that was under way has ended meanwhile
                durable.remove(path)
        durable.sync_directory(folder.path)


def _sent_of(export: Path, wanted: Wanted) -> set[str]:
    path = export / SENT
    if not path.exists():
        return set()
    try:
        with pq.ParquetFile(path) as file:
            keys = pc.unique(file.read(columns=["key"])["key"]).to_pylist()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DamagedError(
            f"{path} cannot be read, so nobody can say whom it names ({error}): bring it back, or "
            f"remove {export.parent}, and erase once more"
        ) from None
    return _told(wanted).intersection(keys)


def _holds(export: Path, wanted: Wanted) -> bool:
    """Whether an export holds one of them, or is too damaged to say."""
    try:
        return bool(_sent_of(export, wanted)) or any(
            wanted.in_text(content) or not _told(wanted).isdisjoint(_keys(content))
            for file in _files(export)
            for content in _contents(file)
        )
    except (DamagedError, pa.ArrowException, OSError, EOFError, zlib.error):
        return True


def _told(wanted: Wanted) -> set[str]:
    return {*wanted.id_of.values(), *wanted.pseudonyms}


def _keys(content: bytes) -> Iterator[str]:
    """The ids of the rows of a file, whatever the tool: short ones are looked for nowhere else.

    A row of CSV begins with its id; a line of JSON says it by itself or one step within.
    """
    text = content.decode("utf-8-sig", "replace")
    with suppress(csv.Error):
        yield from (row[0].lstrip("'\t") for row in csv.reader(io.StringIO(text)) if row)
    for line in text.splitlines():
        try:
            record = json.loads(line.strip().rstrip(","))
        except ValueError:
            continue
        if isinstance(record, dict):
            inner = (record.get(name) for name in _AROUND_KEYS)
            for part in (record, *(part for part in inner if isinstance(part, dict))):
                yield from (value for value in part.values() if isinstance(value, str))


def _files(export: Path) -> list[Path]:
    """All but the manifest and what was sent."""
    paths = (path for path in export.rglob("*") if path.is_file())
    return sorted(path for path in paths if path.name not in (MANIFEST, SENT))


def _contents(file: Path) -> Iterator[bytes]:
    content = file.read_bytes()
    if content[:2] == _GZIP:
        yield gzip.decompress(content)
    elif content[:4] == _PARQUET:
        with pq.ParquetFile(file) as table:
            for row in table.read().to_pylist():
                yield "\n".join(map(str, row.values())).encode()
    else:
        yield content
