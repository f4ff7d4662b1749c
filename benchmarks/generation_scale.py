"""How generation grows with users: time a user and peak memory, one process a size.

    python -m benchmarks.generation --scale 10000 100000 1000000
    python -m benchmarks.generation --scale 10000 100000 --repeat
    python -m benchmarks.generation --scale 10000 100000 --fallback item_knn

Each size is a simulated shop of its own in a scratch directory (2,000 items; histories of 5 to 50
events, 9 in the mean; 5 % of the users not active, 0.2 % with an event that the model cannot read,
so that the fallback is fit and used), and a process that does what `jobs.generate` does: shards,
rows, checksums, manifest. The model is the demo's size, with random weights: growth does not depend
on what a user costs. `--repeat` measures the night after one that was published, with
`no_repeat_nights = 1`, so that last night's lists are read as well; `--fallback NAME` a night
without a model, every list by that baseline.

Times are of the processor, summed over threads, from the first look at the lake to the commit; the
peak is the process's resident memory, what the imports take included. Reasons are off: they depend
on items, not on users, and would only flatter the larger sizes.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from transformers import GPT2LMHeadModel

from pipeline.arrow_columns import Column
from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.generation.night import Night
from pipeline.lake import Lake, Run
from pipeline.model.champion import ChampionRecord, write_champion
from pipeline.model.checkpoint import save_checkpoint, small_config
from pipeline.model.vocabulary import build_vocabulary
from pipeline.settings import Settings, load_settings

NIGHT = dt.date(2026, 3, 1)
N_ITEMS = 2_000
USERS_PER_FILE = 250_000
ROWS_PER_GROUP = 50_000
LONGEST = 50
INACTIVE_SHARE, UNREADABLE_SHARE = 0.05, 0.002
KINDS = np.array(["view", "cart", "purchase", "rating", "unheard of"])


def scale(
    sizes: Sequence[int],
    *,
    repeat: bool,
    fallback: str | None = None,
    scratch: Path | None = None,
) -> dict[str, Any]:
    """Measure every size; how the largest compares with the smallest and with the one before."""
    found: dict[int, dict[str, float]] = {}
    for n_users in sizes:
        with tempfile.TemporaryDirectory(dir=scratch, prefix="nightcart-scale-") as folder:
            make_shop(Lake(folder), n_users)
            if fallback:
                put_champion(Lake(folder), NIGHT, None, fallback)
            if repeat:
                _measured(folder, [])
                _publish(Lake(folder))
            found[n_users] = _measured(folder, ["--repeat"] if repeat else [])
        print(f"{n_users:,} users", *(f"{k} {v:,.4g}" for k, v in found[n_users].items()), sep="  ")
        sys.stdout.flush()
    last = found[sizes[-1]]
    return {
        "sizes": found,
        "time_per_user_to_smallest": last["ms_per_user"] / found[sizes[0]]["ms_per_user"],
        "peak_to_one_before": last["peak_mb"] / found[sizes[-2:][0]]["peak_mb"],
    }


def make_shop(lake: Lake, n_users: int) -> None:
    """Histories, a catalogue and a random champion in an empty lake."""
    run = Run(NIGHT, "upstream")
    items = [f"item-{n:05d}" for n in range(N_ITEMS)]
    rng = np.random.default_rng(n_users)
    directory = lake.begin("histories", run)
    for start in range(0, n_users, USERS_PER_FILE):
        path = directory / f"part-{start // USERS_PER_FILE:05d}.parquet"
        with pq.ParquetWriter(path, _schema("histories"), compression="zstd") as writer:
            for first in range(start, min(n_users, start + USERS_PER_FILE), ROWS_PER_GROUP):
                size = min(n_users, start + USERS_PER_FILE, first + ROWS_PER_GROUP) - first
                writer.write_table(_histories(first, size, pa.array(items), rng))
    lake.commit("histories", run, rows=n_users)
    rows = {
        "item_id": items,
        "title": [f"Brush {item}" for item in items],
        "brand": ["Borsta"] * N_ITEMS,
        "category": [f"Care > {n % 40}" for n in range(N_ITEMS)],
        "price": [9.5] * N_ITEMS,
        "sellable": [True] * N_ITEMS,
        "first_seen_date": [NIGHT] * N_ITEMS,
    }
    pq.write_table(table_of("catalogue", rows, N_ITEMS), lake.begin("catalogue", run) / "a.parquet")
    lake.commit("catalogue", run, rows=N_ITEMS)
    _put_model(lake, items)


def _put_model(lake: Lake, items: list[str]) -> None:
    run = Run(NIGHT, "upstream")
    vocabulary = build_vocabulary(
        items, ["en"], ["A soft brush, it is great."] * 3, text_vocab_size=400
    )
    torch.manual_seed(1)
    config = small_config(vocabulary, n_layer=2, n_head=2, n_embd=64, n_positions=128, dropout=0.0)
    directory = lake.begin("models", run)
    save_checkpoint(directory, GPT2LMHeadModel(config).eval(), vocabulary, NIGHT)
    lake.commit("models", run, rows=1)
    put_champion(lake, NIGHT, run, None)


def put_champion(lake: Lake, night: dt.date, model: Run | None, fallback: str | None) -> None:
    """Say who generates; without a model every list is by the fallback."""
    run = Run(night, "upstream")
    date, run_id = (model.run_date.isoformat(), model.run_id) if model else (None, None)
    why = "a benchmark"
    record = ChampionRecord(date, run_id, "random", model is not None, why, fallback=fallback)
    write_champion(lake.begin("champions", run), record)
    lake.commit("champions", run, rows=1)


def _histories(first: int, n: int, items: Column, rng: np.random.Generator) -> pa.Table:
    lengths = np.minimum(4 + rng.geometric(0.2, n), LONGEST)
    users_E = np.repeat(np.arange(n), lengths)
    places_E = (N_ITEMS * rng.random(len(users_E)) ** 3).astype(np.int64)
    kinds_E = rng.integers(0, len(KINDS) - 1, len(users_E))
    starts = np.concatenate([[0], lengths.cumsum()])
    kinds_E[starts[:-1][rng.random(n) < UNREADABLE_SHARE]] = len(KINDS) - 1
    # Bought or rated, each once a user, in the order of ids.
    owned = np.unique((users_E * N_ITEMS + places_E)[(kinds_E == 2) | (kinds_E == 3)])
    owned_starts = np.searchsorted(owned // N_ITEMS, np.arange(n + 1))
    noon = int(dt.datetime(2026, 2, 28, 12, tzinfo=dt.UTC).timestamp() * 1e6)
    instants: Column = pa.array(np.full(len(users_E), noon), pa.timestamp("us", tz="UTC"))
    nothing: Column = pa.array(np.zeros(n + 1, dtype=np.int32))
    ids = [hashlib.md5(b"%d" % user).hexdigest() for user in range(first, first + n)]
    kind_names: Column = pa.array(KINDS)
    columns: dict[str, Column] = {
        "user_id": pa.array(ids),
        "item_ids": _lists(starts, items.take(pa.array(places_E))),
        "event_types": _lists(starts, kind_names.take(pa.array(kinds_E))),
        "event_times": _lists(starts, instants),
        "queries": pa.ListArray.from_arrays(nothing, pa.array([], pa.string())),
        "owned_item_ids": _lists(owned_starts, items.take(pa.array(owned % N_ITEMS))),
        "n_events": pa.array(lengths, pa.int32()),
        "last_event_time": instants[:n],
        "active": pa.array(rng.random(n) >= INACTIVE_SHARE),
        "consent": pa.array(np.ones(n, dtype=bool)),
        "language": pa.array(["en"] * n),
    }
    return table_of("histories", columns, n)


def _lists(starts: NDArray[np.int64], values: Column) -> Column:
    ends: Column = pa.array(starts, pa.int32())
    return pa.ListArray.from_arrays(ends, values)


def _schema(dataset: str) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in arrow_schema(load_contract(dataset))])


def table_of(dataset: str, columns: Mapping[str, Any], n: int) -> pa.Table:
    """Columns of a contract, nulls where none is given."""
    schema = _schema(dataset)
    full = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(n, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(full, schema=schema)


def _publish(lake: Lake) -> None:
    """Let what was generated be the day before's published night."""
    made = lake.require("generated", NIGHT)
    run = Run(NIGHT - dt.timedelta(days=1), "published")
    directory = lake.begin("recommendations", run)
    for path in made.files:
        shutil.copy(path, directory / path.name)
    lake.commit("recommendations", run, rows=made.rows)


