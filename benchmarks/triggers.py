"""Triggers of simulated shops beside the truth of their simulator: precision and recall.

    python -m benchmarks.triggers --scratch DIR --users 600 --items 300 --days 45

Simulates a shop with its usual dirt (late, broken and repeated rows, bots), runs the night's own
stages `clean`, `build_histories` and `target` on the last day, without caps, and compares. The
truth is counted act by act in Python from `_truth`. Shoppers whom the night may not write to are
left out on both sides. Prints a line a kind and the seconds of the stage.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import logging
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.datasets import HISTORIES, TRIGGERS
from pipeline.lake import Lake
from pipeline.pseudonym import pseudonym, read_key
from pipeline.settings import load_settings
from pipeline.simulator.shop import DEFAULT_START, simulate_shop

KINDS = ("cart_left", "back_in_stock", "price_drop")
Trigger = tuple[str, str, str]  # shopper, kind, item

_CONFIG = """\
[paths]
raw = "raw"
lake = "lake"
[privacy]
key_file = "user_id.key"
[spark]
master = "local[2]"
driver_memory = "2g"
shuffle_partitions = 4
quick_start = true
[triggers]
kinds = ["cart_left", "back_in_stock", "price_drop"]
per_shopper = 0
per_kind = 0
per_item = 0
"""


def date_of(number: int) -> dt.date:
    """The day of a number, from 0 on."""
    return DEFAULT_START + dt.timedelta(days=number)


def market(truth: Path, number: int) -> dict[str, dict[str, Any]]:
    """What every item was at the end of a day."""
    table = pq.read_table(truth / "market" / f"date={date_of(number)}.parquet")
    return {row["item"]: row for row in table.to_pylist()}


def can_be_bought(item: dict[str, Any]) -> bool:
    """Listed and in stock."""
    return bool(item["listed"] and item["stock"] > 0)


def expected(truth: Path, night: int) -> set[Trigger]:
    """What ought to be said by the default settings, act by act.

    Args:
        truth: the simulator's `_truth`.
        night: the number of the day.
    """
    interest: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for number in range(night + 1):
        acts = pq.read_table(truth / "acts" / f"date={date_of(number)}.parquet")
        for act in acts.to_pylist():
            pair = act["user"], act["item"]
            if act["kind"] == "purchase":
                interest[pair].clear()
            elif act["kind"] in ("view", "add_to_cart"):
                interest[pair].append((number, act["kind"]))
    now, before = market(truth, night), market(truth, night - 1)
    found = set()
    for (user, item), did in interest.items():
        days = [number for number, _ in did if number > night - 30]
        if not days or not can_be_bought(now[item]):
            continue
        if any(kind == "add_to_cart" and number > night - 3 for number, kind in did):
            found.add((user, "cart_left", item))
        if min(days) >= night or item not in before:
            continue
        if not can_be_bought(before[item]):
            found.add((user, "back_in_stock", item))
        if now[item]["price"] <= 0.95 * before[item]["price"] + 1e-9:
            found.add((user, "price_drop", item))
    return found


def main() -> None:
    """Simulate, run the night, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--users", type=int, default=600)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--days", type=int, default=45)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dirt", type=float, default=1.0)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    root, night = asked.scratch, asked.days - 1
    root.mkdir(parents=True, exist_ok=True)
    config = root / "nightcart.toml"
    config.write_text(_CONFIG, encoding="utf-8")
    simulate_shop(
        root / "raw",
        users=asked.users,
        items=asked.items,
        days=asked.days,
        seed=asked.seed,
        dirt=asked.dirt,
    )
    run = ["--config", str(config), "--date", date_of(night).isoformat(), "--run-id", "one"]
    for stage in ("clean", "build_histories", "target"):
        started = time.monotonic()
        code = importlib.import_module(f"jobs.{stage}").main(run)
        if code:
            raise SystemExit(f"{stage} ended with {code}")
        print(f"{stage}: {time.monotonic() - started:.1f} s")
    _compare(root, night, config)


def _compare(root: Path, night: int, config: Path) -> None:
    settings = load_settings(config, {})
    lake, key = Lake(settings.paths.lake), read_key(settings.privacy.key_file)
    histories = pq.read_table(
        lake.require(HISTORIES, date_of(night)).files, columns=["user_id", "active", "consent"]
    ).to_pylist()
    due = {row["user_id"] for row in histories if row["active"] and row["consent"]}
    made = pq.read_table(
        lake.require(TRIGGERS, date_of(night)).files,
        columns=["user_id", "kind", "item_id", "because"],
    ).to_pylist()
    ours = {
        (row["user_id"], row["kind"], row["item_id"])
        for row in made
        if row["because"] != "purchase"
    }
    truth = {
        (shopper, kind, item)
        for user, kind, item in expected(root / "raw" / "_truth", night)
        if (shopper := pseudonym(user, key)) in due
    }
    for kind in KINDS:
        found = {trigger for trigger in ours if trigger[1] == kind}
        right = {trigger for trigger in truth if trigger[1] == kind}
        both = len(found & right)
        print(
            f"{kind}: {len(found):,} made, {len(right):,} true, precision "
            f"{both / max(len(found), 1):.4f}, recall {both / max(len(right), 1):.4f}"
        )


if __name__ == "__main__":
    main()
