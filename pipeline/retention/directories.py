"""Every directory of a lake that may expire, with what its manifest says. Standard library only."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.intact import FaultError, read_sealed_json
from pipeline.lake import MANIFEST, Lake

log = logging.getLogger("nightcart")

# Dataset, date, directory as a pointer calls it.
Key = tuple[str, dt.date, str]

DATE, RUN = "run_date=", "run_id="


@dataclass(frozen=True)
class Directory:
    """One run's directory of a dataset.

    `manifest` is none where no manifest closes it, and empty where that cannot be read. `pointed`:
    whether its date's pointer names it. `made` is the day (UTC) on which it was closed, or last
    changed.
    """

    dataset: str
    date: dt.date
    directory_id: str
    path: Path
    manifest: dict[str, Any] | None
    pointed: bool
    made: dt.date
    bytes: int = field(compare=False)

    @property
    def key(self) -> Key:
        """What a lineage calls it."""
        return self.dataset, self.date, self.directory_id

    def __str__(self) -> str:
        return f"{self.dataset} of {self.date}"


def directories(lake: Lake, datasets: Iterable[str]) -> list[Directory]:
    """All of some datasets, in order of dataset, date and name.

    Raises:
        DamagedError: a pointer cannot be read.
    """
    return [found for name in sorted(datasets) for found in _of(lake, name)]


def _of(lake: Lake, name: str) -> Iterator[Directory]:
    pointers = lake.pointers(name, dt.date.max)
    for path in sorted(lake.dataset(name).glob(f"{DATE}*/{RUN}*")):
        try:
            date = dt.date.fromisoformat(path.parent.name.removeprefix(DATE))
        except ValueError:
            log.warning("%s is of no date, so it does not expire", path)
            continue
        directory_id = path.name.removeprefix(RUN)
        closing = path / MANIFEST
        yield Directory(
            name,
            date,
            directory_id,
            path,
            _manifest(closing),
            pointers.get(date) == directory_id,
            day_of(closing if closing.exists() else path),
            bytes_in(path),
        )


def scratch(lake: Lake) -> Iterator[Path]:
    """What stages of runs have left below `work/`."""
    yield from sorted(lake.dataset("work").glob(f"*/{DATE}*/{RUN}*"))


def day_of(path: Path) -> dt.date:
    """The day on which a file or a directory was last changed, in UTC."""
    return dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC).date()


def bytes_in(path: Path) -> int:
    """Bytes of all files below a directory. One that two directories link counts in each."""
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())


def _manifest(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        return read_sealed_json(path)
    except FaultError:
        return {}
