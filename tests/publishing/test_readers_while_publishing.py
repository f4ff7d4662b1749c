"""Readers that query without pause while twenty nights are published see whole nights only."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from pipeline.lake import Lake
from tests.publishing.conftest import NIGHT, Night, list_row

REPOSITORY = Path(__file__).resolve().parents[2]
PUBLISHES = 20

# One line a query: run, shoppers, runs that were mixed. `file` reads views.sql as a marketer's
# DuckDB does, `query` makes its views as `nightcart query` does. Ends when its input does.
READER = """
import sys, threading
from pathlib import Path
import duckdb
from pipeline.lake import Lake
from pipeline.publishing.query import run_query
lake, how = Lake(sys.argv[1]), sys.argv[2]
SQL = ("SELECT min(run_id), count(DISTINCT user_id), count(DISTINCT run_id), "
       "count(DISTINCT model_version) FROM recommendations_latest")
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
while not over.is_set():
    try:
        if how == "query":
            (row,) = run_query(lake, SQL).rows
        else:
            with duckdb.connect() as connection:
                connection.execute((lake.root / "views.sql").read_text(encoding="utf-8"))
                row = connection.execute(SQL).fetchone()
        print(*row, flush=True)
    except Exception as error:
        print("ERROR", type(error).__name__, error, flush=True)
"""


def start(lake: Lake, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", READER, str(lake.root), how],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_no_reader_sees_a_torn_or_empty_night(night: Night) -> None:
    night.publish()
    readers = [start(night.lake, how) for how in ("query", "file")]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "r1 3 1 1\n"  # it is up and reading
    for number in range(PUBLISHES):
        # Every other one is a new night, the rest are made again with other lists.
        date = NIGHT + dt.timedelta(days=number // 2)
        version = f"{date}.n{number}"
        lists = [
            list_row("ann", ("b", "a") if number % 2 else ("a", "b"), model_version=version),
            list_row("bob", ("b", "c"), model_version=version),
            list_row("cid", ("c",), model_version=version),
        ]
        again = night.on(date, f"n{number}").with_lists(*lists)
        again.generate()
        again.publish()
    seen: Counter[str] = Counter()
    last = f"n{PUBLISHES - 1} 3 1 1"
    for reader in readers:
        assert reader.stdout is not None
        for line in map(str.strip, reader.stdout):
            seen[line] += 1
            if line == last:
                break
        else:
            raise AssertionError(f"the reader did not live to see the last night: {seen}")
        said, _ = reader.communicate()
        seen.update(said.splitlines())
    wrong = {line: count for line, count in seen.items() if not line.endswith(" 3 1 1")}
    assert wrong == {}
    assert len(seen) > 2, f"the readers saw too little to mean anything: {seen}"
