"""Writing a simulation: a day's directory appears whole, its ground truth just before it.

Writes `<out>/date=D/…` and `<out>/_truth/`: `simulation.json` (the plan), `faults/date=D.jsonl`,
`market/date=D.parquet` (price and stock of every item at the end of the day),
`acts/date=D.parquet` (what shoppers did, before anything was broken), `items.parquet`,
`users.parquet`, `complements.parquet`. Sources never read names that begin with
`_` or `.`.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import durable
from pipeline.errors import InputError
from pipeline.simulator.assortment import BRANDS, CATEGORIES, CATEGORY_KEYS
from pipeline.simulator.catalogue import NEVER, NOBODY, Catalogue, Floats, Ints
from pipeline.simulator.events import EVENT_TYPES, Events
from pipeline.simulator.faults import Fault
from pipeline.simulator.lexicon import LANGUAGES
from pipeline.simulator.market import Market
from pipeline.simulator.planting import Page
from pipeline.simulator.users import Users

TRUTH = "_truth"


@dataclass(frozen=True)
class Delivery:
    """One day's files and the faults in them."""

    date: dt.date
    pages: Mapping[str, Page]
    faults: list[Fault]
    truth: Mapping[str, pa.Table]  # of the day, by the name of its folder


def claim(out: Path, plan: Mapping[str, Any]) -> None:
    """Make `out` the place of this plan.

    Raises:
        InputError: it is the place of another one, or holds days that no simulation wrote.
    """
    path = out / TRUTH / "simulation.json"
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        differs = [name for name in plan if found.get(name) != plan[name]]
        if differs:
            was = ", ".join(f"{name}={found.get(name)}" for name in differs)
            now = ", ".join(f"{name}={plan[name]}" for name in differs)
            raise InputError(
                f"{out} holds a simulation with {was}, asked for {now}; "
                "choose another --out, or remove that directory"
            )
    elif out.is_dir() and any(out.glob("date=*")):
        raise InputError(
            f"{out} holds day directories that the simulator did not write; choose another --out"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, json.dumps(dict(plan), ensure_ascii=False, indent=2) + "\n")


def write_delivery(out: Path, delivery: Delivery) -> None:
    """Write the day's ground truth, then its files, then let the directory appear."""
    name = f"date={delivery.date.isoformat()}"
    faults = out / TRUTH / "faults" / f"{name}.jsonl"
    faults.parent.mkdir(exist_ok=True)
    _write(
        faults,
        "".join(json.dumps(fault.as_row(), ensure_ascii=False) + "\n" for fault in delivery.faults),
    )
    for folder, table in delivery.truth.items():
        (out / TRUTH / folder).mkdir(exist_ok=True)
        pq.write_table(table, out / TRUTH / folder / f"{name}.parquet")
    aside = out / f".{name}.partial"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for file, page in delivery.pages.items():
        _write(aside / file, page.text)
    shutil.rmtree(out / name, ignore_errors=True)
    durable.sync_files(aside.iterdir())
    durable.sync_directory(aside)
    durable.rename(aside, out / name)


def market_truth(catalogue: Catalogue, market: Market) -> pa.Table:
    """What every known item is at the end of a day."""
    known = np.flatnonzero(market.known)
    return pa.table(
        {
            "item": [catalogue.sku[item] for item in known.tolist()],
            "price": pa.array(market.price[known]),
            "stock": pa.array(market.stock[known]),
            "listed": pa.array(market.listed[known]),
        }
    )


def act_truth(catalogue: Catalogue, users: Users, events: Events) -> pa.Table:
    """What shoppers did with items on a day, in its order; bots are none."""
    acts = events.take(events.item >= 0)
    return pa.table(
        {
            "user": [users.user_id[user] for user in acts.user.tolist()],
            "item": [catalogue.sku[item] for item in acts.item.tolist()],
            "kind": [EVENT_TYPES[kind] for kind in acts.kind.tolist()],
            "second": pa.array(acts.second),
        }
    )


def write_world(out: Path, catalogue: Catalogue, users: Users) -> None:
    """The truth that no day changes: items, users, and what goes with what."""
    pq.write_table(_items(catalogue), out / TRUTH / "items.parquet")
    pq.write_table(_user_table(users), out / TRUTH / "users.parquet")
    pq.write_table(_complements(catalogue), out / TRUTH / "complements.parquet")


def _items(catalogue: Catalogue) -> pa.Table:
    keys = [CATEGORY_KEYS[index] for index in catalogue.category]
    quality = [
        dict(zip(CATEGORIES[index].aspects, row.tolist(), strict=False))
        for index, row in zip(catalogue.category.tolist(), catalogue.quality, strict=True)
    ]
    return pa.table(
        {
            "item": catalogue.sku,
            "title": catalogue.title,
            "category": keys,
            "brand": [BRANDS[index].name for index in catalogue.brand],
            "popularity": pa.array(catalogue.popularity),
            "launch_day": pa.array(catalogue.launch_day),
            "delist_day": pa.array(catalogue.delist_day, mask=catalogue.delist_day == NEVER),
            "aspect_quality": pa.array(
                [list(row.items()) for row in quality], pa.map_(pa.string(), pa.float64())
            ),
        }
    )


def _user_table(users: Users) -> pa.Table:
    taste = np.diff(users.category_taste, axis=1, prepend=0.0)
    brands = [brand.name for brand in BRANDS]
    return pa.table(
        {
            "user": users.user_id,
            "language": [LANGUAGES[index] for index in users.language],
            "country": users.country,
            "sessions_per_day": pa.array(users.sessions_per_day),
            "price_level": pa.array(users.price_level),
            "strictness": pa.array(users.strictness),
            "join_day": pa.array(users.join_day),
            "stop_day": pa.array(users.stop_day, mask=users.stop_day == NEVER),
            "favourite_category": [CATEGORY_KEYS[index] for index in taste.argmax(axis=1)],
            "category_taste": _lists(taste),
            "favourite_brand": [brands[index] for index in users.brand_taste.argmax(axis=1)],
            "brand_taste": _lists(users.brand_taste),
        }
    )


def _complements(catalogue: Catalogue) -> pa.Table:
    """(item, then, kind): partner and companion in order of preference, and next volume."""
    rows: list[tuple[str, str, str, int]] = []
    ties: list[tuple[str, Ints]] = [
        ("partner", catalogue.partner),
        ("companion", catalogue.companion),
        ("volume", catalogue.next_volume[:, None]),
    ]
    for kind, table in ties:
        for item, rank in np.argwhere(table != NOBODY).tolist():
            rows.append((catalogue.sku[item], catalogue.sku[table[item, rank]], kind, rank))
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    types = (pa.string(), pa.string(), pa.string(), pa.int64())
    names = ("item", "then", "kind", "rank")
    return pa.table(
        {
            name: pa.array(column, kind)
            for name, column, kind in zip(names, columns, types, strict=True)
        }
    )


def _lists(rows: Floats) -> pa.Array[Any]:
    """One list a row of a matrix."""
    flat = pa.array(np.ascontiguousarray(rows).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
