"""SQL over what is published, from a terminal or a script: read only, nothing written anywhere.

`run_query` gives a streaming `QueryResult`; `write_result` prints it as a table for people, as CSV
or JSON Lines for programs, or as CSV for a spreadsheet. Titles and queries are strangers' text: a
table shows control characters as visible marks and takes no markup from them; CSV and JSON carry
values as they are; in CSV for a spreadsheet no text is a formula (`spreadsheet_cells`).
"""

from __future__ import annotations

import base64
import csv
import datetime as dt
import decimal
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO
from uuid import UUID

import duckdb
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.datasets import LEDGER
from pipeline.encryption.duckdb_tables import bring, files_of
from pipeline.errors import InputError
from pipeline.lake import Lake
from pipeline.publishing.plain_text import visible
from pipeline.publishing.spreadsheet_cells import harmless
from pipeline.publishing.views import view_statements

SPREADSHEET = "spreadsheet"
FORMATS = ("table", "csv", SPREADSHEET, "json")
TABLE_ROWS = 200  # more is not read by people; the note below the table says how to have all

_BATCH = 1000
_WORD = re.compile(r"\w+")
_DIRECTORY = re.compile(r"/([^/']+)/run_date=(\d{4}-\d\d-\d\d)/run_id=([^/']+)/")
_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)


@dataclass(frozen=True)
class QueryResult:
    """Column names, and the rows as they are read: to be gone through once."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


def run_query(lake: Lake, sql: str) -> QueryResult:
    """Answer one SELECT over the views of `pipeline.publishing.views`.

    Files behind the views that it names are hashed first: whole views, whatever few rows it asks
    for, at 1.6 GB a second.

    Raises:
        InputError: nothing is published, or the SQL is wrong or would write; says which views
            there are.
        DamagedError: a file behind a view that it names is not what was written.
    """
    statements = view_statements(lake)
    _verify(lake, sql, statements)
    connection = duckdb.connect()
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET autoinstall_known_extensions = false")
        for statement in statements:
            connection.execute(bring(connection, statement))
        cursor = connection.execute(_one_reading(connection, sql))
        description = cursor.description or []
    except duckdb.Error as error:
        connection.close()
        raise InputError(f"the query failed: {_first_lines(error)}\n{_views_there(lake)}") from None
    return QueryResult(tuple(str(column[0]) for column in description), _rows(connection))


def write_result(result: QueryResult, form: str, out: TextIO, *, width: int | None = None) -> int:
    """Print a result as `table`, `csv`, `spreadsheet` or `json`; return the rows printed.

    Raises:
        InputError: there is no such format.
    """
    if form not in FORMATS:
        raise InputError(f"there is no format {form!r}; choose one of {', '.join(FORMATS)}")
    if form in ("csv", SPREADSHEET):
        return _write_csv(result, out, harmless if form == SPREADSHEET else str)
    if form == "json":
        return _write_json(result, out)
    return _write_table(result, out, width)


def _verify(lake: Lake, sql: str, statements: Sequence[str]) -> None:
    """Hash the files of every view that a query names, directly or through other views."""
    views = {statement.split()[4].lower(): statement for statement in statements}
    read: set[str] = set()
    todo = [sql]
    while todo:
        words = set(_WORD.findall(todo.pop().lower()))
        todo += [views[name] for name in (words & views.keys()) - read]
        read |= words & views.keys()
    directories = {
        found
        for name in read
        for text in (views[name], *map(str, files_of(views[name])))
        for found in _DIRECTORY.findall(text)
    }
    for dataset, date, directory_id in sorted(directories):
        if dataset == LEDGER:  # lines that no manifest names
            continue
        _ = lake.partition(dataset, dt.date.fromisoformat(date), directory_id).files


def _one_reading(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The query itself, if it is a single statement that only reads."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise InputError(f"give one SQL statement, found {len(statements)}")
    statement = statements[0]
    # EXPLAIN ANALYZE runs what it explains, and what it explains may write.
    explains = statement.type == duckdb.StatementType.EXPLAIN
    if statement.type not in _READING or (explains and "analyze" in sql.lower()):
        raise InputError(
            f"only SELECT is answered here, found {statement.type.name}: what is published is "
            "never changed by a query. (PIVOT works with its values spelled out: IN ('a', 'b'). "
            "Save a result with --format csv.)"
        )
    return str(statement.query)


def _rows(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    try:
        while batch := connection.fetchmany(_BATCH):
            yield from batch
    except duckdb.Error as error:
        raise InputError(f"the query failed: {_first_lines(error)}") from None
    finally:
        connection.close()


def _first_lines(error: duckdb.Error) -> str:
    """DuckDB points into the query with a caret; a stack trace may follow."""
    return str(error).split("\n\nStack Trace", 1)[0].strip()


def _views_there(lake: Lake) -> str:
    names = [statement.split()[4] for statement in view_statements(lake)]
    return f"There are the views {', '.join(names)}; DESCRIBE <view> lists one's columns."


def _write_csv(result: QueryResult, out: TextIO, text: Callable[[str], str]) -> int:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([text(name) for name in result.columns])
    n = 0
    for row in result.rows:
        writer.writerow(
            [_flat(value) if _is_number(value) else text(_flat(value)) for value in row]
        )
        n += 1
    return n


def _write_json(result: QueryResult, out: TextIO) -> int:
    n = 0
    for row in result.rows:
        record = dict(zip(result.columns, row, strict=True))
        out.write(json.dumps(record, ensure_ascii=False, default=_for_json) + "\n")
        n += 1
    return n


def _write_table(result: QueryResult, out: TextIO, width: int | None) -> int:
    shown: list[tuple[Any, ...]] = []
    more = False
    for row in result.rows:
        if more := len(shown) == TABLE_ROWS:
            break
        shown.append(row)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(result.columns):
        numbers = any(_is_number(row[place]) for row in shown)
        table.add_column(Text(visible(name)), justify="right" if numbers else "left")
    for row in shown:
        table.add_row(*(_cell(value) for value in row))
    console = Console(file=out, width=width, highlight=False)
    console.print(table)
    note = f"the first {TABLE_ROWS} rows; --format csv gives all" if more else f"{len(shown)} rows"
    console.print(Text(f"({note})", style="dim"))
    return len(shown)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | decimal.Decimal) and not isinstance(value, bool)


def _cell(value: Any) -> Text:
    if value is None:
        return Text("–", style="dim")
    if isinstance(value, float):
        return Text(f"{value:.6g}")
    return Text(visible(_flat(value)))


def _flat(value: Any) -> str:
    """A value in one field: nested ones as JSON, instants as ISO 8601."""
    if value is None:
        return ""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=_for_json)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value if isinstance(value, str | int | float) else _for_json(value))


def _for_json(value: Any) -> Any:
    if isinstance(value, dt.date | dt.time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, dt.timedelta | UUID):
        return str(value)
    return str(value)
