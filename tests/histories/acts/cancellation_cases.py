"""Cases by hand of which purchase a return cancels: events of a user, columns of the history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.histories.conftest import event

Rows = Sequence[dict[str, Any]]


def _bought(item_id: str, time: str, units: int | None = None) -> dict[str, Any]:
    return event("u", "purchase", item_id, time, quantity=units)


def _returned(item_id: str, time: str, units: int | None = None) -> dict[str, Any]:
    return event("u", "return", item_id, time, quantity=units)


CANCELLATIONS: dict[str, tuple[Rows, dict[str, Any]]] = {
    "a return without quantities takes the purchase back": (
        [_bought("a", "2026-03-01 08:00"), _returned("a", "2026-03-01 09:00")],
        {"owned_item_ids": [], "event_types": ["purchase", "return"], "cancelled": [True, False]},
    ),
    "part of it back: it stands": (
        [_bought("a", "2026-03-01 08:00", 3), _returned("a", "2026-03-01 09:00", 2)],
        {"owned_item_ids": ["a"], "cancelled": [False, False]},
    ),
    "the rest too": (
        [
            _bought("a", "2026-03-01 08:00", 3),
            _returned("a", "2026-03-01 09:00", 2),
            _returned("a", "2026-03-01 10:00", 1),
        ],
        {"owned_item_ids": [], "cancelled": [True, False, False]},
    ),
    "the newest of two": (
        [
            _bought("a", "2026-02-28 08:00", 1),
            _bought("a", "2026-03-01 08:00", 1),
            _returned("a", "2026-03-01 09:00", 1),
        ],
        {"owned_item_ids": ["a"], "cancelled": [False, True, False], "holdout_index": None},
    ),
    "more than was bought takes back one purchase": (
        [
            _bought("a", "2026-02-28 08:00", 1),
            _bought("a", "2026-03-01 08:00", 1),
            _returned("a", "2026-03-01 09:00", 5),
        ],
        {"owned_item_ids": ["a"], "cancelled": [False, True, False]},
    ),
    "too long ago": (
        [_bought("a", "2026-02-26 08:00", 1), _returned("a", "2026-03-01 09:00", 1)],
        {"owned_item_ids": ["a"], "cancelled": [False, False]},
    ),
    "of another item": (
        [_bought("a", "2026-03-01 08:00", 1), _returned("b", "2026-03-01 09:00", 1)],
        {"owned_item_ids": ["a"], "cancelled": [False, False]},
    ),
    "bought again after it went back: that is the new one": (
        [
            event("u", "view", "b", "2026-03-01 07:00"),
            _bought("a", "2026-03-01 08:00", 1),
            _returned("a", "2026-03-01 09:00", 1),
            _bought("a", "2026-03-01 10:00", 1),
        ],
        {"owned_item_ids": ["a"], "holdout_index": 3},
    ),
}
