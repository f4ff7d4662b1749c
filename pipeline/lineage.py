"""What a partition was made from: directories of other datasets, code, settings.

A stage that makes a partition writes its `Lineage` into the manifest, under the key `lineage`.
Whoever reuses, continues or shows the partition compares it with what they would make it from now,
or finds there the inputs that were read then, whatever the pointers name since. It has the same
shape in every dataset.

Nothing is written here. Standard library only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.lake import Lake, Partition

LINEAGE = "lineage"
# Further keys of a manifest: the night that acts go on from, and the night whose lists stand in.
SINCE = "since"
LISTS_OF = "lists_of"

# Dataset -> date of the delivery or the night, ISO 8601 -> directory, as a pointer calls it.
Inputs = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Lineage:
    """What a partition was made from. Where rows are reused, all that decides those rows.

    Args:
        inputs: the directories that were read.
        code: digest of the code that made the rows (`pipeline.code_digest`); none where nobody asks
            for it here: lists say it in `list_key` and `inputs`.
        settings: other values that decide the rows, by name; of kinds that JSON keeps as they are.
    """

    inputs: Inputs
    code: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """For the manifest: keyword arguments of `Lake.commit` and `Lake.close`."""
        inputs = {name: dict(dates) for name, dates in self.inputs.items()}
        return {LINEAGE: {"inputs": inputs, "code": self.code, "settings": dict(self.settings)}}

    def directory(self, dataset: str, date: dt.date) -> str | None:
        """The directory of a dataset and a date, if the partition was made from any."""
        return self.inputs.get(dataset, {}).get(date.isoformat())

    def upto(self, date: dt.date) -> Lineage:
        """The same without inputs of later dates."""
        last = date.isoformat()
        inputs = {
            name: {day: directory for day, directory in dates.items() if day <= last}
            for name, dates in self.inputs.items()
        }
        return replace(self, inputs=inputs)

    def after(self, date: dt.date | None) -> Lineage:
        """The same without inputs up to a date; all of them where there is none."""
        if date is None:
            return self
        inputs = {
            name: {day: directory for day, directory in dates.items() if day > date.isoformat()}
            for name, dates in self.inputs.items()
        }
        return replace(self, inputs=inputs)

    def other_values(self, other: Lineage) -> list[str]:
        """Names of the settings that differ between two lineages, `code` among them; sorted."""
        one, two = ({**of.settings, "code": of.code} for of in (self, other))
        return sorted(name for name in {*one, *two} if one.get(name) != two.get(name))

    def other_inputs(self, other: Lineage) -> dict[str, list[str]]:
        """Dates of which two lineages name different directories, ascending, by dataset."""
        found = {}
        for name in dict.fromkeys([*self.inputs, *other.inputs]):
            one, two = (of.inputs.get(name, {}) for of in (self, other))
            dates = sorted(day for day in {*one, *two} if one.get(day) != two.get(day))
            if dates:
                found[name] = dates
        return found


def lineage_of(partition: Partition) -> Lineage | None:
    """What the manifest of a partition says; none where it says nothing."""
    facts = partition.manifest.get(LINEAGE)
    return None if facts is None else Lineage(**facts)


def inputs_of(partitions: Mapping[str, Partition]) -> Inputs:
    """The inputs of what is made from one partition of each dataset."""
    return {
        name: {partition.run_date.isoformat(): partition.directory_id}
        for name, partition in partitions.items()
    }


def inputs_upto(lake: Lake, datasets: Iterable[str], date: dt.date) -> Inputs:
    """The inputs of what is made from all that the pointers name up to a date, ascending.

    Pointers are read, and no manifest.
    """
    return {
        name: {day.isoformat(): directory for day, directory in lake.pointers(name, date).items()}
        for name in datasets
    }
