"""What is remembered of each raw file that a day was cleaned from, and whether it is still so.

The manifest of a cleaned day holds `raw_files`: path below the raw root -> size, SHA-256, and the
times at which content (`mtime_ns`) and inode (`ctime_ns`) last changed. A file whose size and times
are as remembered is not read. Of any other the content decides, so a file that was only copied or
touched changes nothing, and one that was corrected and kept its size is noticed. What was hashed
for that is kept in `<lake>/work/raw_files.json`, so that files with other times are hashed once and
not every night.

Gives up: a correction that keeps size and both times, for which one has to set the clock. Manifests
of older versions hold the size alone, and only that is compared with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.intact import file_sha256
from pipeline.lake import Lake, storage_errors, write_json
from pipeline.sources.file_pattern import DeliveredFile

RAW_FILES = "raw_files"
SNAPSHOT = "snapshot"  # of a cleaned day: the kept snapshot that items or users are known from
# `Snapshot.content` of that one, and of the one that the day was compared with (none: with none).
SNAPSHOT_CONTENT, COMPARED_WITH = "snapshot_content", "compared_with"

Facts = dict[str, Any]


def raw_facts(files: Iterable[DeliveredFile]) -> dict[str, Facts]:
    """Path below the raw root -> what a manifest remembers of it. Reads every file."""
    return {file.relative: _facts(file.path) for file in files}


class RawFiles:
    """Compares files with what manifests remember; use as a context, which keeps what it hashed."""

    def __init__(self, lake: Lake) -> None:
        self._path = lake.root / "work" / "raw_files.json"
        self._before = _read(self._path)
        self._now: dict[str, Facts] = {}

    def __enter__(self) -> RawFiles:
        return self

    def __exit__(self, *error: object) -> None:
        kept = self._before | self._now
        if kept != self._before:
            with storage_errors(f"cannot write {self._path}"):
                write_json(self._path, kept)

    def is_same(self, file: DeliveredFile, remembered: int | Mapping[str, Any]) -> bool:
        """Whether a file holds what a manifest remembers of it."""
        if isinstance(remembered, int):
            return file.path.stat().st_size == remembered
        stamp = _stamp(file.path)
        if stamp == {name: remembered.get(name) for name in stamp}:
            return True
        if stamp["bytes"] != remembered.get("bytes"):
            return False
        return bool(self.facts_of(file)["sha256"] == remembered.get("sha256"))

    def facts_of(self, file: DeliveredFile) -> Facts:
        """What a manifest would remember of a file now; it is hashed if it is not known."""
        stamp = _stamp(file.path)
        known = self._now.get(file.relative) or self._before.get(file.relative, {})
        if {name: known.get(name) for name in stamp} != stamp:
            known = _facts(file.path)
        self._now[file.relative] = known
        return known


def _facts(path: Path) -> Facts:
    # The times first: what changes while it is read has other ones afterwards.
    stamp = _stamp(path)
    return {**stamp, "sha256": file_sha256(path)}


def _stamp(path: Path) -> dict[str, int]:
    found = path.stat()
    return {
        "bytes": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "ctime_ns": found.st_ctime_ns,
    }


def _read(path: Path) -> dict[str, Facts]:
    """What was kept; nothing where it cannot be read, for it can be hashed again."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
