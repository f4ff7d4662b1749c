"""A shop whose acts, prices and stock a test says day by day."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from pipeline.datasets import (
    ACTS,
    CATALOGUE,
    CATALOGUE_CHANGES,
    CLEANED_USERS,
    GENERATED,
    HISTORIES,
    RECOMMENDATIONS,
    TRIGGERS,
)
from pipeline.lake import Lake, Run
from pipeline.lineage import Lineage, inputs_of
from pipeline.publishing.list_origin import with_beside
from pipeline.settings import Settings
from pipeline.targeting.triggers import Triggers, make_triggers
from tests.lake_rows import Row, read_rows, user_id_of, write_rows

NIGHT = dt.date(2026, 3, 20)


def day(before: int) -> dt.date:
    """So many days before the night."""
    return NIGHT - dt.timedelta(days=before)


def act(user: str, kind: str, item: str | None, before: int = 1, hour: float = 12) -> Row:
    """Something that a shopper did, so many days before the night."""
    date = day(before)
    time = dt.datetime.combine(date, dt.time(), dt.UTC) + dt.timedelta(hours=hour)
    return {
        "user_id": user_id_of(user),
        "event_id": f"{user} {kind} {item} {before} {hour}",
        "event_time": time,
        "event_date": date,
        "event_type": kind,
        "item_id": item,
        "delivered_date": date,
        "cancelled": False,
        "new_target": False,
        "settled": False,
        "events_before": 0,
    }


def item(item_id: str, **more: Any) -> dict[str, Any]:
    """An item of the catalogue, in stock."""
    row = {
        "item_id": item_id,
        "title": f"Item {item_id}",
        "brand": "Acme",
        "category": "Kitchen > Kettles",
        "price": 10.0,
        "stock": 3,
        "sellable": True,
        "first_seen_date": day(60),
        "listed": True,
        "delivered_date": NIGHT,
    }
    return row | more


def version(item_id: str, before: int, **more: Any) -> dict[str, Any]:
    """What an item became, so many days before the night."""
    row = item(item_id)
    kept = {name: row[name] for name in ("item_id", "title", "brand", "category", "price", "stock")}
    said = {"changed_date": day(before), "changed": ["new"], "listed": True, "in_assortment": True}
    return kept | said | more


@dataclasses.dataclass
class Shop:
    """Say what happened, then ask for the triggers."""

    lake: Lake
    settings: Settings
    acts: list[Row] = dataclasses.field(default_factory=list)
    items: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    versions: list[Row] = dataclasses.field(default_factory=list)
    people: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    def with_triggers(self, **changes: Any) -> Shop:
        triggers = dataclasses.replace(self.settings.triggers, **changes)
        return dataclasses.replace(
            self, settings=dataclasses.replace(self.settings, triggers=triggers)
        )

    def put(self, item_id: str, then: dict[str, Any] | None = None, **now: Any) -> None:
        """An item: what it was until the night, and what it is."""
        self.items[item_id] = item(item_id, **now)
        self.versions.append(version(item_id, 60, **(then or {})))

    def fill(self, run: Run) -> None:
        """Write what the stage reads."""
        by_day: dict[dt.date, list[Row]] = {}
        for row in self.versions:
            by_day.setdefault(row["changed_date"], []).append(row)
        for date, rows in by_day.items():
            if self.lake.current(CATALOGUE_CHANGES, date) is None:
                write_rows(self.lake, CATALOGUE_CHANGES, Run(date, "d"), rows)
        acts = [row for row in self.acts if row["event_date"] <= run.run_date]
        users = sorted({row["user_id"] for row in acts})
        made = write_rows(
            self.lake, ACTS, run, sorted(acts, key=lambda row: row["user_id"]), files=1
        )
        said = {user_id_of(name): more for name, more in self.people.items()}
        histories = [history(user, **said.get(user, {})) for user in users]
        write_rows(self.lake, HISTORIES, run, histories, **Lineage(inputs_of({ACTS: made})).facts())
        write_rows(self.lake, CATALOGUE, run, self.items.values())
        consents = [
            {"user_id": row["user_id"], "consent": row["consent"], "source": "test"}
            for row in histories
        ]
        write_rows(self.lake, CLEANED_USERS, run, consents)

    def make(self, night: dt.date = NIGHT, run_id: str = "one") -> Triggers:
        run = Run(night, run_id)
        self.fill(run)
        return make_triggers(self.lake, run, self.settings)

    def publish(self, made: Triggers) -> None:
        """Lists beside which the triggers are published."""
        night = made.partition.run_date
        run = Run(night, made.partition.run_id)
        lists = write_rows(self.lake, GENERATED, run, [], contract=RECOMMENDATIONS)
        lineage = with_beside(Lineage(inputs_of({GENERATED: lists})), [made.partition])
        lists = write_rows(self.lake, RECOMMENDATIONS, run, [], **lineage.facts())
        self.lake.publish(RECOMMENDATIONS, lists)

    def found(self, night: dt.date = NIGHT) -> list[tuple[str, str, str | None, str]]:
        """Shopper, kind, item and evidence of each trigger, in order."""
        names = {user_id_of(name): name for name in NAMES}
        return [
            (names[row["user_id"]], row["kind"], row["item_id"], row["because"])
            for row in sorted(
                read_rows(self.lake, TRIGGERS, night),
                key=lambda row: (names[row["user_id"]], row["rank"]),
            )
        ]

    def does(self, *acts: Row) -> None:
        self.acts.extend(acts)


NAMES = ("ann", "bob", "cid", "dot", "eve", "fay")


def history(user_id: str, **more: Any) -> dict[str, Any]:
    row = {
        "user_id": user_id,
        "item_ids": ["a"],
        "event_types": ["view"],
        "event_times": [dt.datetime(2026, 3, 1, tzinfo=dt.UTC)],
        "session_numbers": [1],
        "cancelled": [False],
        "queries": [],
        "query_times": [],
        "owned_item_ids": [],
        "n_events": 1,
        "last_event_time": dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
        "active": True,
        "consent": True,
    }
    return row | more


@pytest.fixture
def shop(lake: Lake, settings: Settings) -> Shop:
    return Shop(lake, settings)
