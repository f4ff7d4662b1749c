"""What the fallback's lists are worth: a night of a lake made once by each baseline, no model.

    python -m benchmarks.fallback_lists demo/lake 2026-03-01

Takes the night's histories as they were before each held-out event, in a scratch lake of its own,
and generates there without a champion, once by each baseline that `champion.json` can name. Prints
NDCG@10 of the lists of each half's shoppers whose held-out item is still sold, what made them, and
which baseline evaluation would name, by the validation half alone.
"""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.generation_scale import put_champion, settings, table_of
from pipeline.generation.night import Generated, Night
from pipeline.lake import Lake, Run
from pipeline.model.catalogue import read_catalogue
from pipeline.model.list_methods import BASELINES
from pipeline.model.user_history import UserHistory, held_out, read_histories
from pipeline.ranking.best_baseline import best_baseline
from pipeline.ranking.held_out_ranks import Items, measurable
from pipeline.ranking.metrics import Floats

SPLITS = ("validation", "test")


def before_held_out(users: Sequence[UserHistory]) -> pa.Table:
    """Histories of shoppers who are all due, without what they are measured by and all after it."""
    return table_of(
        "histories",
        {
            "user_id": [user.user_id for user in users],
            "item_ids": [list(user.known_items) for user in users],
            "event_types": [list(user.known_event_types) for user in users],
            "event_times": [list(user.event_times[: len(user.known_items)]) for user in users],
            "owned_item_ids": [sorted(user.owned_before_holdout()) for user in users],
            "queries": [[] for _ in users],
            "n_events": [len(user.known_items) for user in users],
            "last_event_time": [user.event_times[0] for user in users],
            "active": [True] * len(users),
            "consent": [True] * len(users),
            "language": [user.language for user in users],
        },
        len(users),
    )


def ndcg_of(made: Generated, users: Sequence[UserHistory]) -> Floats:
    """NDCG of each user's list: one over log2 of where the held-out item stands."""
    lists: dict[str, list[str]] = {}
    for path in made.partition.files:
        for row in pq.read_table(path, columns=["user_id", "items"]).to_pylist():
            lists[row["user_id"]] = [entry["item_id"] for entry in row["items"]]
    values = []
    for user in users:
        listed, wanted = lists.get(user.user_id, []), user.held_out_item
        values.append(1 / np.log2(2 + listed.index(wanted)) if wanted in listed else 0.0)
    return np.array(values)


def measure(source: Lake, night: dt.date, scratch: Lake) -> Mapping[str, Mapping[str, Floats]]:
    """Each half's NDCG by baseline; prints what there is to say of every one."""
    users = read_histories(source, night)
    catalogue = read_catalogue(source, night)
    items = Items(
        tuple(item.item_id for item in catalogue),
        np.array([item.sellable for item in catalogue], dtype=np.bool_),
    )
    halves = {split: measurable(held_out(users, split), items) for split in SPLITS}
    run = Run(night, "upstream")
    pq.write_table(before_held_out(users), scratch.begin("histories", run) / "part-00000.parquet")
    scratch.commit("histories", run, rows=len(users))
    directory = scratch.begin("catalogue", run)
    for path in source.require("catalogue", night).files:
        shutil.copy(path, directory / path.name)
    scratch.commit("catalogue", run, rows=len(catalogue))
    found: dict[str, dict[str, Floats]] = {split: {} for split in SPLITS}
    for name in BASELINES:
        put_champion(scratch, night, None, name)
        made = Night(
            scratch, Run(night, name), settings(str(scratch.root), repeat=False)
        ).generate()
        for split, half in halves.items():
            found[split][name] = ndcg_of(made, half)
            print(f"{name:12} {split:11} {len(half):5,} {found[split][name].mean():.4f}", end="  ")
        print(made.report["methods"])
    return found


def main() -> int:
    """Measure one night of a lake."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fallback_lists")
    parser.add_argument("lake")
    parser.add_argument("night", type=dt.date.fromisoformat)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nightcart-fallback-") as folder:
        found = measure(Lake(Path(chosen.lake)), chosen.night, Lake(folder))
        seed = settings(folder, repeat=False).seed
    print("named by validation:", best_baseline(found["validation"], seed))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