def _measured(folder: str, flags: list[str]) -> dict[str, float]:
    """What a process of its own says of one night."""
    command = [sys.executable, "-m", "benchmarks.generation_scale", folder, *flags]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def settings(folder: str, *, repeat: bool) -> Settings:
    """The defaults, without reasons."""
    loaded = load_settings(
        None, {"NIGHTCART_PATHS__LAKE": folder, "NIGHTCART_REASONS__ENABLED": "false"}
    )
    changed = dataclasses.replace(loaded.generation, no_repeat_nights=int(repeat))
    return dataclasses.replace(loaded, generation=changed)


def _peak_mb() -> float:
    """Of this program alone: what `getrusage` says begins with what its parent had."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main(argv: list[str] | None = None) -> int:
    """Measure one night of a shop that is there; print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation_scale")
    parser.add_argument("lake")
    parser.add_argument("--repeat", action="store_true")
    chosen = parser.parse_args(argv)
    imported = _peak_mb()
    clock, started = time.monotonic(), time.process_time()
    run = Run(NIGHT, "again" if chosen.repeat else "measured")
    made = Night(Lake(chosen.lake), run, settings(chosen.lake, repeat=chosen.repeat)).generate()
    seconds = time.process_time() - started
    due = made.audience.due
    found = {
        "due": due,
        "cpu_s": seconds,
        "clock_s": time.monotonic() - clock,
        "ms_per_user": 1000 * seconds / due,
        "peak_mb": _peak_mb(),
        "imports_mb": imported,
        "files": len(made.partition.files),
        "by_model": made.report["methods"].get("model", 0) / due,
    }
    print(json.dumps({key: round(value, 5) for key, value in found.items()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
