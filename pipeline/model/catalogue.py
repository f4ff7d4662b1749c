"""The night's catalogue as the model's stages read it: items in the order of their ids."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pyarrow.parquet as pq

from pipeline.datasets import CATALOGUE
from pipeline.lake import Lake

_COLUMNS = ["item_id", "title", "brand", "category", "sellable", "first_seen_date"]


@dataclass(frozen=True)
class CatalogueItem:
    """One item as known at the end of the night's day."""

    item_id: str
    title: str
    brand: str
    category: str
    sellable: bool
    first_seen: dt.date | None = None

    @property
    def description(self) -> str:
        """The text that the item's words are learned from, on one line; may be empty."""
        return " ".join(part for part in (self.title, self.brand, self.category) if part)


def read_catalogue(lake: Lake, run_date: dt.date) -> list[CatalogueItem]:
    """Every item, sellable or not.

    Raises:
        InputError: the night has no catalogue.
    """
    items = [
        CatalogueItem(
            item_id=row["item_id"],
            title=row["title"] or "",
            brand=row["brand"] or "",
            category=row["category"] or "",
            sellable=row["sellable"],
            first_seen=row["first_seen_date"],
        )
        for file in lake.require(CATALOGUE, run_date).files
        for row in pq.read_table(file, columns=_COLUMNS).to_pylist()
    ]
    return sorted(items, key=lambda item: item.item_id)
