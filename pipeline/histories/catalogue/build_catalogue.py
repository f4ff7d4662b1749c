"""Writing a night's catalogue, and what the deliveries since the last one changed in it.

Reads the new deliveries of `cleaned_items` and the catalogue that they follow. Writes `catalogue`,
which the stage commits with the night's other datasets. Commits `catalogue_changes` of each
delivery that has none yet at once, because they do not depend on the rest of the night.
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import functions as F

from pipeline.code_digest import SPARK_SESSION, code_digest
from pipeline.datasets import CATALOGUE, CATALOGUE_CHANGES, CLEANED_ITEMS
from pipeline.errors import GateError
from pipeline.histories.by_delivery import write_by_delivery
from pipeline.histories.catalogue import catalogue_changes as changes
from pipeline.histories.catalogue.catalogue import catalogue_as_of, complete_days, entries
from pipeline.histories.night import HistoryNight, count_rows
from pipeline.histories.past import DELIVERED, read_past
from pipeline.histories.sorted_files import write_sorted
from pipeline.ledger import LedgerLine

log = logging.getLogger("nightcart")

COMPLETE_ON = "complete_on"


@dataclass(frozen=True)
class WrittenCatalogue:
    """The night's catalogue, written and not yet committed."""

    path: Path
    items: int
    sellable: int
    changes: int
    facts: dict[str, Any]
    line: LedgerLine
    warnings: list[str]


def write_catalogue(night: HistoryNight) -> WrittenCatalogue:
    """Write the catalogue and commit the changes.

    Raises:
        GateError: not one item is sellable.
    """
    increment = night.catalogue
    complete = _complete(night)
    new, before = night.new(increment, CLEANED_ITEMS), night.before(increment, CATALOGUE)
    frame = catalogue_as_of(entries(new, before), complete[-1] if complete else None)
    path = night.lake.begin(CATALOGUE, night.run)
    items = write_sorted(frame, path, key="item_id", files=night.files(increment), plain=True)
    sellable = count_rows(night.stored(CATALOGUE, path), "sellable")["sellable"]
    warnings = _require_sellable(night, items, sellable)
    changed = _write_changes(night, complete)
    log.info("catalogue: %d items, %d sellable, %d changes", items, sellable, changed)
    known = (increment.before.rows if increment.before else 0) + sum(
        part.rows for part in increment.new[CLEANED_ITEMS]
    )
    line = night.line(CATALOGUE, known, items, superseded=known - items)
    facts = increment.facts() | {
        "rows": items,
        "sellable": sellable,
        COMPLETE_ON: complete[-1].isoformat() if complete else None,
    }
    return WrittenCatalogue(path, items, sellable, changed, facts, line, warnings)


def _complete(night: HistoryNight) -> list[dt.date]:
    """Days that delivered the whole catalogue: the newest one known before, and those since."""
    increment = night.catalogue
    newest = increment.before.manifest.get(COMPLETE_ON) if increment.before else None
    since = complete_days(increment.new["cleaned_items"])
    return [dt.date.fromisoformat(newest), *since] if newest else since


def _write_changes(night: HistoryNight, complete: list[dt.date]) -> int:
    """Commit the changes of deliveries that have none; returns how many changes there are."""
    increment = night.catalogue
    code = code_digest(__name__, SPARK_SESSION)
    todo = changes.missing_changes(night.lake, increment.lineage.inputs[CLEANED_ITEMS], code)
    if not todo:
        return 0
    before, since = night.before(increment, CATALOGUE), None
    if increment.before is not None and min(todo) > increment.before.run_date:
        known, since = entries(night.new(increment, CLEANED_ITEMS), before), increment.before
    else:
        # An earlier delivery's changes are missing too: they need the whole past.
        known = entries(read_past(night.spark, night.lake, CLEANED_ITEMS, night.date), None)
        complete = complete_days(night.lake.past(CLEANED_ITEMS, night.date))
    made = changes.changes(known, since.run_date if since else None, complete)
    tasks = min(len(todo), night.settings.spark.shuffle_partitions)
    of_days = made.where(F.col("changed_date").isin(*todo)).withColumn(
        DELIVERED, F.col("changed_date")
    )
    write_by_delivery(
        of_days.repartition(tasks, DELIVERED),
        night.lake,
        night.run,
        name=CATALOGUE_CHANGES,
        days=todo,
        order=["item_id"],
    )
    return sum(night.lake.require(CATALOGUE_CHANGES, day).rows for day in todo)


def _require_sellable(night: HistoryNight, items: int, sellable: int) -> list[str]:
    """A warning where every list will be shorter than the settings ask for.

    Raises:
        GateError: not one item is sellable.
    """
    k = night.settings.generation.k
    if not sellable:
        raise GateError(
            f"the catalogue of {night.date} has not one sellable item of {items}: nothing can be "
            "recommended. Deliver items that are listed and in stock, or look at what the source "
            "maps to listed and stock"
        )
    if sellable >= k:
        return []
    warning = (
        f"the catalogue of {night.date} has {sellable} sellable of {items} items: lists are "
        f"shorter than generation.k = {k}"
    )
    log.warning("%s", warning)
    return [warning]
