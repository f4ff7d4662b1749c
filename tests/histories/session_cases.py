"""Where a session ends, in cases by hand: events of one user, and columns of the history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.histories.conftest import event

Rows = Sequence[dict[str, Any]]

SESSIONS: dict[str, tuple[Rows, dict[str, Any]]] = {
    "a gap begins another visit, an hour and a half does not": (
        [
            event("u", "view", "a", "2026-03-01 08:00"),
            event("u", "view", "a", "2026-03-01 09:30"),
            event("u", "view", "a", "2026-03-01 11:01"),
        ],
        {"session_numbers": [1, 1, 2]},
    ),
    "the retailer's own sessions": (
        [
            event("u", "view", "a", "2026-03-01 08:00", session_id="x"),
            event("u", "view", "a", "2026-03-01 08:01", session_id="y"),
            event("u", "view", "a", "2026-03-01 20:00", session_id="y"),
            # Where one of two has no name, the gap decides.
            event("u", "view", "a", "2026-03-01 20:01"),
            event("u", "view", "a", "2026-03-01 23:01", session_id="y"),
        ],
        {"session_numbers": [1, 2, 2, 2, 3]},
    ),
    "counted from the first event that is kept": (
        [event("u", "view", "a", f"2026-03-01 {hour:02}:00") for hour in range(0, 16, 2)],
        {"session_numbers": [1, 2, 3, 4, 5, 6], "n_events": 8},
    ),
    "a search in between is not counted in": (
        [
            event("u", "view", "a", "2026-03-01 08:00"),
            event("u", "search", None, "2026-03-01 09:00", query="tea"),
            event("u", "view", "a", "2026-03-01 10:00"),
        ],
        {"session_numbers": [1, 2]},
    ),
}
