"""How the report's figures scale with the number of lists: seconds and memory, side by side.

Writes made-up recommendations of two sizes to a scratch directory, reads each in a process of its
own, and prints the ratios. `python -m benchmarks.report_of_many_lists --users 20000 200000`
"""

from __future__ import annotations

import argparse
import datetime as dt
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.lake import Lake, Run
from pipeline.report.example_users import read_example_users
from pipeline.report.lists import read_lists

RUN = Run(dt.date(2026, 3, 1), "benchmark")
K = 10
N_ITEMS = 5_000
ROWS_A_FILE = 50_000


def write(lake: Lake, n_users: int, seed: int) -> None:
    """Lists of items drawn as shops sell them: a few often, most seldom."""
    rng = np.random.default_rng(seed)
    schema = arrow_schema(load_contract("recommendations"))
    directory = lake.begin("recommendations", RUN)
    for start in range(0, n_users, ROWS_A_FILE):
        rows = []
        for number in range(start, min(start + ROWS_A_FILE, n_users)):
            items = np.unique((N_ITEMS * rng.random(4 * K) ** 3).astype(int))[:K]
            rows.append(
                {
                    "user_id": f"{number:032x}",
                    "items": [
                        {"rank": rank, "item_id": f"i{item}", "title": f"Item {item}"}
                        for rank, item in enumerate(items.tolist(), 1)
                    ],
                    "n_items": len(items),
                    "method": "model",
                    "rules": [],
                    "model_version": "benchmark",
                    "last_event_time": dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
                }
            )
        pq.write_table(
            pa.Table.from_pylist(rows, schema=schema), directory / f"part-{start:09d}.parquet"
        )
    lake.commit("recommendations", RUN, rows=n_users)


def measure(root: str) -> None:
    """Read once and print seconds and peak megabytes."""
    partition = Lake(root).require("recommendations", RUN.run_date)
    started = time.perf_counter()
    read_lists(partition, None)
    read_example_users(partition, None, None, seed=1)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(seconds, peak)


def main() -> int:
    """Measure both sizes and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs=2, default=[20_000, 200_000])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
        return 0
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for n_users in arguments.users:
            root = Path(scratch) / str(n_users)
            write(Lake(root), n_users, arguments.seed)
            command = [sys.executable, "-m", "benchmarks.report_of_many_lists"]
            output = subprocess.run(
                [*command, "--measure", str(root)], check=True, capture_output=True, text=True
            ).stdout
            seconds, megabytes = map(float, output.split())
            found.append((seconds, megabytes))
            print(f"{n_users:>10,} lists: {seconds:6.2f} s, peak {megabytes:,.0f} MB")
    (few_s, few_mb), (many_s, many_mb) = found
    factor = arguments.users[1] / arguments.users[0]
    print(
        f"{factor:.0f} × the lists: {many_s / few_s:.1f} × the time, {many_mb / few_mb:.1f} × the memory"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
