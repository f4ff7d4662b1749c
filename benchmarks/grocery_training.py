"""A grocer's first night of training: few households, many purchases, a catalogue of 90,000.

    python -m benchmarks.grocery_training --users 800 --items 90000 --purchases 75000

Households buy in baskets: again what they have bought, or something of a kind that they like, by
its popularity. Nine items in ten are bought by nobody. The night's own `fine_tune` trains on their
last 50 events with default settings, in one process with one thread. One new purchase of half the
households is held out for validation. Prints the processor time and the best validation NDCG@10 of
the whole catalogue, with the intervals of two seeds' spread left to the reader.

`--catalogue-items 5000 0` trains once for each value of `training.catalogue_items`; 0 is every
item's words in every epoch, as before. The last line is one of JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import hashlib
import json
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.history_lake import catalogue_row, history_row, write_dataset
from pipeline.lake import Lake, Run
from pipeline.settings import Settings, load_settings
from pipeline.training.fine_tune import fine_tune

NIGHT = dt.date(2026, 3, 1)
KINDS, BRANDS = 300, 1500
LIKED_KINDS = 25  # of a household
AGAIN = 0.4  # of the purchases are of what the household has bought before
SHAPE = 1.1  # of the popularity of a kind's items: the n-th has 1 / n ** SHAPE
DAYS = 365
FORMS = ("fresh", "frozen", "dried", "organic", "large", "small", "family", "light")


def make_items(count: int, random: np.random.Generator) -> list[dict[str, Any]]:
    """Items that share the words of their kind; the n-th is of kind n modulo KINDS."""
    return [
        {
            "sku": f"p{n:06d}",
            "title": f"{FORMS[random.integers(len(FORMS))]} good{n % KINDS} type{n // KINDS % 60}",
            "brand": f"brand{random.integers(BRANDS)}",
            "category": f"department{n % KINDS // 15} > good{n % KINDS}",
        }
        for n in range(count)
    ]


def make_households(
    users: int, items: int, purchases: int, random: np.random.Generator
) -> list[dict[str, Any]]:
    """A history row a household, the last 50 purchases of each."""
    a_kind = items // KINDS
    chance = 1.0 / np.arange(1, a_kind + 1) ** SHAPE
    chance /= chance.sum()
    rows = []
    for user in range(users):
        liked = random.choice(KINDS, LIKED_KINDS, replace=False)
        taste = random.dirichlet(np.full(LIKED_KINDS, 0.5))
        count = max(4, int(random.lognormal(np.log(purchases / users), 0.5)))
        bought: list[int] = []
        for _ in range(count):
            if bought and random.random() < AGAIN:
                bought.append(bought[random.integers(len(bought))])
            else:
                kind = liked[random.choice(LIKED_KINDS, p=taste)]
                bought.append(int(kind + KINDS * random.choice(a_kind, p=chance)))
        days = np.sort(random.choice(DAYS, size=max(2, count // 8)))
        when = np.sort(random.choice(days, size=count))
        start = dt.datetime.combine(NIGHT, dt.time(12), dt.UTC) - dt.timedelta(days=DAYS)
        events = [
            (start + dt.timedelta(days=int(day), seconds=n), "purchase", f"p{item:06d}")
            for n, (day, item) in enumerate(zip(when, bought, strict=True))
        ]
        new = [n for n in range(1, count) if bought[n] not in bought[:n]]
        first = max(0, count - 50)
        held_out = new[-1] - first if new and user % 2 == 0 and new[-1] > first else None
        row = history_row(
            hashlib.sha256(f"household {user}".encode()).hexdigest()[:32],
            events[first:],
            language="en",
            held_out=held_out,
            split=None if held_out is None else "validation",
        )
        rows.append(row | {"owned_item_ids": sorted({item for _, _, item in events})})
    return rows


def train(
    home: Path, rows: dict[str, list[dict[str, Any]]], settings: Settings, name: str
) -> dict[str, Any]:
    """One `fine_tune` in a lake of its own; what it took and what came of it."""
    lake, run = Lake(home / name), Run(NIGHT, name)
    settings = dataclasses.replace(
        settings,
        paths=dataclasses.replace(settings.paths, lake=str(lake.root)),
        reasons=dataclasses.replace(settings.reasons, enabled=False),
    )
    for dataset, of_dataset in rows.items():
        write_dataset(lake, dataset, run, of_dataset)
    clock, processor = time.perf_counter(), time.process_time()
    report = fine_tune(lake, run, settings).report
    return {
        "catalogue_items": settings.training.catalogue_items,
        "processor_seconds": round(time.process_time() - processor, 1),
        "clock_seconds": round(time.perf_counter() - clock, 1),
        "epochs": report["epochs"],
        "best_epoch": report["best_epoch"],
        "validation_ndcg": report["best_validation_ndcg"],
        "prior_weight": report["prior_weight"],
        "rows": report["rows"],
    }


def main() -> None:
    """Print a line a training."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.grocery_training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--users", type=int, default=800)
    parser.add_argument("--items", type=int, default=90_000)
    parser.add_argument("--purchases", type=int, default=75_000)
    parser.add_argument("--catalogue-items", type=int, nargs="+", default=[5000])
    parser.add_argument("--max-epochs", type=int, help="default: that of the settings")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    random = np.random.default_rng(arguments.seed)
    items = make_items(arguments.items, random)
    rows = {
        "histories": make_households(arguments.users, arguments.items, arguments.purchases, random),
        "catalogue": [catalogue_row(item, NIGHT) for item in items],
        "item_words": [],
    }
    bought = {item for row in rows["histories"] for item in row["owned_item_ids"]}
    events = sum(row["n_events"] for row in rows["histories"])
    print(f"{len(items):,} items, {len(bought):,} of them ever bought; {events:,} events kept")
    settings = load_settings(None, os.environ)
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for number in arguments.catalogue_items:
            training = dataclasses.replace(
                settings.training,
                catalogue_items=number,
                max_epochs=arguments.max_epochs or settings.training.max_epochs,
            )
            found.append(
                train(
                    Path(scratch),
                    rows,
                    dataclasses.replace(settings, training=training),
                    f"items_{number}",
                )
            )
            print(found[-1], flush=True)
    print(json.dumps({"arguments": vars(arguments), "bought": len(bought), "trained": found}))


if __name__ == "__main__":
    main()
