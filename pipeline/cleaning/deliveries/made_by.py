"""What a cleaned day was made by, and which days in the lake were made by something else.

The manifest of a cleaned partition says under `lineage` what decided its rows beside the raw files:
`mapping` (the dataset's entry in the source YAML, with its rules and its time zone), `contract`
(the checks of `raw_<dataset>` and `cleaned_<dataset>`), `timezone` of the shop, `limits` (the
settings of `[cleaning]` that decide rows), and the digest of the code. A day whose mapping,
contract, zone or limits are others now must not stand beside days that are made by the new ones, so
the next night makes it again, if its raw files are still there, and still what the source's
`files` names (`delivery_days`). A partition
without lineage, from an older version, counts as made by something else.

Another digest of the code does not have a day made again by itself: it changes with each version
and with any comment. `nightcart status` names such days, and `python -m jobs.clean --again` makes
them again.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.cleaning.deliveries.raw_files import RAW_FILES
from pipeline.cleaning.deliveries.releases import missing_raw_file
from pipeline.code_digest import code_digest
from pipeline.contracts.contract import Contract, load_contract
from pipeline.datasets import cleaned
from pipeline.lake import Lake, Partition
from pipeline.lineage import Lineage, lineage_of
from pipeline.settings import Cleaning, Settings
from pipeline.sources.shop_source import shop_source
from pipeline.sources.source import Source, SourceDataset

CODE = "code"
UNKNOWN = "an older version"

_CODE = "pipeline.cleaning.dataset_pass"
# Where the files lie, what fetched them and whether they must be there decides no row.
_DECIDES_NOTHING = ("where", "files", "required", "table", "kept_below")
# What most datasets do not have, and days of older versions do not name.
_IF_ANY = (
    "own_columns",
    "joins",
    "explode",
    "layouts",
    "since",
    "until",
    "ids_within_elsewhere",
)
_LIMITS = {
    "events": (
        "late_horizon_days",
        "bot_max_events_per_day",
        "bot_max_items_per_day",
        "bot_no_dwell_min_events",
        "bot_no_dwell_seconds",
        "near_duplicate_seconds",
        "near_duplicate_types",
    ),
    "reviews": ("late_horizon_days",),
}


@dataclass(frozen=True)
class MadeOtherwise:
    """Days of one dataset that were made by something else than would make them now."""

    dataset: str
    days: Mapping[dt.date, list[str]]  # what is different: names of `Lineage.settings`, or `code`
    # A raw file that is missing now, or that the source does not ask for any more.
    gone: Mapping[dt.date, str] = field(default_factory=dict)

    def without_code(self) -> MadeOtherwise:
        """Only the days of which more than the code is different."""
        return dataclasses.replace(
            self, days={day: names for day, names in self.days.items() if names != [CODE]}
        )

    def differences(self) -> str:
        """All that is different, for a message."""
        return ", ".join(sorted({name for names in self.days.values() for name in names}))


def made_by(source: Source, settings: Settings) -> dict[str, Lineage]:
    """What each dataset of a source would be made by now.

    Args:
        source: with its time zone filled in (`with_timezone`).
        settings: the shop's zone and the limits of cleaning.
    """
    code = code_digest(_CODE)
    return {
        name: Lineage(
            {},
            code,
            {
                "mapping": _digest(_mapping(dataset)),
                "contract": _digest([_checks(f"raw_{name}"), _checks(cleaned(name))]),
                "timezone": settings.shop.timezone,
                "limits": _limits(name, settings.cleaning),
            },
        )
        for name, dataset in source.datasets.items()
    }


def made_otherwise(  # noqa: PLR0917
    lake: Lake,
    raw_root: Path | str,
    source: Source,
    dataset: str,
    now: Lineage,
    days: Iterable[dt.date],
) -> MadeOtherwise:
    """The committed days of one dataset that differ from `now`, those without their files apart."""
    found: dict[dt.date, list[str]] = {}
    gone: dict[dt.date, str] = {}
    for day in days:
        partition = lake.whole(cleaned(dataset), day)
        different = _different(partition, now) if partition is not None else []
        if not different:
            continue
        missing = missing_raw_file(lake, raw_root, source, day)
        if missing is None:
            found[day] = different
        elif different != [CODE]:
            gone[day] = missing
    return MadeOtherwise(dataset, found, gone)


def described(lake: Lake, settings: Settings) -> list[str]:
    """Lines for people: which days in the lake were made by something else, and what mends it.

    Raises:
        ContractError: the shop's source is none.
    """
    source = shop_source(settings)
    lines = []
    for name, now in made_by(source, settings).items():
        days = lake.dates(cleaned(name))
        found = made_otherwise(lake, settings.paths.raw, source, name, now, days)
        decisive = found.without_code()
        if decisive.days:
            lines.append(
                f"{name} of {_days(decisive.days)}: another {decisive.differences()}. "
                "The next night cleans them again"
            )
        if found.gone:
            lines.append(
                f"{name} of {_days(found.gone)}: made by something else, and their raw files are "
                f"gone or of another name than the source's ({next(iter(found.gone.values()))}): "
                "they stay as they are"
            )
        if only_code := found.days.keys() - decisive.days.keys():
            lines.append(
                f"{name} of {_days(only_code)}: other code, the same mapping. They stay as they "
                "are until `python -m jobs.clean --again --date …` cleans them again"
            )
    return lines


def _days(days: Collection[dt.date]) -> str:
    return f"{len(days)} days ({min(days)} to {max(days)})" if len(days) > 1 else f"{min(days)}"


def _different(partition: Partition, now: Lineage) -> list[str]:
    raw_files = partition.manifest.get(RAW_FILES)
    if not raw_files:
        return []  # nothing was mapped
    lineage = lineage_of(partition)
    return [UNKNOWN] if lineage is None else now.other_values(lineage)


def _mapping(dataset: SourceDataset) -> dict[str, Any]:
    of = {
        one.name: dataclasses.asdict(dataset)[one.name]
        for one in dataclasses.fields(dataset)
        if one.name not in _DECIDES_NOTHING
        and (one.name not in _IF_ANY or getattr(dataset, one.name))
    }
    if dataset.joins:
        of["joins"] = [
            dataclasses.asdict(join) | {"table": _mapping(join.table)} for join in dataset.joins
        ]
    if dataset.layouts:
        of["layouts"] = [_mapping(one) for one in dataset.layouts]
    return of


def _checks(name: str) -> dict[str, Any]:
    """A contract without its words, which decide nothing."""
    contract: Contract = load_contract(name)
    columns = [dataclasses.asdict(one) | {"description": ""} for one in contract.columns]
    rules = [[rule.name, rule.predicate] for rule in contract.rules]
    return {"columns": columns, "rules": rules, "key": contract.key}


def _limits(name: str, limits: Cleaning) -> dict[str, Any]:
    values = dataclasses.asdict(limits)
    found = {limit: values[limit] for limit in _LIMITS.get(name, ())}
    # As a manifest gives them back.
    return dict(json.loads(json.dumps(found)))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
