"""Writing a night's catalogue, and what the deliveries since the last one changed in it.

Reads the new deliveries of `cleaned_items` and the catalogue that they follow. Writes `catalogue`,
which the stage commits with the night's other datasets, and commits `catalogue_changes` of each
delivery that has none yet: what they say does not depend on how the night goes on.
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import functions as F

from pipeline.errors import GateError
from pipeline.histories import catalogue_changes as changes
from pipeline.histories.by_delivery import write_by_delivery
from pipeline.histories.catalogue import catalogue_as_of, complete_days, entries
from pipeline.histories.increment import code_of
from pipeline.histories.night import HistoryNight, count_rows
from pipeline.histories.past import DELIVERED, read_past, write_sorted
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


def write_catalogue(night: HistoryNight) -> WrittenCatalogue:
    """Write the catalogue and commit the changes.

    Raises:
        GateError: fewer items are sellable than a list has.
    """
    increment = night.catalogue
    complete = _complete(night)
    new, before = night.new(increment, "cleaned_items"), night.before(increment, "catalogue")
    frame = catalogue_as_of(entries(new, before), complete[-1] if complete else None)
    path = night.lake.begin("catalogue", night.run)
    items = write_sorted(frame, path, key="item_id", files=night.files(increment))
    sellable = count_rows(night.stored("catalogue", path), "sellable")["sellable"]
    _require_sellable(night, items, sellable)
    changed = _write_changes(night, complete)
    log.info("catalogue: %d items, %d sellable, %d changes", items, sellable, changed)
    known = (increment.before.rows if increment.before else 0) + sum(
        part.rows for part in increment.new["cleaned_items"]
    )
    line = night.line("catalogue", known, items, superseded=known - items)
    facts = increment.facts() | {
        "rows": items,
        "sellable": sellable,
        COMPLETE_ON: complete[-1].isoformat() if complete else None,
    }
    return WrittenCatalogue(path, items, sellable, changed, facts, line)


def _complete(night: HistoryNight) -> list[dt.date]:
    """Days that delivered the whole catalogue: the newest that was known before, and those since."""
    increment = night.catalogue
    said = increment.before.manifest.get(COMPLETE_ON) if increment.before else None
    since = complete_days(increment.new["cleaned_items"])
    return [dt.date.fromisoformat(said), *since] if said else since


def _write_changes(night: HistoryNight, complete: list[dt.date]) -> int:
    """Commit the changes of deliveries that have none; how many the night's deliveries made."""
    increment = night.catalogue
    code = code_of(["catalogue_changes", "catalogue"], [changes.NAME, "cleaned_items"])
    todo = changes.missing_changes(night.lake, increment.made_from["cleaned_items"], code)
    if not todo:
        return 0
    before, since = night.before(increment, "catalogue"), None
    if increment.before is not None and min(todo) > increment.before.run_date:
        known, since = entries(night.new(increment, "cleaned_items"), before), increment.before
    else:
        # An earlier delivery's changes are missing too: only the whole past tells them.
        known = entries(read_past(night.spark, night.lake, "cleaned_items", night.date), None)
        complete = complete_days(night.lake.past("cleaned_items", night.date))
    made = changes.changes(known, since.run_date if since else None, complete)
    tasks = min(len(todo), night.settings.spark.shuffle_partitions)
    of_days = made.where(F.col("changed_date").isin(*todo)).withColumn(
        DELIVERED, F.col("changed_date")
    )
    write_by_delivery(
        of_days.repartition(tasks, DELIVERED),
        night.lake,
        night.run,
        name=changes.NAME,
        days=todo,
        order=["item_id"],
    )
    return sum(night.lake.require(changes.NAME, day).rows for day in todo)


def _require_sellable(night: HistoryNight, items: int, sellable: int) -> None:
    k = night.settings.generation.k
    if sellable < k:
        raise GateError(
            f"the catalogue of {night.date} has {sellable} sellable of {items} items, and a list "
            f"has generation.k = {k} distinct ones. Set generation.k to {max(sellable, 1)} or less, "
            "or deliver more items that are listed and in stock"
        )
