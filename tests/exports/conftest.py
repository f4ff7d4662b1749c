"""A shop whose lists are published by hand: raw files of users, a key, and lists by pseudonym."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.exports.export import Exported, Order, export
from pipeline.exports.folder import exports_root
from pipeline.exports.profile import Profile
from pipeline.exports.profiles import profile_named
from pipeline.lake import Lake, Partition, Run
from pipeline.lake_key import key_of_lake
from pipeline.pseudonym import pseudonym
from pipeline.settings import Settings
from tests.lake_rows import instant, write_rows

NIGHT = dt.date(2026, 3, 1)
NOW = dt.datetime(2026, 3, 2, 6, tzinfo=dt.UTC)
K = 3

SOURCE = """\
source: test
description: A shop of the tests.
datasets:
  events:
    files: "events_{date}.csv"
    format: csv
    columns: [when, who, what]
    map: {event_time: when, event_type: "'view'", user_id: who, item_id: what}
  users:
    files: "users_{date}.csv"
    format: csv
    columns: [user, consent]
    map: {user_id: USER_SQL, consent: consent}
"""


def item(item_id: str, title: str | None = None, **more: Any) -> dict[str, Any]:
    """An item of a list, without its rank."""
    facts = {"item_id": item_id, "title": title, "brand": None, "category": None, "price": 2.5}
    return {**facts, "score": -0.5, **more}


@dataclasses.dataclass
class Shop:
    """Publish lists by the retailer's ids, then export them."""

    lake: Lake
    settings: Settings
    runs: int = 0

    @property
    def root(self) -> Path:
        return exports_root(self.settings)

    @property
    def key(self) -> bytes:
        return key_of_lake(self.lake, self.settings.privacy.key_file)

    def user_id(self, own: str) -> str:
        return pseudonym(own, self.key)

    def publish(
        self,
        lists: Mapping[str, Sequence[Mapping[str, Any]]],
        night: dt.date = NIGHT,
        spares: int = 0,
        **more: Any,
    ) -> Partition:
        """Publish lists of items by the retailer's ids; everybody in it agrees.

        Args:
            spares: how many items of each list, the last ones, are its spares.
        """
        _ = self.key
        self.runs += 1
        run = Run(night, f"r{self.runs}")
        self.consent(dict.fromkeys(lists, True), night)
        rows = [
            {
                "user_id": self.user_id(own),
                "items": ranked[: len(ranked) - spares],
                "spares": ranked[len(ranked) - spares :],
                "n_items": len(items) - spares,
                "valid_until": night + dt.timedelta(days=2),
                "method": "model",
                "rules": [],
                "reason": "Because you liked tea.",
                "reason_method": "model",
                "language": "en",
                "model_version": "m",
                "last_event_time": instant("2026-02-28 10:00"),
                **more,
            }
            for own, items in lists.items()
            for ranked in [[{"rank": rank, **of} for rank, of in enumerate(items, 1)]]
        ]
        rows.sort(key=lambda row: row["user_id"])
        partition = write_rows(self.lake, "recommendations", run, rows, files=2, k=K, spares=spares)
        self.lake.publish("recommendations", partition)
        return partition

    def consent(self, answers: Mapping[str, bool], day: dt.date) -> None:
        """Deliver answers."""
        rows = [
            {"user_id": self.user_id(own), "consent": answer, "source": "test"}
            for own, answer in answers.items()
        ]
        self.runs += 1
        write_rows(self.lake, "cleaned_users", Run(day, f"u{self.runs}"), rows)

    def export(
        self,
        profile: str | Profile,
        lists: Partition | None = None,
        known: Sequence[str] | None = None,
        **more: Any,
    ) -> Exported:
        """Export the newest lists, by the own ids of those that are known."""
        lists = lists or self.lake.latest("recommendations")
        assert lists is not None
        asked = {
            "ids": "own",
            "known": {self.user_id(own): own for own in known or ()},
            "only_changed": False,
            "dry_run": False,
            "now": NOW,
            "keep_days": 30,
        }
        of = profile_named(profile) if isinstance(profile, str) else profile
        return export(self.lake, self.root, Order(of, lists, **(asked | more)))

    def deliver(self, users: Sequence[str], day: dt.date = NIGHT, sql: str = "user") -> None:
        """Write the raw files and the source."""
        raw = Path(self.settings.paths.raw)
        raw.mkdir(exist_ok=True)
        lines = ["user,consent", *(f"{own},true" for own in users)]
        (raw / f"users_{day}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        Path(self.settings.shop.source).write_text(SOURCE.replace("USER_SQL", f'"{sql}"'))


@pytest.fixture
def shop(lake: Lake, settings: Settings, tmp_path: Path) -> Shop:
    """A shop with its own source, whose exports lie beside its lake."""
    named = dataclasses.replace(settings.shop, source=str(tmp_path / "shop.yaml"))
    return Shop(lake, dataclasses.replace(settings, shop=named))
