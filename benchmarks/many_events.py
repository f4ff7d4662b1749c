"""One delivery day of the simulated shop's layout with any number of events, made fast.

A week of a small shop is simulated with its usual faults; the last day's files are then repeated
with other ids, users and items until there are enough lines. A copy of a line stays a copy, a late
row late, a bot a bot; every repetition is a shop of its own under the same roof.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

from pipeline.simulator.shop import simulate_shop

DAYS = 7
DAY = dt.date(2026, 3, 1)
_USERS, _ITEMS = 8_000, 800
_SHOPS = 25  # catalogues; further repetitions bring further users to the same items


def write_day(raw: Path, rows: int, seed: int) -> int:
    """Write `raw/date=…/events.jsonl` and `items.csv`; return the number of events."""
    with tempfile.TemporaryDirectory() as scratch:
        start = DAY - dt.timedelta(days=DAYS - 1)
        simulate_shop(
            Path(scratch), users=_USERS, items=_ITEMS, days=DAYS, seed=seed, start_date=start
        )
        day = Path(scratch) / f"date={DAY}"
        events = (day / "events.jsonl").read_text("utf-8").splitlines(keepends=True)
        header, *items = (day / "items.csv").read_text("utf-8").splitlines(keepends=True)
    if not events[-1].endswith("\n"):
        events[-1] += "\n"  # the cut-off last line, repeated
    target = raw / f"date={DAY}"
    target.mkdir(parents=True)
    written = repetition = 0
    with (target / "events.jsonl").open("w", encoding="utf-8") as file:
        while written < rows:
            some = events[: rows - written]
            file.write(_renamed("".join(some), repetition))
            written += len(some)
            repetition += 1
    with (target / "items.csv").open("w", encoding="utf-8") as file:
        file.write(header)
        for shop in range(min(repetition, _SHOPS)):
            file.write("".join(items).replace("sku-", f"sku-{shop}-"))
    return written


def _renamed(text: str, repetition: int) -> str:
    for key, letter in (("event_id", "e"), ("user", "u"), ("session", "s")):
        text = text.replace(f'"{key}":"{letter}', f'"{key}":"{letter}{repetition}-')
    return text.replace('"item":"sku-', f'"item":"sku-{repetition % _SHOPS}-')
