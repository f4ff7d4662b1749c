"""What the steps of one night's `build_histories` share: what each dataset is made from."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.code_digest import SPARK_SESSION, code_digest
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.datasets import (
    ACTS,
    CATALOGUE,
    CLEANED_EVENTS,
    CLEANED_ITEMS,
    CLEANED_REVIEWS,
    CLEANED_USERS,
    RETRACTIONS,
    USER_ATTRIBUTES,
)
from pipeline.histories.acts.act_log import Memory
from pipeline.histories.increment import Increment, increment_of, oldest_day
from pipeline.histories.past import read_deliveries
from pipeline.histories.sorted_files import file_count
from pipeline.lake import Lake, Run
from pipeline.ledger import LedgerLine
from pipeline.settings import Settings
from pipeline.stages import BUILD_HISTORIES

log = logging.getLogger("nightcart")

# The modules that make and write the rows of each continued dataset.
_WRITERS = {
    ACTS: ("pipeline.histories.acts.build_acts",),
    CATALOGUE: ("pipeline.histories.catalogue.build_catalogue",),
    USER_ATTRIBUTES: ("pipeline.histories.build_user_attributes",),
}
# The datasets of a delivery that bring dated rows, and the column of the date.
_DATED = {
    CLEANED_EVENTS: "event_date",
    CLEANED_REVIEWS: "review_date",
    RETRACTIONS: "event_date",
}


@dataclass(frozen=True)
class HistoryNight:
    """One night: what its continued datasets are made from, and the settings."""

    spark: SparkSession
    lake: Lake
    run: Run
    settings: Settings
    acts: Increment
    catalogue: Increment
    user_attributes: Increment

    @property
    def date(self) -> dt.date:
        """The last day that is known."""
        return self.run.run_date

    @property
    def repeat_types(self) -> tuple[str, ...]:
        """Types of events that may be held out again and again; none where items do not repeat."""
        settings = self.settings
        if settings.generation.exclude_owned:
            return ()
        return tuple(settings.histories.target_event_types)

    def memory(self) -> Memory:
        """How much is remembered of each user's past."""
        return memory_of(self.settings, self.date)

    def new(self, increment: Increment, name: str) -> DataFrame:
        """The deliveries of a dataset that have to be read."""
        return read_deliveries(self.spark, self.lake, name, increment.new[name])

    def before(self, increment: Increment, name: str) -> DataFrame | None:
        """The partition of the earlier night that this one continues, if there is one."""
        if increment.before is None:
            return None
        files = [str(file) for file in increment.before.files]
        return self.spark.read.schema(spark_schema(load_contract(name))).parquet(*files)

    def stored(self, name: str, path: Path) -> DataFrame:
        """What this night has written of a dataset."""
        return self.spark.read.schema(spark_schema(load_contract(name))).parquet(str(path))

    def files(self, increment: Increment) -> int:
        """Into how many files to cut a dataset: the same for an increment and a rebuild."""
        rows = sum(increment.rows(name) for name in increment.new)
        return file_count(rows, self.settings.spark.shuffle_partitions)

    def line(self, name: str, rows_in: int, rows_out: int, **removed: int) -> LedgerLine:
        """A line of the ledger that balances, or fails the night."""
        by_rule = {rule: n for rule, n in removed.items() if n}
        line = LedgerLine(
            self.date, self.run.run_id, BUILD_HISTORIES, name, rows_in, rows_out, {}, by_rule
        )
        return line.check()

    def built(self) -> dict[str, str]:
        """How each continued dataset was made: `incremental`, or why it was rebuilt."""
        continued = {
            "acts": self.acts,
            "catalogue": self.catalogue,
            "user_attributes": self.user_attributes,
        }
        return {name: increment.built for name, increment in continued.items()}


def memory_of(settings: Settings, night: dt.date) -> Memory:
    """What a night's acts are to hold, by the settings."""
    return Memory(
        night,
        settings.cleaning.late_horizon_days,
        settings.histories.cancellation_days,
        settings.histories.max_events,
        settings.histories.target_event_types,
    )


def history_night(
    spark: SparkSession, lake: Lake, run: Run, settings: Settings, *, rebuild: bool
) -> HistoryNight:
    """Find what the night can continue, and log what is rebuilt."""
    why = "it was asked for" if rebuild else ""
    if not why and not settings.histories.incremental:
        why = "histories.incremental is false"

    def continued(name: str, source: str) -> Increment:
        return increment_of(
            lake, name, [source], date, code=_code_of(name), settings={}, why_rebuild=why
        )

    date = run.run_date
    night = HistoryNight(
        spark,
        lake,
        run,
        settings,
        _acts_increment(lake, date, settings, why),
        continued(CATALOGUE, CLEANED_ITEMS),
        continued(USER_ATTRIBUTES, CLEANED_USERS),
    )
    for name, built in night.built().items():
        log.info("%s: %s", name, built)
    return night


def _code_of(name: str) -> str:
    return code_digest(*_WRITERS[name], SPARK_SESSION)


def _acts_increment(lake: Lake, date: dt.date, settings: Settings, why: str) -> Increment:
    memory = memory_of(settings, date)
    chosen = {
        "cleaning.late_horizon_days": memory.horizon_days,
        "histories.cancellation_days": memory.cancellation_days,
        "histories.max_events": memory.max_events,
        "histories.target_event_types": list(memory.targets),
    }

    def looked_for(why: str) -> Increment:
        return increment_of(
            lake, ACTS, list(_DATED), date, code=_code_of(ACTS), settings=chosen, why_rebuild=why
        )

    found = looked_for(why)
    if found.before is None:
        return found
    oldest = [oldest_day(found.new[name], column) for name, column in _DATED.items()]
    reaches = min((day for day in oldest if day is not None), default=None)
    settled = memory_of(settings, found.before.run_date).settled_until
    if reaches is None or reaches >= settled:
        return found
    why = (
        f"a delivery since {found.before.run_date} is of acts of {reaches}, and of what was before "
        f"{settled} only a part is remembered"
    )
    return looked_for(why)


def row_of(frame: DataFrame) -> dict[str, int]:
    """The only row of an aggregate without groups."""
    first = frame.first()
    assert first is not None
    return first.asDict()


def count_rows(frame: DataFrame, *predicates: str) -> dict[str, int]:
    """How many rows fulfil each predicate."""
    return row_of(frame.agg(*(F.count_if(F.expr(text)).alias(text) for text in predicates)))
