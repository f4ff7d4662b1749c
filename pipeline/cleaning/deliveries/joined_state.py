"""What a manifest remembers of the files that a day was joined with, in few words.

A night sees all files of a joined table up to itself, and a table may be delivered in hundreds of
files; so a manifest holds, for each table, how many files there were, from which day to which, and
one hash over their contents, under `joined_files`. A table of which a file is gone is told by the
number of files between these days.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.cleaning.deliveries.raw_files import RawFiles
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.joined_files import TableFiles
from pipeline.sources.source import SourceDataset

JOINED_FILES, JOINED_DIGEST = "joined_files", "joined_digest"


def state_of(tables: Sequence[TableFiles], raw_files: RawFiles) -> dict[str, Any]:
    """By table, what a manifest remembers of its files; damaged ones too."""
    return {table.alias: _state(table.files, raw_files) for table in tables}


def gone_table(before: Mapping[str, Any], dataset: SourceDataset, raw_root: Path | str) -> str:
    """The pattern of a table that has lost a file since, or nothing."""
    for join in dataset.joins:
        remembered = before.get(join.name)
        if remembered is None:
            continue  # joined since, by another mapping
        first, last = remembered["first"], remembered["last"]
        there = [
            file
            for file in join.table.pattern.files(raw_root)
            if file.date is None or first <= file.date.isoformat() <= last
        ]
        if len(there) < remembered["files"]:
            return join.table.files
    return ""


def _state(files: Sequence[DeliveredFile], raw_files: RawFiles) -> dict[str, Any]:
    days = [file.date for file in files if file.date is not None]
    contents = [[file.relative, raw_files.facts_of(file)["sha256"]] for file in files]
    return {
        "files": len(files),
        "first": min(days, default=dt.date.min).isoformat(),
        "last": max(days, default=dt.date.min).isoformat(),
        "sha256": hashlib.sha256(json.dumps(contents).encode()).hexdigest(),
    }
