"""Airflow's own command line, with transactions that SQLite keeps whole.

    python -m jobs.server.airflow_cli backfill create …

Python's sqlite3 begins no transaction before a savepoint, so that each savepoint is one of its own:
it starts as a reader and, once another process has written, may not become a writer ("database is
locked", whatever the timeout). `airflow backfill create --reprocess-behavior completed` is made of
savepoints; beside a scheduler that writes it failed, with some of its runs made. A transaction that
is begun as a writer waits its turn instead. Recipe: SQLAlchemy's documentation of its SQLite
dialect, "Enabling Non-Legacy SQLite Transactional Modes". Other databases are left as they are.
"""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

from sqlalchemy import Connection, Engine, event

WAIT_SECONDS = 60


def keep_transactions_whole() -> None:
    """For every engine of this process."""

    @event.listens_for(Engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.isolation_level = None  # sqlite3 begins nothing by itself
            connection.execute(f"PRAGMA busy_timeout = {WAIT_SECONDS * 1000}")

    @event.listens_for(Engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def main() -> None:
    """What `airflow` does."""
    keep_transactions_whole()
    from airflow.__main__ import main as airflow

    sys.argv[0] = "airflow"
    airflow()


if __name__ == "__main__":
    main()
