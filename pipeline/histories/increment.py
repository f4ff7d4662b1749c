"""What a night can start from: yesterday's result and what was delivered since, or the whole past.

Reads pointers and manifests only. A dataset that is carried from night to night (`acts`,
`catalogue`, `user_attributes`) has a lineage that names the directory of every delivery, the code
and the settings. The newest one before the night whose lineage still holds is what the night goes
on from; deliveries after it are all that has to be read. Where none holds, because a delivery was
cleaned again, settings or the code changed, or there never was one, the night is rebuilt from the
whole past, and says why.

Gives up: the list of directories grows by a line a delivery (about 40 bytes a dataset).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from pipeline.encryption.parquet_files import read_table
from pipeline.lake import Lake, Partition
from pipeline.lineage import SINCE, Lineage, inputs_upto, lineage_of
from pipeline.retention.expired import expired_of

INCREMENTAL = "incremental"


@dataclass(frozen=True)
class Increment:
    """What a dataset is made from on a night.

    `before` is its partition of an earlier night, none for a rebuild. `new` are the deliveries that
    have to be read, by dataset; `lineage` names all of them.
    """

    before: Partition | None
    built: str
    new: Mapping[str, list[Partition]]
    lineage: Lineage

    def rows(self, name: str) -> int:
        """Rows of a dataset delivered up to the night, as their writers counted."""
        earlier = self.before.manifest["rows_read"][name] if self.before else 0
        return int(earlier) + sum(part.rows for part in self.new[name])

    def facts(self) -> dict[str, Any]:
        """What the manifest has to say for the next night."""
        return {
            **self.lineage.facts(),
            "rows_read": {name: self.rows(name) for name in self.new},
            "built": self.built,
            **({SINCE: self.before.run_date.isoformat()} if self.before else {}),
        }


def increment_of(
    lake: Lake,
    name: str,
    inputs: Sequence[str],
    night: dt.date,
    *,
    code: str,
    settings: Mapping[str, Any],
    why_rebuild: str = "",
) -> Increment:
    """What to make a dataset of a night from.

    Args:
        inputs: the datasets it is made from.
        code: digest of the code that makes its rows.
        settings: what of the settings changes its rows.
        why_rebuild: a reason not to look for an earlier night; empty: look.
    """
    expired = expired_of(lake, inputs)
    lineage = Lineage(inputs_upto(lake, inputs, night), code, settings).after(expired)
    before, why = None, why_rebuild
    if not why:
        before, why = _newest_that_holds(lake, name, night, lineage, expired)
    since = (before.run_date if before else dt.date.min).isoformat()
    new = {
        source: [
            lake.partition(source, dt.date.fromisoformat(day), directory)
            for day, directory in found.items()
            if day > since
        ]
        for source, found in lineage.inputs.items()
    }
    less = f", without deliveries up to {expired}, which have expired" if expired else ""
    built = INCREMENTAL if before else f"rebuilt because {why}{less}"
    return Increment(before, built, new, lineage)


def oldest_day(partitions: Iterable[Partition], column: str) -> dt.date | None:
    """The smallest value of a date column, by paths and footers; none where there is no row."""
    days = [day for part in partitions if part.rows for day in _days(part, column)]
    return min(days, default=None)


def _days(partition: Partition, column: str) -> list[dt.date]:
    days = []
    for file in partition.paths:
        named = [part for part in file.parts if part.startswith(f"{column}=")]
        if named:
            days.append(dt.date.fromisoformat(named[0].removeprefix(f"{column}=")))
            continue
        (read,) = partition.verified([file])
        oldest = pc.min(read_table(read, columns=[column])[column]).as_py()
        if oldest is not None:
            days.append(oldest)
    return days


def _newest_that_holds(
    lake: Lake, name: str, night: dt.date, lineage: Lineage, expired: dt.date | None
) -> tuple[Partition | None, str]:
    why = f"there are no {name} of an earlier night"
    for date in reversed(lake.dates(name, night - dt.timedelta(days=1))):
        earlier = lake.whole(name, date)
        fault = _fault(earlier, lineage, expired) if earlier else "are damaged"
        if not fault:
            return earlier, ""
        why = f"the {name} of {date} {fault}" if why.startswith("there are no") else why
    return None, why


def _fault(earlier: Partition, lineage: Lineage, expired: dt.date | None) -> str:
    """Why an earlier night's partition cannot be gone on from; empty where it can."""
    then = lineage_of(earlier)
    if then is None:
        return "do not say what they were made from"
    changed = lineage.other_values(then)
    if changed:
        return f"were made with another {', '.join(changed)}"
    for source, days in lineage.upto(earlier.run_date).other_inputs(then.after(expired)).items():
        more = f" and {len(days) - 1} more" if len(days) > 1 else ""
        return f"were made from another {source} of {days[0]}{more} than is current"
    return ""
