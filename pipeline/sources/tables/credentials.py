"""User and password of a database: from an Airflow connection's environment variable, never a YAML.

`AIRFLOW_CONN_<ID>` holds a URI (`postgresql://user:password@host:5432/db`) or Airflow's JSON. The
DAG puts the connections of `compute.source_connections` there, for whatever keeps them. Without a
connection PostgreSQL's own ways stand: `PGUSER`, `PGPASSWORD`, `PGPASSFILE`, `~/.pgpass`.
Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from pipeline.errors import SettingsError
from pipeline.sources.table import Table

VARIABLE = "AIRFLOW_CONN_"


@dataclass(frozen=True)
class Credentials:
    """Who asks, and where the connection says that the database is."""

    user: str = ""
    password: str = field(default="", repr=False)
    host: str = ""
    port: int | None = None
    database: str = ""
    kind: str = ""  # Airflow's word for the kind of database

    def hide(self, words: str) -> str:
        """A text without the password."""
        return words.replace(self.password, "…") if self.password else words


def credentials_of(table: Table, environ: Mapping[str, str]) -> Credentials:
    """What the table's connection says; nothing where it names none.

    Raises:
        SettingsError: the connection is not there, or cannot be read. No value is repeated.
    """
    if not table.connection:
        return Credentials()
    name = f"{VARIABLE}{table.connection.upper()}"
    text = environ.get(name, "").strip()
    if not text:
        raise SettingsError(
            f"{table.where}: table: connection {table.connection} is not known here: set {name} "
            "to postgresql://user:password@host/db in the environment; or make the connection in "
            f'Airflow and write compute.source_connections = ["{table.connection}"] in the settings'
        )
    try:
        found = _from_json(text) if text.startswith("{") else _from_uri(text)
    except (ValueError, TypeError, AttributeError):
        raise SettingsError(
            f"{name} cannot be read: write postgresql://user:password@host:5432/db, with %40 for "
            "an @ in the password, or Airflow's JSON with login and password"
        ) from None
    return found


def _from_uri(text: str) -> Credentials:
    parts = urlsplit(text)
    # An @ of the password that is not written %40 would make the rest of it a host or a database.
    if not parts.scheme or "//" not in text or text.count("@") > 1:
        raise ValueError("no URI")
    return Credentials(
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        unquote(parts.hostname or ""),
        parts.port,
        unquote(parts.path.lstrip("/")),
        parts.scheme,
    )


def _from_json(text: str) -> Credentials:
    found = json.loads(text)
    port = found.get("port")
    return Credentials(
        str(found.get("login") or ""),
        str(found.get("password") or ""),
        str(found.get("host") or ""),
        int(port) if port else None,
        str(found.get("schema") or ""),
        str(found.get("conn_type") or ""),
    )
