"""Which earlier night's catalogue may stand for the deliveries that it was made from."""

from __future__ import annotations

import datetime as dt

from pipeline.cleaning.known_items import catalogue_before
from pipeline.lake import Lake, Run
from pipeline.lineage import Lineage, inputs_upto
from tests.lake_rows import write_rows

DAYS = [dt.date(2026, 3, 1) + dt.timedelta(days=n) for n in range(4)]


def deliver(lake: Lake, day: dt.date, run_id: str = "one") -> None:
    write_rows(lake, "cleaned_items", Run(day, run_id), [])


def carry(lake: Lake, night: dt.date) -> None:
    lineage = Lineage(inputs_upto(lake, ["cleaned_items"], night))
    write_rows(lake, "catalogue", Run(night, "n"), [], **lineage.facts())


def found(lake: Lake, day: dt.date) -> dt.date | None:
    catalogue = catalogue_before(lake, day)
    return catalogue.run_date if catalogue else None


def test_the_newest_before_the_day_whose_deliveries_are_current(lake: Lake) -> None:
    assert found(lake, DAYS[3]) is None
    for day in DAYS:
        deliver(lake, day)
        carry(lake, day)
    assert found(lake, DAYS[3]) == DAYS[2]
    assert found(lake, DAYS[0]) is None
    # Cleaned again: what the catalogues from there on know may be wrong now.
    deliver(lake, DAYS[1], "again")
    assert found(lake, DAYS[3]) == DAYS[0]
    carry(lake, DAYS[2])
    assert found(lake, DAYS[3]) == DAYS[2]
    # A day that came late to the lake.
    deliver(lake, DAYS[0] - dt.timedelta(days=1))
    assert found(lake, DAYS[3]) is None


def test_a_catalogue_without_lineage(lake: Lake) -> None:
    deliver(lake, DAYS[0])
    write_rows(lake, "catalogue", Run(DAYS[0], "n"), [])
    assert found(lake, DAYS[1]) is None
