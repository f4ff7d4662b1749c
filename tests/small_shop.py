"""A shop of a few dozen users in a lake, whose next item can be known: tests of learning use it.

Items stand in a ring; a user walks along it from a start of their own, so that what comes next is
the next item of the ring, whatever is popular.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from typing import Any

from pipeline.lake import Lake, Run
from pipeline.settings import Settings
from tests.lake_rows import Row, user_id_of, write_rows

NIGHT = dt.date(2026, 3, 1)
RUN = Run(NIGHT, "one")
N_ITEMS = 24
N_USERS = 60
START = dt.datetime(2026, 2, 1, 12, tzinfo=dt.UTC)

Change = Callable[[dict[str, Any]], Row]


def item(n: int) -> str:
    return f"i{n % N_ITEMS:02d}"


def unchanged(row: dict[str, Any]) -> Row:
    return row


def history_row(n: int) -> dict[str, Any]:
    """User n walks 6 items from item 5n; the last one is held out."""
    items = [item(5 * n + step) for step in range(6)]
    times = [START + dt.timedelta(hours=n, minutes=step) for step in range(6)]
    return {
        "user_id": user_id_of(f"user {n}"),
        "item_ids": items,
        "event_types": ["purchase"] * 6,
        "event_times": times,
        "session_numbers": [1] * 6,
        "cancelled": [False] * 6,
        "queries": ["good kettle"] if n % 3 == 0 else [],
        "query_times": [times[3]] if n % 3 == 0 else [],
        "owned_item_ids": sorted(items),
        "n_events": 6,
        "last_event_time": times[-1],
        "active": True,
        "consent": True,
        "language": "zh" if n % 4 == 0 else "en",
        "region": None,
        "holdout_index": 5,
        "holdout_split": "test" if n % 2 else "validation",
    }


def review_row(n: int) -> dict[str, Any]:
    return {
        "review_id": f"r{n}",
        "review_time": START,
        "review_date": START.date(),
        "user_id": user_id_of(f"user {n}"),
        "item_id": item(n),
        "rating": 5.0,
        "title": None,
        "text": "Really quiet and sturdy. It cost 12 euro.",
        "language": "en-GB",
        "source": "test",
    }


def fill(
    lake: Lake, run: Run = RUN, *, user: Change = unchanged, review: Change = unchanged
) -> None:
    """Write the night's histories, catalogue, item words and reviews."""
    write_rows(lake, "histories", run, [user(history_row(n)) for n in range(N_USERS)])
    write_rows(lake, "catalogue", run, [catalogue_row(n) for n in range(N_ITEMS)])
    words = [
        {
            "item_id": item(n),
            "language": "en",
            "words": ["quiet", "sturdy", "cheap"],
            "aspects": [],
            "n_reviews": 2,
        }
        for n in range(N_ITEMS)
    ]
    write_rows(lake, "item_words", run, words)
    write_rows(lake, "cleaned_reviews", run, [review(review_row(n)) for n in range(N_USERS)])


def catalogue_row(n: int) -> Row:
    return {
        "item_id": item(n),
        "title": f"Kettle {chr(65 + n)}",
        "brand": "Acme",
        "category": "Kitchen > Kettles",
        "price": 9.5,
        "stock": 3,
        "sellable": True,
        "first_seen_date": NIGHT,
        "listed": True,
        "delivered_date": NIGHT,
    }


def quick(settings: Settings, **training: Any) -> Settings:
    """Settings with a model and a training that take a second."""
    return dataclasses.replace(
        settings,
        model=dataclasses.replace(
            settings.model, n_layer=1, n_head=1, n_embd=16, n_positions=64, text_vocab_size=300
        ),
        training=dataclasses.replace(
            settings.training,
            **{
                "max_epochs": 2,
                "text_epochs": 2,
                "batch_tokens": 128,
                "min_users": 10,
                "threads": 1,
            }
            | training,
        ),
    )
