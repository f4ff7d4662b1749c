"""The files that a dataset is joined with, as of a day, and which of them cannot be read.

A joined file with `{date}` in its name is seen up to the night and not beyond, so that a date that
is run again sees what it saw. One without is seen as it lies there. A damaged file is left out by
whoever reads the rows; the night says so first, or stops (`cleaning.deliveries.look_ups`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipeline.sources.damage import FileDamageError
from pipeline.sources.file_checks import check_files
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.source import SourceDataset


@dataclass(frozen=True)
class TableFiles:
    """One joined file's files."""

    alias: str
    whole: tuple[DeliveredFile, ...]
    damaged: tuple[FileDamageError, ...] = ()

    @property
    def files(self) -> list[DeliveredFile]:
        """All of them, damaged ones too, in path order."""
        return sorted([*self.whole, *(fault.file for fault in self.damaged)])


def joined_files(
    dataset: SourceDataset, raw_root: Path | str, upto: dt.date | None = None
) -> list[TableFiles]:
    """For each joined file, in order, the files that are there; up to a day, if one is given.

    Raises:
        InputError: a file can be read and has not the columns that the source says.
    """
    found = []
    for join in dataset.joins:
        files = [
            file
            for file in join.table.pattern.files(raw_root)
            if upto is None or file.date is None or file.date <= upto
        ]
        damaged = [fault for file in files if (fault := _fault(_Checked(join.table, file)))]
        lost = {fault.file for fault in damaged}
        whole = tuple(file for file in files if file not in lost)
        found.append(TableFiles(join.name, whole, tuple(damaged)))
    return found


class _Checked:
    """A file as it is now; equal to itself until it is written again."""

    def __init__(self, table: SourceDataset, file: DeliveredFile) -> None:
        self.table, self.file = table, file
        stat = file.path.stat()
        self._key = (
            str(file.path),
            stat.st_size,
            stat.st_mtime_ns,
            stat.st_ctime_ns,
            table.format,
            table.columns,
            tuple(sorted(table.options.items())),
            table.where,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Checked) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=4096)
def _fault(checked: _Checked) -> FileDamageError | None:
    """A night asks several times, and a compressed file is read to its end each time."""
    return next(iter(check_files(checked.table, [checked.file])), None)
