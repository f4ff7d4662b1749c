"""A PostgreSQL table, by psycopg: no Java driver is needed.

One transaction reads all, in one state of the database (`REPEATABLE READ`, read only), by a cursor
of the server: memory does not grow with the table. Types: booleans, whole numbers, floats, texts
and bytes as they are; `timestamptz` an instant in UTC, `timestamp` a local time, `date`;
`numeric(p,s)` of at most 38 digits a decimal, other numerics text; arrays of these lists; JSON,
composite types and all other arrays JSON text; enums, UUIDs and everything else the text that
PostgreSQL writes. A column with a value that its type has no place for (`infinity`, NaN in a
decimal, a year after 9999) is text as a whole in that fetch.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg
import pyarrow as pa

from pipeline.errors import ContractError, InputError, NightcartError, SettingsError, StartError
from pipeline.sources.table import Table
from pipeline.sources.tables.credentials import Credentials
from pipeline.sources.tables.reader import BATCH_ROWS, SqlColumn, SqlReader, batch_of

CONNECT_SECONDS = 10
_MOST_DIGITS = 38
# What a URL may say after its ?, in the words of JDBC and of libpq -> libpq's.
_PARAMETERS = {
    "user": "user",
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
    "sslcert": "sslcert",
    "sslkey": "sslkey",
    "connectTimeout": "connect_timeout",
    "connect_timeout": "connect_timeout",
    "ApplicationName": "application_name",
    "application_name": "application_name",
    "targetServerType": "target_session_attrs",
    "target_session_attrs": "target_session_attrs",
    "service": "service",
}
_SESSION = {"primary": "primary", "master": "primary", "secondary": "standby"}
# By the names of PostgreSQL's catalogue.
_NATIVE = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "text": pa.string(),
    "varchar": pa.string(),
    "bytea": pa.binary(),
}
_PARSED = {
    "timestamptz": pa.timestamp("us", "UTC"),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
}
_JSON_KINDS = ("A", "C")  # pg_type.typcategory: arrays, composite types
_OLDEST_WRITER = (
    "SELECT least("
    "(SELECT min(xact_start) FROM pg_catalog.pg_stat_activity"
    " WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()),"
    "(SELECT min(prepared) FROM pg_catalog.pg_prepared_xacts))"
)
# A watermark beyond these is as good as none: Python and Arrow have no such time.
_FINITE = "CASE WHEN {0} >= '0001-01-02' AND {0} < '9999-12-30' THEN {0} END"


class PostgresTable(SqlReader):
    """See the module's docstring."""

    placeholder = "%s"

    def __init__(self, table: Table, columns: Sequence[str], credentials: Credentials) -> None:
        self._asked, self._credentials = table, credentials
        self.table = ".".join(self.quote(part) for part in table.name)
        with _explained(table, credentials):
            self._connection = psycopg.connect(**parameters_of(table, credentials))
            self._connection.read_only = True
            # Before there is a snapshot: what ends in between would else be seen by neither.
            self._oldest = self._connection.execute(_OLDEST_WRITER).fetchone()
            self._connection.rollback()
            self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        try:
            self._prepare(columns)
        except BaseException:
            self.close()
            raise

    def _prepare(self, columns: Sequence[str]) -> None:
        names = ", ".join(self.quote(name) for name in columns)
        with _explained(self._asked, self._credentials), self._connection.cursor() as cursor:
            for setting in ("TimeZone = 'UTC'", "DateStyle = 'ISO'", "IntervalStyle = 'iso_8601'"):
                cursor.execute(f"SET LOCAL {setting}")
            cursor.execute(f"SELECT {names} FROM {self.table} LIMIT 0", ())  # noqa: S608
            described = cursor.description or ()
            cursor.execute(
                "SELECT t.oid, t.typname, t.typcategory, e.typname FROM pg_catalog.pg_type t "
                "LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem WHERE t.oid = ANY(%s)",
                ([column.type_code for column in described],),
            )
            types = {oid: (name, kind, of) for oid, name, kind, of in cursor.fetchall()}
        own = {self._asked.watermark, self._asked.day}
        self.columns = [
            self._column(name, *types[found.type_code], found.precision, found.scale, name in own)
            for name, found in zip(columns, described, strict=True)
        ]

    def _column(  # noqa: PLR0917
        self,
        name: str,
        typname: str,
        category: str,
        element: str | None,
        precision: int | None,
        scale: int | None,
        is_own: bool,
    ) -> SqlColumn:
        quoted = self.quote(name)
        text = f"{quoted}::text"
        if typname in _PARSED:
            select = f"({_FINITE.format(quoted)})::text" if is_own else text
            return SqlColumn(name, select, _PARSED[typname], text, parsed=True)
        if typname in _NATIVE:
            return SqlColumn(name, quoted, _NATIVE[typname], text)
        if typname == "numeric" and precision and 0 <= (scale or 0) <= precision <= _MOST_DIGITS:
            kind = pa.decimal128(precision, scale or 0)
            return SqlColumn(name, text, kind, text, parsed=True)
        if category in _JSON_KINDS:
            as_json = f"to_json({quoted})::text"
            if category == "A" and element in _NATIVE and element != "bytea":
                return SqlColumn(name, quoted, pa.list_(_NATIVE[element]), as_json)
            return SqlColumn(name, as_json, pa.string(), as_json)
        return SqlColumn(name, text, pa.string(), text)

    def quote(self, name: str) -> str:
        """As SQL has it; a percent sign is doubled for psycopg, which looks for parameters."""
        return super().quote(name).replace("%", "%%")

    def scalar(self, sql: str, parameters: Sequence[Any]) -> Any:
        """See `SqlReader`."""
        with _explained(self._asked, self._credentials):
            row = self._connection.execute(sql.encode(), tuple(parameters)).fetchone()
        return row[0] if row else None

    def comparable(self, name: str) -> str:
        """A time that Python has no value for counts as none."""
        kinds = {column.name: column.type for column in self.columns}
        quoted = self.quote(name)
        is_time = kinds[name] in _PARSED.values()
        return quoted if not is_time else _FINITE.format(quoted)

    def compared(self, name: str) -> str:
        """The column as it stands, so that an index serves."""
        return self.quote(name)

    def batches(self, sql: str, parameters: Sequence[Any]) -> Iterator[pa.RecordBatch]:
        """See `SqlReader`."""
        with (
            _explained(self._asked, self._credentials),
            self._connection.cursor(name="nightcart") as cursor,
        ):
            cursor.execute(sql.encode(), tuple(parameters))
            while rows := cursor.fetchmany(BATCH_ROWS):
                yield batch_of(rows, self.columns)

    def oldest_writer(self) -> dt.datetime | None:
        """See `TableReader`: what this user may see of others, and prepared transactions."""
        found = self._oldest[0] if self._oldest else None
        return found.astimezone(dt.UTC) if found is not None else None

    def close(self) -> None:
        """See `TableReader`."""
        self._connection.close()


