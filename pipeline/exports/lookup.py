"""What every export of a night has in common: its lists, and the ids that they go by.

Reads the pointers of the lake, the key and the raw files. Writes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.datasets import RECOMMENDATIONS, TRIGGERS
from pipeline.errors import InputError, SettingsError
from pipeline.exports.own_ids import BySpark, own_ids
from pipeline.exports.profile import TRIGGERS as TRIGGERS_EXPORT
from pipeline.lake import Lake, Partition
from pipeline.lake_key import key_of_lake
from pipeline.publishing.consent import not_agreeing
from pipeline.publishing.list_origin import beside_lists, is_degraded
from pipeline.settings import Settings
from pipeline.settings_ranges import PSEUDONYM
from pipeline.sources.source import with_timezone
from pipeline.sources.source_yaml import load_source


def published_lists(lake: Lake, night: dt.date | None) -> Partition:
    """The lists of a night; by default those that readers see.

    Raises:
        InputError: nothing is published, or not for that night.
    """
    lists = lake.require(RECOMMENDATIONS, night) if night else lake.latest(RECOMMENDATIONS)
    if lists is None:
        raise InputError(
            f"nothing is published in {lake.root} yet; run a night first: nightcart run --date "
            "YYYY-MM-DD"
        )
    return lists


def exported_partition(lake: Lake, lists: Partition, dataset: str) -> Partition:
    """What of a published night is exported: its lists, or the triggers beside them.

    Raises:
        InputError: the night has no triggers.
    """
    if dataset != TRIGGERS_EXPORT:
        return lists
    triggers = beside_lists(lake, TRIGGERS, lists)
    if triggers is None:
        why = (
            "its lists stand in from an earlier night, whose triggers are not repeated"
            if is_degraded(lists)
            else "it was published without any (triggers.kinds, or the stage target failed)"
        )
        raise InputError(
            f"the night of {lists.run_date} has no triggers to export: {why}. Name another night "
            "with --date, or export --dataset lists"
        )
    return triggers


def known_ids(
    lake: Lake, settings: Settings, parts: Sequence[Partition], ids: str, by_spark: BySpark
) -> dict[str, str] | None:
    """The retailer's ids of who is in some partitions by pseudonym; none to export pseudonyms.

    Who does not agree to be written to is not looked for.

    Args:
        ids: "own" or "pseudonym".
        by_spark: as `own_ids` asks.

    Raises:
        SettingsError: the key is not there, or is not this lake's.
        InputError: the raw files know none of the shoppers.
    """
    if ids == PSEUDONYM:
        return None
    key_file = Path(settings.privacy.key_file)
    if not key_file.exists():
        raise SettingsError(
            f"privacy.key_file {key_file} is not there, and only who has the key can say which of "
            "the retailer's ids a pseudonym is. Export where the key is, or with --ids pseudonym"
        )
    key = key_of_lake(lake, key_file)
    source = with_timezone(load_source(settings.shop.source), settings.shop.timezone)
    wanted: set[Any] = set()
    for part in parts:
        for path in part.files:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=["user_id"]):
                    wanted.update(batch.column("user_id").to_pylist())
    for part in parts:
        wanted.difference_update(not_agreeing(lake, part))
    return own_ids(source, settings.paths.raw, key, wanted, by_spark)
