"""Cleaned deliveries by hand: a small shop, and a way to build its night."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.histories.build import Built, build
from pipeline.lake import Lake, Run
from pipeline.settings import Settings
from tests.lake_rows import instant, user_id_of, write_rows

DAY = dt.date(2026, 3, 1)


def event(user: str, kind: str, item: str | None, time: str, **more: Any) -> dict[str, Any]:
    """A cleaned event; its id is its content unless given."""
    row = {
        "event_id": f"{user}-{kind}-{item}-{time}",
        "event_time": instant(time),
        "event_date": instant(time).date(),
        "event_type": kind,
        "user_id": user_id_of(user),
        "item_id": item,
        "source": "test",
    }
    return row | more


def review(user: str, item: str, time: str, rating: float = 5.0, **more: Any) -> dict[str, Any]:
    """A cleaned review."""
    row = {
        "review_id": f"{user}-{item}-{time}",
        "review_time": instant(time),
        "review_date": instant(time).date(),
        "user_id": user_id_of(user),
        "item_id": item,
        "rating": rating,
        "text": "works",
        "source": "test",
    }
    return row | more


def user(name: str, consent: bool = True, **more: Any) -> dict[str, Any]:
    """A cleaned user."""
    return {"user_id": user_id_of(name), "consent": consent, "source": "test"} | more


def item(item_id: str, **more: Any) -> dict[str, Any]:
    """A cleaned item."""
    row = {"item_id": item_id, "title": f"Item {item_id}", "price": 2.5, "listed": True}
    return row | {"source": "test"} | more


@dataclasses.dataclass
class Shop:
    """A lake and the night's settings; every method writes or reads it."""

    lake: Lake
    settings: Settings
    spark: SparkSession

    def deliver(
        self,
        day: dt.date = DAY,
        *,
        run_id: str = "r1",
        files: int = 1,
        **datasets: list[dict[str, Any]],
    ) -> None:
        """Commit `events=`, `reviews=`, `items=`, `users=` as one delivery day."""
        for name, rows in datasets.items():
            write_rows(self.lake, f"cleaned_{name}", Run(day, run_id), rows, files=files)

    def set(self, **values: Any) -> None:
        """Change settings by `section__key`."""
        for name, value in values.items():
            section, key = name.split("__")
            changed = dataclasses.replace(getattr(self.settings, section), **{key: value})
            self.settings = dataclasses.replace(self.settings, **{section: changed})

    def build(self, day: dt.date = DAY, run_id: str = "n1", *, rebuild: bool = False) -> Built:
        """Build the night."""
        return build(self.spark, self.lake, Run(day, run_id), self.settings, rebuild=rebuild)


@pytest.fixture
def shop(lake: Lake, settings: Settings, spark: SparkSession) -> Shop:
    """An empty shop whose lists are one item long."""
    empty = Shop(lake, settings, spark)
    empty.set(generation__k=1)
    return empty


@pytest.fixture
def small_shop(shop: Shop) -> Callable[[], Shop]:
    """Two days of a shop with three shoppers and three items."""

    def deliver() -> Shop:
        shop.deliver(
            DAY - dt.timedelta(days=1),
            items=[item("a"), item("b"), item("c", stock=0)],
            users=[user("ann", language="en"), user("bob", consent=False)],
            events=[
                event("ann", "view", "a", "2026-02-28 08:00"),
                event("ann", "purchase", "a", "2026-02-28 09:00"),
                event("bob", "view", "b", "2026-02-28 09:00"),
                event("cid", "search", None, "2026-02-28 09:00", query="tea"),
            ],
            reviews=[review("bob", "b", "2026-02-28 20:00")],
        )
        shop.deliver(
            items=[item("c", stock=4)],
            users=[user("bob", region="ES"), user("dot")],
            events=[
                event("ann", "search", None, "2026-03-01 07:00", query="kettle"),
                event("ann", "purchase", "b", "2026-03-01 08:00"),
            ],
        )
        return shop

    return deliver
