"""A night whose lists are generated, by hand: four items, three shoppers, K = 2."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from pipeline.lake import Lake, Partition, Run
from pipeline.lineage import Lineage, inputs_of
from pipeline.list_validity import last_valid_day
from pipeline.publishing.publish import Published, publish
from pipeline.settings import Settings
from tests.lake_rows import Row, instant, user_id_of, write_rows

NIGHT = dt.date(2026, 3, 1)
ITEMS = ("a", "b", "c", "d")  # d is out of stock


def catalogue_row(item_id: str, **more: Any) -> dict[str, Any]:
    """An item."""
    row = {
        "item_id": item_id,
        "title": f"Item {item_id}",
        "brand": "Acme",
        "price": 2.5,
        "sellable": item_id != "d",
        "first_seen_date": NIGHT,
    }
    return row | more


def history_row(name: str, owned: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """A shopper with one view and what they own."""
    row = {
        "user_id": user_id_of(name),
        "item_ids": ["a", *owned],
        "event_types": ["view", *["purchase"] * len(owned)],
        "event_times": [instant("2026-02-28 10:00")] * (1 + len(owned)),
        "queries": ["tea"],
        "query_times": [instant("2026-02-28 09:00")],
        "owned_item_ids": sorted(owned),
        "n_events": 1 + len(owned),
        "last_event_time": instant("2026-02-28 10:00"),
        "active": True,
        "consent": True,
        "language": "en",
        "region": "GB",
    }
    return row | more


def list_row(name: str, item_ids: tuple[str, ...], **more: Any) -> dict[str, Any]:
    """A generated list."""
    row = {
        "user_id": user_id_of(name),
        "items": [entry(place, item_id) for place, item_id in enumerate(item_ids, 1)],
        "n_items": len(item_ids),
        "method": "model",
        "rules": [],
        "reason": "Because you liked tea.",
        "reason_method": "model",
        "language": "en",
        "model_version": "2026-03-01.r1",
        "last_event_time": instant("2026-02-28 10:00"),
    }
    return row | more


def entry(rank: int, item_id: str, **more: Any) -> dict[str, Any]:
    """One item of a list, with the catalogue's facts."""
    facts = {name: catalogue_row(item_id).get(name) for name in ("title", "brand", "price")}
    return {"rank": rank, "item_id": item_id, "score": -float(rank)} | facts | more


@dataclasses.dataclass
class Night:
    """Everything that `publish` reads; change a part, then `publish`."""

    lake: Lake
    settings: Settings
    run: Run = dataclasses.field(default_factory=lambda: Run(NIGHT, "r1"))
    catalogue: list[Row] = dataclasses.field(
        default_factory=lambda: [catalogue_row(item_id) for item_id in ITEMS]
    )
    histories: list[Row] = dataclasses.field(
        default_factory=lambda: [
            history_row("ann"),
            history_row("bob", ("a",)),
            history_row("cid", ("a", "b", "d")),  # only c is left
            history_row("dot", consent=False),
            history_row("eve", active=False),
            history_row("fay", ("a", "b", "c")),  # nothing is left
        ]
    )
    users: list[Row] = dataclasses.field(
        default_factory=lambda: [
            {"user_id": user_id_of(name), "consent": name != "dot", "source": "test"}
            for name in ("ann", "bob", "cid", "dot", "eve", "fay")
        ]
    )
    lists: list[Row] = dataclasses.field(
        default_factory=lambda: [
            list_row("ann", ("b", "a")),
            list_row("bob", ("b", "c")),
            list_row("cid", ("c",), method="markov", fallback_reason="prompt_failed"),
        ]
    )

    def on(self, date: dt.date, run_id: str) -> Night:
        """The same on another date or in another run."""
        return dataclasses.replace(self, run=Run(date, run_id))

    def generate(self, files: int = 2) -> Partition:
        """Write everything that publish reads."""
        write_rows(self.lake, "cleaned_users", self.run, self.users)
        inputs = self.build()
        until = last_valid_day(self.run.run_date, self.settings.generation.valid_days)
        return write_rows(
            self.lake,
            "generated",
            self.run,
            [{"spares": [], "valid_until": until} | row for row in self.lists],
            contract="recommendations",
            files=files,
            **Lineage(inputs_of(inputs)).facts(),
        )

    def build(self) -> dict[str, Partition]:
        """Write the catalogue and the histories only."""
        return {
            "catalogue": write_rows(self.lake, "catalogue", self.run, self.catalogue),
            "histories": write_rows(self.lake, "histories", self.run, self.histories),
        }

    def publish(self) -> Published:
        """Publish what was generated."""
        return publish(self.lake, self.run, self.settings)

    def with_lists(self, *lists: Row) -> Night:
        """The same with other lists for the users these are for."""
        changed = {row["user_id"]: row for row in [*self.lists, *lists]}
        return dataclasses.replace(self, lists=list(changed.values()))


@pytest.fixture
def night(lake: Lake, settings: Settings) -> Night:
    """A night that is fit to be published, generated but not published."""
    two = dataclasses.replace(settings.generation, k=2)
    made = Night(lake, dataclasses.replace(settings, generation=two))
    made.generate()
    return made


def tree(root: Path) -> dict[str, bytes]:
    """Every file that a reader of what is published may open."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted((root / "recommendations").rglob("*"))
        if path.is_file()
    }