def parameters_of(table: Table, credentials: Credentials) -> dict[str, Any]:
    """What psycopg connects with: the YAML's URL, and the connection for what that does not say.

    Raises:
        ContractError: the URL is none, or names what is not known.
    """
    found: dict[str, Any] = {
        "host": credentials.host,
        "port": credentials.port,
        "dbname": credentials.database,
    }
    found |= _of_url(table) if table.url else {}
    found |= {"user": credentials.user or found.get("user"), "password": credentials.password}
    found = {name: value for name, value in found.items() if value}
    defaults = {"connect_timeout": CONNECT_SECONDS, "application_name": "nightcart"}
    return defaults | found | {"client_encoding": "UTF8"}


def _of_url(table: Table) -> dict[str, Any]:
    text = table.url.removeprefix("jdbc:")
    if not text.partition(":")[2].startswith("//"):  # jdbc:postgresql:db
        text = text.replace(":", ":///", 1)
    try:
        parts = urlsplit(text)
        hosts = [one.rpartition("@")[2] for one in parts.netloc.split(",")]
        pairs = [_host_and_port(host) for host in hosts if host]
        query = parse_qsl(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        raise ContractError(
            f"{table.where}: table: url cannot be read; write jdbc:postgresql://host:5432/db"
        ) from None
    found: dict[str, Any] = {"dbname": unquote(parts.path.lstrip("/"))}
    if pairs:
        found["host"] = ",".join(host for host, _ in pairs)
        found["port"] = ",".join(port for _, port in pairs)
    if parts.username:
        found["user"] = unquote(parts.username)
    for key, value in query:
        if key == "currentSchema":
            raise ContractError(
                f"{table.where}: table: url: currentSchema is not taken; write the schema before "
                "the table's name: name: shop.orders"
            )
        if key == "ssl":
            found.setdefault("sslmode", "verify-full" if value != "false" else "prefer")
        elif key in _PARAMETERS:
            found[_PARAMETERS[key]] = _SESSION.get(value, value)
        else:
            raise ContractError(
                f"{table.where}: table: url: unknown parameter {key!r}; known: "
                f"{', '.join(_PARAMETERS)}"
            )
    return found


def _host_and_port(host: str) -> tuple[str, str]:
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, "5432"
    if not port.isdigit():
        raise ValueError(port)
    return name.strip("[]"), port


@contextlib.contextmanager
def _explained(table: Table, credentials: Credentials) -> Iterator[None]:
    """Errors of PostgreSQL, in one line that says what to do, without a password or a value."""
    try:
        yield
    except psycopg.Error as error:
        raise _in_words(error, table, credentials) from None
    except UnicodeDecodeError:
        raise InputError(
            f"{table.where}: {table.words} holds text that is not UTF-8 (the database's encoding "
            "is SQL_ASCII?); correct the rows, or name a view that converts them"
        ) from None


_CONNECTION = "make sure that the host, the port and the database in url are right and reachable"
# A failed connection has no code, only the server's words. It would answer so again; or not.
_REFUSED = ("does not exist", "pg_hba.conf", "is not permitted", "no password supplied")
_BUSY = ("starting up", "shutting down", "too many", "connection slots", "recovery mode")
_BY_STATE: Mapping[str, tuple[type[NightcartError], str]] = {
    "42P01": (
        InputError,
        "there is no such table, or its schema is missing: write schema.table, as it is stored "
        "(without quotation marks; PostgreSQL stores unquoted names in lower case)",
    ),
    "3F000": (InputError, "there is no such schema: correct name"),
    "42703": (InputError, "correct columns, watermark, day or key: names count as stored"),
    "42501": (InputError, "have the owner GRANT SELECT on the table (and USAGE on its schema)"),
    "42883": (InputError, "the watermark's type cannot be compared: name another column"),
    "57014": (
        InputError,
        "the server ended the query (statement_timeout): have ALTER ROLE … SET statement_timeout "
        "= 0 for this user, or an index made on the watermark",
    ),
    "28P01": (SettingsError, "the password is not right: correct the connection"),
    "28000": (SettingsError, "this user may not connect: correct the connection, or pg_hba.conf"),
    "3D000": (SettingsError, "there is no such database: correct url"),
}


def _in_words(error: psycopg.Error, table: Table, credentials: Credentials) -> NightcartError:
    where = f"{table.where}: {table.words}"
    state = error.sqlstate or ""
    said = credentials.hide(" ".join((error.diag.message_primary or str(error)).split()))
    if state in _BY_STATE:
        kind, remedy = _BY_STATE[state]
        words = f"{said[:200]}; " if state[:2] in ("42", "3D", "28", "3F") else ""
        return kind(f"{where}: {words}{remedy}")
    failed = error.pgconn
    if isinstance(error, psycopg.OperationalError) and not state and failed is not None:
        return _not_connected(where, said, failed, table)
    if not state or state[:2] in ("08", "40", "53", "55", "57"):
        return StartError(f"{where}: the database did not answer to the end: {said[:200]}")
    return InputError(f"{where}: PostgreSQL refused the query ({state} {type(error).__name__})")


def _not_connected(where: str, said: str, failed: Any, table: Table) -> NightcartError:
    how = (
        f"correct AIRFLOW_CONN_{table.connection.upper()} or the Airflow connection"
        if table.connection
        else "write connection: shop_db and set AIRFLOW_CONN_SHOP_DB, or set PGUSER and PGPASSWORD"
    )
    reasons = said.replace("connection failed: ", "")[:300]
    if failed.needs_password:
        return SettingsError(f"{where}: the database asks for a password and was given none; {how}")
    if any(words in said for words in _REFUSED):
        return SettingsError(f"{where}: the database refused to connect: {reasons}; {how}")
    if failed.used_password and "FATAL" in said and not any(words in said for words in _BUSY):
        return SettingsError(f"{where}: the database refused user or password; {how}")
    return StartError(f"{where}: cannot connect: {reasons}; {_CONNECTION}")
