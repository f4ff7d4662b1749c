"""Which items the deliveries before a night brought, without opening them all.

The catalogue of an earlier night says of each item which delivery first brought it. It may be
asked instead of the deliveries that it was made from, if these are still the ones that are current.
"""

from __future__ import annotations

import datetime as dt

from pipeline.lake import Lake, Partition


def catalogue_before(lake: Lake, day: dt.date) -> Partition | None:
    """The newest catalogue of a night before a day that all deliveries up to it still make up."""
    deliveries = lake.pointers("cleaned_items", day)
    for date in reversed(lake.dates("catalogue", day - dt.timedelta(days=1))):
        catalogue = lake.require("catalogue", date)
        now = {str(of): name for of, name in deliveries.items() if of <= date}
        if catalogue.manifest.get("made_from", {}).get("cleaned_items") == now:
            return catalogue
    return None
