"""Planted faults: what each kind is, how often it is planted, and what cleaning must do about it.

The reasons are those of `schemas/raw_*.v1.yaml`. A `keep` fault is a good row; where it has a
needle, that text must not survive cleaning. Constants and records only.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

QUARANTINE, REMOVE, KEEP = "quarantine", "remove", "keep"


@dataclass(frozen=True)
class Kind:
    """A kind of fault: the share of rows that get it at dirt 1, and the outcome it must have."""

    file: str
    name: str
    rate: float
    expected: str
    reason: str | None


KINDS = (
    Kind("events.jsonl", "late", 0.005, KEEP, None),
    Kind("events.jsonl", "duplicate", 0.003, REMOVE, "duplicate"),
    Kind("events.jsonl", "truncated", 0.0003, QUARANTINE, "unreadable_line"),
    Kind("events.jsonl", "user_missing", 0.001, QUARANTINE, "user_id_missing"),
    Kind("events.jsonl", "item_missing", 0.003, QUARANTINE, "item_id_missing"),
    Kind("events.jsonl", "item_unknown", 0.0005, QUARANTINE, "item_unknown"),
    Kind("events.jsonl", "type_unknown", 0.0005, QUARANTINE, "event_type_unknown_value"),
    Kind("events.jsonl", "quantity_impossible", 0.002, QUARANTINE, "quantity_out_of_range"),
    Kind("events.jsonl", "price_impossible", 0.0005, QUARANTINE, "price_out_of_range"),
    Kind("events.jsonl", "clock_future", 0.0005, QUARANTINE, "event_time_in_future"),
    Kind("events.jsonl", "clock_1970", 0.0003, QUARANTINE, "event_time_too_old"),
    Kind("events.jsonl", "email_in_query", 0.002, KEEP, None),
    Kind("events.jsonl", "phone_in_query", 0.002, KEEP, None),
    Kind("events.jsonl", "card_in_query", 0.001, KEEP, None),
    # A bot is a user, not a row; its rate is bots a day per thousand users.
    Kind("events.jsonl", "bot", 0.06, REMOVE, "bot"),
    Kind("reviews.jsonl", "duplicate", 0.004, REMOVE, "duplicate"),
    Kind("reviews.jsonl", "truncated", 0.002, QUARANTINE, "unreadable_line"),
    Kind("reviews.jsonl", "user_missing", 0.003, QUARANTINE, "user_id_missing"),
    Kind("reviews.jsonl", "item_unknown", 0.003, QUARANTINE, "item_unknown"),
    Kind("reviews.jsonl", "clock_future", 0.002, QUARANTINE, "review_time_in_future"),
    Kind("reviews.jsonl", "text_empty", 0.006, KEEP, None),
    Kind("reviews.jsonl", "stars_impossible", 0.004, QUARANTINE, "rating_out_of_range"),
    Kind("reviews.jsonl", "email_in_text", 0.008, KEEP, None),
    Kind("reviews.jsonl", "phone_in_text", 0.006, KEEP, None),
    Kind("reviews.jsonl", "card_in_text", 0.003, KEEP, None),
    Kind("reviews.jsonl", "html_tag", 0.015, KEEP, None),
    Kind("reviews.jsonl", "html_entity", 0.015, KEEP, None),
    Kind("items.csv", "duplicate", 0.002, REMOVE, "duplicate"),
    Kind("items.csv", "price_impossible", 0.001, QUARANTINE, "price_out_of_range"),
    Kind("users.csv", "duplicate", 0.004, REMOVE, "duplicate"),
    # Kept as a refusal: were the row quarantined, an older yes would stay in force.
    Kind("users.csv", "consent_missing", 0.004, KEEP, None),
)


def kinds_of(file: str) -> dict[str, Kind]:
    """The kinds that a file can have, by name."""
    return {kind.name: kind for kind in KINDS if kind.file == file}


@dataclass(frozen=True)
class Fault:
    """One planted fault: where it lies, and what must become of it. `line` counts from 1."""

    day: dt.date
    kind: Kind
    line: int
    id: str | None
    needle: str | None

    def as_row(self) -> dict[str, Any]:
        """The record that is written beside the raw files."""
        return {
            "day": self.day.isoformat(),
            "file": self.kind.file,
            "line": self.line,
            "kind": self.kind.name,
            "id": self.id,
            "expected": self.kind.expected,
            "reason": self.kind.reason,
            "needle": self.needle,
        }
