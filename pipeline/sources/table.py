"""A table that a dataset is read from instead of files: the entry `table` of a source YAML.

What is read is kept below the raw root as Parquet (`sources.tables`), and a night reads that. So a
dataset with a table is, for all that comes after, one of Parquet files with `{date}` in their path.
No user name with a password, and no other secret, is taken from the YAML: `connection` names where
they are. Standard library only.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ContractError
from pipeline.sources.yaml_entries import checked, name_list, text_of

JDBC, DUCKDB, DELTA, ICEBERG = "jdbc", "duckdb", "delta", "iceberg"
TABLE_FORMATS = (JDBC, DUCKDB, DELTA, ICEBERG)
POSTGRES_URLS = ("jdbc:postgresql:", "postgresql://", "postgres://")
# Of a time; long enough for a batch import, and few enough rows to compare in memory.
DEFAULT_OVERLAP = dt.timedelta(hours=6)
DEFAULT_OVERLAP_NUMBERS = 10_000

# What happened: rows that are written once. The other datasets say how something is now.
ACTS = ("events", "reviews")

_KEYS = {
    JDBC: ("url", "connection", "driver", "name"),
    DUCKDB: ("path", "name"),
    DELTA: ("path",),
    ICEBERG: ("path",),
}
_INCREMENTAL = ("watermark", "day", "overlap", "key")
_OF_FILES = ("files", "options", "delivery", "row_time", "may_be_absent", "same_files_as")
_SECRET = re.compile(
    r"//[^/@?]*:[^/@?]*@"  # //user:password@host
    r"|:[^/@:]+/[^/@]+@"  # Oracle's thin:user/password@
    r"|\b\w*(password|passwd|passphrase|pwd|secret|token|apikey|api_key|credential)\w*\s*=",
    re.IGNORECASE,
)
_OVERLAP = re.compile(r"(\d+)\s*(minutes?|min|m|hours?|h|days?|d)", re.IGNORECASE)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Table:
    """Where a dataset's rows are asked for, and how those are found that are new.

    Attributes:
        dataset: whose.
        kind: `jdbc`, `duckdb`, `delta` or `iceberg`.
        name: the table, by its parts such as schema and name; empty for delta and iceberg.
        url: of the database, without a password.
        connection: where user and password are: the Airflow connection of this id, or the
            environment variable `AIRFLOW_CONN_<ID>`.
        path: of a file or a directory; a relative one is below the raw root.
        driver: the Java class of a JDBC driver other than PostgreSQL's.
        watermark: the column by which new rows are found. Empty: each night takes the whole table.
        day: the column that says which day a row is of; the watermark, unless another is named.
        overlap: how far before the newest row of the last fetch the next one begins.
        key: raw columns that tell a row of items or users from another.
        where: the entry in the YAML, for messages.
    """

    dataset: str
    kind: str
    name: tuple[str, ...] = ()
    url: str = ""
    connection: str = ""
    path: str = ""
    driver: str = ""
    watermark: str = ""
    day: str = ""
    overlap: dt.timedelta | int | None = None
    key: tuple[str, ...] = ()
    where: str = ""

    @property
    def words(self) -> str:
        """The table, for messages."""
        return ".".join(self.name) or self.path

    @property
    def is_of_acts(self) -> bool:
        """Whether its rows say what happened, rather than how something is now."""
        return self.dataset in ACTS

    @property
    def is_postgres(self) -> bool:
        """Whether psycopg reads it, and no JDBC driver."""
        return self.kind == JDBC and (not self.url or self.url.startswith(POSTGRES_URLS))

    @property
    def own_columns(self) -> tuple[str, ...]:
        """Columns that a fetch itself needs."""
        named = (*self.key, self.watermark, self.day)
        return tuple(dict.fromkeys(name for name in named if name))


def files_of(dataset: str) -> str:
    """The pattern, below the raw root, of the files that a table's rows are kept in."""
    return f"tables/{dataset}/date={{date}}/*.parquet"


def tables_as_files(
    datasets: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], dict[str, Table]]:
    """The entries `datasets` of a source YAML, those with a table as if they had files; the tables.

    Raises:
        ContractError: an entry of a table is wrong, or holds a secret.
    """
    entries, tables = dict(datasets), {}
    main = "events" if "events" in datasets else "reviews"
    for dataset, entry in datasets.items():
        if not isinstance(entry, dict):
            continue
        place = f"{where}: {dataset}"
        if entry.get("format") not in TABLE_FORMATS:
            if "table" in entry:
                raise ContractError(
                    f"{place}: table is for format: {', '.join(TABLE_FORMATS)}; "
                    f"found format: {entry.get('format')}"
                )
            continue
        table = _table(dataset, entry, place)
        tables[dataset] = table
        entries[dataset] = _as_files(table, entry, place, is_main=dataset == main)
    return entries, tables


