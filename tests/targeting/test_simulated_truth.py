"""On a simulated shop, whose prices, stock and acts are known: the same triggers as by hand.

The truth is counted act by act from `_truth`, without SQL and without the lake
(`benchmarks.triggers`, which does the same with a dirty shop and the stages before).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks.triggers import KINDS, can_be_bought, date_of, expected, market
from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.datasets import ACTS, CATALOGUE, CATALOGUE_CHANGES, HISTORIES, TRIGGERS
from pipeline.lake import Lake, Run
from pipeline.settings import Settings
from pipeline.simulator.shop import DEFAULT_START, simulate_shop
from pipeline.targeting.triggers import make_triggers
from tests.lake_rows import read_rows, user_id_of, write_rows
from tests.targeting.conftest import Shop, history

DAYS = 40
OURS = {"add_to_cart": "cart"}


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("raw")
    simulate_shop(out, users=400, items=150, days=DAYS, seed=21, dirt=0.0)
    return out / "_truth"


def fill(lake: Lake, truth: Path, night: int) -> None:
    """What earlier stages would have written of the same days."""
    run = Run(date_of(night), "one")
    tables = []
    for number in range(night + 1):
        table = pq.read_table(truth / "acts" / f"date={date_of(number)}.parquet")
        start = dt.datetime.combine(date_of(number), dt.time(), dt.UTC)
        n = table.num_rows
        times = pa.array([start + dt.timedelta(seconds=s) for s in table["second"].to_pylist()])
        kinds = [OURS.get(kind, kind) for kind in table["kind"].to_pylist()]
        said = {
            "user_id": [user_id_of(name) for name in table["user"].to_pylist()],
            "event_id": [f"{number}-{row}" for row in range(n)],
            "event_time": times,
            "event_date": pa.array([date_of(number)] * n),
            "event_type": kinds,
            "item_id": table["item"],
            "delivered_date": pa.array([date_of(number)] * n),
            "cancelled": np.zeros(n, bool),
            "new_target": np.zeros(n, bool),
            "settled": np.zeros(n, bool),
            "events_before": np.zeros(n, np.int32),
        }
        schema = arrow_schema(load_contract(ACTS))
        nothing = {name: pa.nulls(n) for name in schema.names if name not in said}
        columns = {**said, **nothing}
        tables.append(
            pa.table({name: columns[name] for name in schema.names}).cast(
                pa.schema([field.with_nullable(True) for field in schema])
            )
        )
    acts = pa.concat_tables(tables).sort_by("user_id")
    users = acts["user_id"].unique().sort()
    directory = lake.begin(ACTS, run)
    half = users[len(users) // 2]
    for place, part in enumerate(
        (
            acts.filter(pc.less(acts["user_id"], half)),
            acts.filter(pc.less_equal(half, acts["user_id"])),
        )
    ):
        pq.write_table(part, directory / f"part-{place:05d}.parquet")
    lake.commit(ACTS, run, rows=acts.num_rows)
    write_rows(lake, HISTORIES, run, [history(user) for user in users.to_pylist()])
    known: dict[str, tuple[Any, ...]] = {}
    for number in range(night + 1):
        changed = []
        for item, row in market(truth, number).items():
            state = row["price"], row["stock"], row["listed"]
            if known.get(item) != state:
                known[item] = state
                changed.append(
                    {
                        "item_id": item,
                        "changed_date": date_of(number),
                        "changed": ["price"],
                        "price": row["price"],
                        "stock": row["stock"],
                        "listed": row["listed"],
                        "in_assortment": True,
                    }
                )
        if lake.current(CATALOGUE_CHANGES, date_of(number)) is None:
            write_rows(lake, CATALOGUE_CHANGES, Run(date_of(number), "d"), changed)
    catalogue = [
        {
            "item_id": item,
            "price": row["price"],
            "stock": row["stock"],
            "sellable": can_be_bought(row),
            "listed": row["listed"],
            "first_seen_date": DEFAULT_START,
            "delivered_date": date_of(night),
        }
        for item, row in market(truth, night).items()
    ]
    write_rows(lake, CATALOGUE, run, catalogue)


def test_precision_and_recall_on_the_simulators_truth(
    truth: Path, lake: Lake, settings: Settings
) -> None:
    shop = Shop(lake, settings).with_triggers(kinds=KINDS, per_shopper=0, per_kind=0, per_item=0)
    names = {
        user_id_of(name): name
        for name in pq.read_table(truth / "users.parquet")["user"].to_pylist()
    }
    wanted, made = set(), set()
    for night in (33, 39):
        fill(lake, truth, night)
        make_triggers(lake, Run(date_of(night), "one"), shop.settings)
        wanted |= {(night, *trigger) for trigger in expected(truth, night)}
        made |= {
            (night, names[row["user_id"]], row["kind"], row["item_id"])
            for row in read_rows(lake, TRIGGERS, date_of(night))
            if row["because"] != "purchase"
        }
    for kind in KINDS:
        ours = {trigger for trigger in made if trigger[2] == kind}
        theirs = {trigger for trigger in wanted if trigger[2] == kind}
        assert len(theirs) > 20, kind
        assert len(ours & theirs) >= 0.99 * max(len(ours), len(theirs)), kind
