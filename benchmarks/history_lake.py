"""Datasets of a night written as they are, for benchmarks that start where the histories stand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.lake import Lake, Run


def write_dataset(lake: Lake, dataset: str, run: Run, rows: list[dict[str, Any]]) -> None:
    """Commit rows as one partition; a column that they do not have is null."""
    declared = arrow_schema(load_contract(dataset))
    schema = pa.schema([column.with_nullable(True) for column in declared])
    directory = lake.begin(dataset, run)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), directory / "part-0.parquet")
    lake.commit(dataset, run, rows=len(rows))


def catalogue_row(item: dict[str, Any], date: dt.date) -> dict[str, Any]:
    """A row of the catalogue from the simulator's item: sellable, first seen on `date`."""
    return {
        "item_id": item["sku"],
        "title": item["title"],
        "brand": item.get("brand"),
        "category": item.get("category"),
        "price": None,
        "stock": None,
        "sellable": True,
        "first_seen_date": date,
    }


def history_row(
    user_id: str,
    events: list[tuple[dt.datetime, str, str]],
    *,
    queries: Sequence[tuple[dt.datetime, str]] = (),
    language: str | None = None,
    held_out: int | None = None,
    split: str | None = None,
) -> dict[str, Any]:
    """A row of the histories of a consenting, active shopper.

    Args:
        events: time (UTC), type, item; oldest first. A calendar day is a visit.
        held_out: index of the event that is held out for `split`.
    """
    days = sorted({time.date() for time, _, _ in events})
    return {
        "user_id": user_id,
        "item_ids": [item for _, _, item in events],
        "event_types": [kind for _, kind, _ in events],
        "event_times": [time for time, _, _ in events],
        "session_numbers": [days.index(time.date()) + 1 for time, _, _ in events],
        "cancelled": [False] * len(events),
        "queries": [text for _, text in queries],
        "query_times": [time for time, _ in queries],
        "owned_item_ids": sorted({item for _, kind, item in events if kind == "purchase"}),
        "n_events": len(events),
        "last_event_time": events[-1][0],
        "active": True,
        "consent": True,
        "language": language,
        "region": None,
        "holdout_index": held_out,
        "holdout_split": split,
    }
