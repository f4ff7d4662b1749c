"""The users that the page shows as examples: chosen by hash, with their past and their list.

Reads `recommendations`, `histories` and `catalogue`. Writes nothing. The choice depends on the
seed, the date and the user ids alone. A user whose list a fallback made is among them where there
is one.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import duckdb

from pipeline.lake import Partition
from pipeline.model.list_methods import IS_FALLBACK
from pipeline.report.lists import open_duckdb, view

SHOWN = 6
SHOWN_EVENTS = 8
SHOWN_QUERIES = 4

# The narrow columns only: a sort that carried the lists along would hold all of them in memory.
_CHOICE = f"""
SELECT user_id FROM lists WHERE {IS_FALLBACK} OR NOT $only_fallbacks
ORDER BY md5($salt || user_id), user_id LIMIT $shown
"""  # noqa: S608


@dataclass(frozen=True)
class Event:
    """Something that a user did."""

    event_type: str
    item_id: str
    title: str | None
    time: dt.datetime


@dataclass(frozen=True)
class Recommendation:
    """One entry of a list."""

    rank: int
    item_id: str
    title: str | None
    brand: str | None
    price: float | None
    score: float | None


@dataclass(frozen=True)
class ExampleUser:
    """One card of the page."""

    user_id: str
    method: str
    fallback_reason: str | None
    reason: str | None
    reason_method: str | None
    language: str | None
    region: str | None
    n_events: int | None
    events: tuple[Event, ...]  # newest first
    queries: tuple[str, ...]  # newest first
    items: tuple[Recommendation, ...]


def read_example_users(
    recommendations: Partition,
    histories: Partition | None,
    catalogue: Partition | None,
    seed: int,
) -> list[ExampleUser]:
    """Choose and read the users that the page shows.

    Raises:
        duckdb.Error: a file is damaged or has other columns.
    """
    pasts: dict[str, dict[str, Any]] = {}
    titles: dict[str, str | None] = {}
    with open_duckdb() as db:
        view(db, "lists", recommendations)
        salt = f"{seed}:{recommendations.run_date.isoformat()}:"
        drawn = [
            row["user_id"]
            for only_fallbacks, shown in ((True, 1), (False, SHOWN))
            for row in _rows(db, _CHOICE, salt=salt, only_fallbacks=only_fallbacks, shown=shown)
        ]
        users = list(dict.fromkeys(drawn))[:SHOWN]
        query = "SELECT * FROM lists WHERE list_contains($users::VARCHAR[], user_id)"
        chosen = _rows(db, query, users=users)
        if histories is not None:
            view(db, "histories", histories)
            query = "SELECT * FROM histories WHERE list_contains($users::VARCHAR[], user_id)"
            pasts = {row["user_id"]: row for row in _rows(db, query, users=users)}
        if catalogue is not None:
            view(db, "catalogue", catalogue)
            items = sorted({item for past in pasts.values() for item in past["item_ids"]})
            query = (
                "SELECT item_id, title FROM catalogue"
                " WHERE item_id IN (SELECT unnest($items::VARCHAR[]))"
            )
            titles = {row["item_id"]: row["title"] for row in _rows(db, query, items=items)}
    chosen.sort(key=lambda row: (row["method"] != "model", users.index(row["user_id"])))
    return [_example_user(row, pasts.get(row["user_id"]), titles) for row in chosen]


def _rows(db: duckdb.DuckDBPyConnection, query: str, **parameters: Any) -> list[dict[str, Any]]:
    # By way of Arrow: DuckDB's own Python values of instants need pytz.
    rows: list[dict[str, Any]] = db.sql(query, params=parameters).to_arrow_table().to_pylist()
    return rows


def _example_user(
    row: dict[str, Any], past: dict[str, Any] | None, titles: dict[str, str | None]
) -> ExampleUser:
    events: list[Event] = []
    queries: list[str] = []
    if past is not None:
        events = [
            Event(event_type, item_id, titles.get(item_id), time)
            for item_id, event_type, time in zip(
                past["item_ids"], past["event_types"], past["event_times"], strict=True
            )
        ]
        queries = past["queries"]
    return ExampleUser(
        user_id=row["user_id"],
        method=row["method"],
        fallback_reason=row["fallback_reason"],
        reason=row["reason"],
        reason_method=row["reason_method"],
        language=row["language"],
        region=past["region"] if past else None,
        n_events=past["n_events"] if past else None,
        events=tuple(reversed(events[-SHOWN_EVENTS:])),
        queries=tuple(reversed(queries[-SHOWN_QUERIES:])),
        items=tuple(
            Recommendation(
                item["rank"],
                item["item_id"],
                item["title"],
                item["brand"],
                item["price"],
                item["score"],
            )
            for item in row["items"]
        ),
    )
