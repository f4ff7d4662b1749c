"""Counts over all published lists: coverage, variety, fallbacks, favourites.

Reads Parquet files of `recommendations` and `catalogue` through DuckDB, which aggregates in one
pass and spills to disk, so that five million lists need no more memory than five thousand.
Writes nothing. Gives up: different lists are counted by 64-bit hashes.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb

from pipeline.encryption.duckdb_tables import bring, parquet_source
from pipeline.lake import Partition
from pipeline.model.list_methods import IS_FALLBACK


@dataclass(frozen=True)
class Favourite:
    """An item that many lists hold."""

    item_id: str
    title: str | None
    n_lists: int


@dataclass(frozen=True)
class Lists:
    """All lists of a night, counted."""

    n_users: int
    n_model: int
    n_different: int
    n_items_shown: int
    n_slots: int
    n_top_slots: int  # slots that the ten most recommended items take
    n_sellable: int | None
    n_new_items: int | None  # launched within the last seven days, sellable
    n_new_items_shown: int | None
    fallback_methods: tuple[tuple[str, int], ...]
    fallback_reasons: tuple[tuple[str, int], ...]
    rules: tuple[tuple[str, int], ...]
    reason_methods: tuple[tuple[str, int], ...]
    languages: tuple[tuple[str, int], ...]
    model_versions: tuple[str, ...]
    favourites: tuple[Favourite, ...]

    @property
    def fallback_share(self) -> float:
        """Lists that the model did not make."""
        return 1 - self.n_model / self.n_users if self.n_users else 0.0

    @property
    def different_share(self) -> float:
        """Different lists among all lists; near 0 when everybody gets the same."""
        return self.n_different / self.n_users if self.n_users else 0.0

    @property
    def coverage(self) -> float | None:
        """Sellable items that at least one user gets, as a share."""
        return self.n_items_shown / self.n_sellable if self.n_sellable else None


def read_lists(recommendations: Partition, catalogue: Partition | None) -> Lists:
    """Count the lists of a night.

    Raises:
        duckdb.Error: a file is damaged or has other columns.
    """
    with open_duckdb() as db:
        view(db, "lists", recommendations)
        db.execute(
            "CREATE VIEW slots AS SELECT unnest(items).item_id AS item_id,"
            " unnest(items).title AS title FROM lists"
        )
        n_users, n_model, n_different = _row(
            db,
            f"SELECT count(*), count(*) FILTER (NOT {IS_FALLBACK}),"  # noqa: S608
            " count(DISTINCT hash([item.item_id for item in items])) FROM lists",
        )
        n_items_shown, n_slots = _row(db, "SELECT count(DISTINCT item_id), count(*) FROM slots")
        favourites = tuple(
            Favourite(*row)
            for row in db.execute(
                "SELECT item_id, min(title), count(*) AS n FROM slots GROUP BY item_id"
                " ORDER BY n DESC, item_id LIMIT 10"
            ).fetchall()
        )
        n_sellable = n_new = n_new_shown = None
        if catalogue is not None:
            view(db, "catalogue", catalogue)
            n_sellable, n_new, n_new_shown = _row(
                db,
                "SELECT count(*), count(*) FILTER (is_new), count(*) FILTER (is_new AND shown)"
                " FROM (SELECT first_seen_date > $week_ago AS is_new,"
                " item_id IN (SELECT item_id FROM slots) AS shown FROM catalogue WHERE sellable)",
                week_ago=recommendations.run_date - dt.timedelta(days=7),
            )
        return Lists(
            n_users=n_users,
            n_model=n_model,
            n_different=n_different,
            n_items_shown=n_items_shown,
            n_slots=n_slots,
            n_top_slots=sum(favourite.n_lists for favourite in favourites),
            n_sellable=n_sellable,
            n_new_items=n_new,
            n_new_items_shown=n_new_shown,
            fallback_methods=_counts(db, "method", IS_FALLBACK),
            fallback_reasons=_counts(db, "coalesce(fallback_reason, 'not said')", IS_FALLBACK),
            rules=_rules(db),
            reason_methods=_counts(db, "coalesce(reason_method, 'none')"),
            languages=_counts(db, "coalesce(language, 'not said')"),
            model_versions=tuple(name for name, _ in _counts(db, "model_version")),
            favourites=favourites,
        )


def _rules(db: duckdb.DuckDBPyConnection) -> tuple[tuple[str, int], ...]:
    """How many lists each of the shop's rules changed; empty for lists older than the rules."""
    columns = {name for name, *_ in db.execute("DESCRIBE lists").fetchall()}
    if "rules" not in columns:
        return ()
    return tuple(
        db.execute(
            "SELECT rule, count(*) AS n FROM (SELECT unnest(rules) AS rule FROM lists)"
            " GROUP BY rule ORDER BY n DESC, rule"
        ).fetchall()
    )


@contextmanager
def open_duckdb() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of its own, in memory, that fetches nothing and spills to a scratch directory."""
    with tempfile.TemporaryDirectory(prefix="nightcart-report-") as scratch:
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": "2GB",
            "temp_directory": scratch,
        }
        with duckdb.connect(":memory:", config=config) as db:
            yield db


def view(db: duckdb.DuckDBPyConnection, name: str, partition: Partition) -> None:
    """Make a view of a partition's Parquet files, so that a query never contains a path."""
    files = [path for path in partition.files if path.suffix == ".parquet"]
    source = parquet_source(files, "hive_partitioning = false")
    db.execute(bring(db, f"CREATE VIEW {name} AS FROM {source}"))


def _row(db: duckdb.DuckDBPyConnection, query: str, **parameters: Any) -> Sequence[Any]:
    row = db.execute(query, parameters).fetchone()
    assert row is not None  # an aggregate without groups always has a row
    return row


def _counts(
    db: duckdb.DuckDBPyConnection, value: str, where: str = "true"
) -> tuple[tuple[str, int], ...]:
    """How many lists have each value of an expression, the most frequent first."""
    query = (
        f"SELECT {value} AS value, count(*) AS n FROM lists WHERE {where}"  # noqa: S608
        " GROUP BY value ORDER BY n DESC, value"
    )
    return tuple(db.execute(query).fetchall())
