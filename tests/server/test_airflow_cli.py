"""Transactions of savepoints in SQLite, while another process writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# What `airflow backfill create` does for each of its nights: a savepoint that reads, then writes.
SCRIPT = """
import sqlite3, sys, threading, time
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from jobs.server.airflow_cli import keep_transactions_whole

path, whole = sys.argv[1:]
other = sqlite3.connect(path, timeout=30, check_same_thread=False)
other.execute("PRAGMA journal_mode = wal")
other.execute("CREATE TABLE t (n)")
other.commit()
if whole == "whole":
    keep_transactions_whole()
ending = threading.Event()

def write():
    while not ending.is_set():
        other.execute("INSERT INTO t VALUES (1)")
        other.commit()
        time.sleep(0.001)

thread = threading.Thread(target=write)
thread.start()
try:
    with Session(create_engine(f"sqlite:///{path}")) as session:
        for _ in range(3):
            with session.begin_nested():
                session.execute(text("SELECT count(*) FROM t")).scalar()
                time.sleep(0.1)
                session.execute(text("INSERT INTO t VALUES (2)"))
        session.commit()
finally:
    ending.set()
    thread.join()
print(other.execute("SELECT count(*) FROM t WHERE n = 2").fetchone()[0])
"""


def run(path: Path, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), how],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("how", ["whole", "as it is"])
def test_savepoints_beside_a_writer(tmp_path: Path, how: str) -> None:
    done = run(tmp_path / "airflow.db", how)
    if how == "whole":
        assert (done.stdout, done.returncode) == ("3\n", 0), done.stderr
    else:  # the reason for all this; where this passes one day, it can go
        assert "database is locked" in done.stderr
