"""What a night can start from: yesterday's result and what was delivered since, or the whole past.

Reads pointers and manifests only. A dataset that is carried from night to night (`acts`,
`catalogue`, `shoppers`) says in its manifest which directory of every delivery it was made from
(`made_from`) and with which settings. The newest one before the night of which both still hold is
what the night goes on from; deliveries after it are all that has to be read. Where none holds,
because a delivery was cleaned again, settings or the code changed, or there never was one, the
night is rebuilt from the whole past, and says why.

Gives up: the list of directories grows by a line a delivery (about 40 bytes a dataset).
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.lake import Lake, Partition

INCREMENTAL = "incremental"
Directories = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Increment:
    """What a dataset is made from on a night.

    `before` is its partition of an earlier night, none for a rebuild. `new` are the deliveries that
    have to be read, by dataset, `made_from` the directories of all of them.
    """

    before: Partition | None
    built: str
    new: Mapping[str, list[Partition]]
    made_from: Directories
    settings: Mapping[str, Any]

    def rows(self, name: str) -> int:
        """Rows of a dataset delivered up to the night, as their writers counted."""
        earlier = self.before.manifest["rows_read"][name] if self.before else 0
        return int(earlier) + sum(part.rows for part in self.new[name])

    def facts(self) -> dict[str, Any]:
        """What the manifest has to say for the next night."""
        return {
            "made_from": self.made_from,
            "settings": dict(self.settings),
            "rows_read": {name: self.rows(name) for name in self.new},
            "built": self.built,
        }


def increment_of(
    lake: Lake,
    name: str,
    inputs: Sequence[str],
    night: dt.date,
    settings: Mapping[str, Any],
    *,
    why_rebuild: str = "",
) -> Increment:
    """What to make a dataset of a night from.

    Args:
        inputs: the datasets it is made from.
        settings: what of the settings changes its rows.
        why_rebuild: a reason not to look for an earlier night; empty: look.
    """
    pointers = {source: lake.pointers(source, night) for source in inputs}
    made_from = {source: _as_text(found) for source, found in pointers.items()}
    before, why = None, why_rebuild
    if not why:
        before, why = _newest_that_holds(lake, name, night, made_from, dict(settings))
    since = before.run_date if before else dt.date.min
    new = {
        source: [
            lake.partition(source, date, directory)
            for date, directory in found.items()
            if date > since
        ]
        for source, found in pointers.items()
    }
    built = INCREMENTAL if before else f"rebuilt because {why}"
    return Increment(before, built, new, made_from, settings)


def code_of(modules: Sequence[str], contracts: Sequence[str]) -> str:
    """A digest of the code and the contracts that a dataset's rows come from.

    Args:
        modules: names of modules of this package.
        contracts: names of datasets.
    """
    files = [
        *(resources.files("pipeline.histories") / f"{name}.py" for name in modules),
        *(resources.files("schemas") / f"{name}.v1.yaml" for name in contracts),
    ]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def oldest_day(partitions: Iterable[Partition], column: str) -> dt.date | None:
    """The smallest value of a date column, by paths and footers; none where there is no row."""
    days = [day for part in partitions if part.rows for day in _days(part, column)]
    return min(days, default=None)


def _days(partition: Partition, column: str) -> list[dt.date]:
    days = []
    for file in partition.files:
        named = [part for part in file.parts if part.startswith(f"{column}=")]
        if named:
            days.append(dt.date.fromisoformat(named[0].removeprefix(f"{column}=")))
            continue
        oldest = pc.min(pq.read_table(file, columns=[column])[column]).as_py()
        if oldest is not None:
            days.append(oldest)
    return days


def _newest_that_holds(
    lake: Lake, name: str, night: dt.date, made_from: Directories, settings: dict[str, Any]
) -> tuple[Partition | None, str]:
    why = f"there are no {name} of an earlier night"
    for date in reversed(lake.dates(name, night - dt.timedelta(days=1))):
        earlier = lake.require(name, date)
        fault = _fault(earlier, made_from, settings)
        if not fault:
            return earlier, ""
        why = f"the {name} of {date} {fault}" if why.startswith("there are no") else why
    return None, why


def _fault(earlier: Partition, made_from: Directories, settings: dict[str, Any]) -> str:
    """Why an earlier night's partition cannot be gone on from; empty where it can."""
    said = earlier.manifest
    if "made_from" not in said:
        return "do not say what they were made from"
    changed = sorted(
        key
        for key in {*settings, *said["settings"]}
        if settings.get(key) != said["settings"].get(key)
    )
    if changed:
        return f"were made with another {', '.join(changed)}"
    last = earlier.run_date.isoformat()
    for source, directories in made_from.items():
        now = {date: directory for date, directory in directories.items() if date <= last}
        then = said["made_from"].get(source, {})
        differing = sorted(day for day in {*now, *then} if now.get(day) != then.get(day))
        if differing:
            more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
            return f"were made from another {source} of {differing[0]}{more} than is current"
    return ""


def _as_text(found: Mapping[dt.date, str]) -> dict[str, str]:
    return {date.isoformat(): directory for date, directory in found.items()}