def _as_files(
    table: Table, entry: Mapping[str, Any], where: str, *, is_main: bool
) -> dict[str, Any]:
    for key in _OF_FILES:
        if key in entry:
            raise ContractError(f"{where}: {key} is for files; a table has no such key")
    if entry.get("required") and not is_main:
        raise ContractError(
            f"{where}: required: true is for the {'events' if table.dataset != 'events' else ''} "
            "that a night is made of; a day on which a table has no new row is right"
        )
    if entry.get("complete") and table.watermark:
        raise ContractError(
            f"{where}: complete: true is for a table without watermark, which each night takes as "
            "a whole; with one only what changed is taken"
        )
    columns = list(dict.fromkeys([*name_list(entry, "columns", where), *table.own_columns]))
    kept = {key: value for key, value in entry.items() if key != "table"}
    return (
        {"required": is_main}
        | kept
        | {
            "files": files_of(table.dataset),
            "format": "parquet",
            "columns": columns,
        }
    )


def _table(dataset: str, entry: Mapping[str, Any], where: str) -> Table:
    kind = entry["format"]
    if "table" not in entry:
        example = "url: jdbc:postgresql://host/db, name: public.orders, watermark: created_at"
        raise ContractError(
            f"{where}: format: {kind} needs table: with {', '.join(_KEYS[kind])}; such as "
            f"table: {{{example}}}"
        )
    given = checked(entry["table"], (*_KEYS[kind], *_INCREMENTAL), f"{where}: table")
    place = f"{where}: table"
    _refuse_secrets(given, place)
    texts = {
        key: text_of(given, key, place)
        for key in ("url", "connection", "driver", "path", "watermark", "day")
        if key in given
    }
    if kind == JDBC and "url" not in texts and "connection" not in texts:
        raise ContractError(
            f"{place}: needs url (jdbc:postgresql://host/db) or connection, or both"
        )
    if kind != JDBC:
        text_of(given, "path", place)
    if "connection" in texts and not re.fullmatch(r"[A-Za-z]\w*", texts["connection"]):
        raise ContractError(
            f"{place}: connection: must be letters, digits and _, for it is also the end of the "
            "name of an environment variable (AIRFLOW_CONN_…)"
        )
    table = Table(
        dataset=dataset,
        kind=kind,
        name=_name(given, place) if "name" in _KEYS[kind] else (),
        key=tuple(name_list(given, "key", place)),
        overlap=_overlap(given.get("overlap"), place),
        where=where,
        **{"day": texts.get("watermark", ""), **texts},
    )
    if table.is_of_acts and not table.watermark:
        raise ContractError(
            f"{place}: {dataset} need a watermark: the column that is larger in each new row, such "
            "as created_at; without one each night would take all rows again"
        )
    if not table.watermark and ("day" in given or "overlap" in given):
        raise ContractError(f"{place}: day and overlap are for a table with a watermark")
    _refuse_odd_names([*table.name, *table.own_columns], place)
    return table


def _name(given: Mapping[str, Any], where: str) -> tuple[str, ...]:
    value = given.get("name")
    if isinstance(value, list):
        return tuple(name_list(given, "name", where))
    parts = tuple(text_of(given, "name", where).split("."))
    if not all(parts):
        raise ContractError(
            f"{where}: name: {value!r}: write schema.table, or a list of parts where one holds a "
            'point: ["shop", "orders.2026"]'
        )
    return parts


def _overlap(value: Any, where: str) -> dt.timedelta | int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _OVERLAP.fullmatch(str(value).strip())
    if found is None:
        raise ContractError(
            f"{where}: overlap: found {value!r}, expected such as 6 hours, 90 minutes or 1 day; or "
            "a whole number, where the watermark is a number"
        )
    return dt.timedelta(**{_UNITS[found[2][0].lower()]: int(found[1])})


def _refuse_secrets(given: Mapping[str, Any], where: str) -> None:
    """No value is repeated: what is refused may be a password."""
    for key in ("url", "path", "driver", "connection"):
        if _SECRET.search(str(given.get(key, ""))):
            raise ContractError(
                f"{where}: {key} holds a password, or what looks like one. Leave it out, write "
                "connection: shop_db, and put it into the Airflow connection shop_db or the "
                "environment variable AIRFLOW_CONN_SHOP_DB (postgresql://user:password@host/db); "
                "then change the password, for others may have read this file"
            )


def _refuse_odd_names(names: Sequence[str], where: str) -> None:
    for name in names:
        if "\x00" in name:
            raise ContractError(f"{where}: the name {name!r} holds a character that no name may")
