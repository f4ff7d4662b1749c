"""The last look at a night's lists before anybody else sees them.

Reads the generated files, the night's `histories` and `catalogue`, and once more `cleaned_users`:
every check of `list_rules` runs in DuckDB over all rows, spilling to the given scratch directory,
so that memory does not grow with the shop. Either everything holds or `GateError` names each fault
with examples.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.datasets import RECOMMENDATIONS
from pipeline.encryption.duckdb_tables import bring, parquet_source
from pipeline.encryption.parquet_files import schema_of
from pipeline.errors import GateError, StorageError
from pipeline.lake import Partition
from pipeline.model.list_methods import IS_FALLBACK
from pipeline.publishing.list_rules import CHECKS, VIEWS, Check
from pipeline.sql_values import sql_text

EXAMPLES = 3


@dataclass(frozen=True)
class Inputs:
    """What the checks compare."""

    generated: Partition
    histories: Partition
    catalogue: Partition
    users: Sequence[Partition]
    k: int
    spares: int
    valid_until: dt.date
    exclude_owned: bool
    scratch: Path


def check_recommendations(inputs: Inputs) -> dict[str, Any]:
    """Run every check; return counts for the manifest.

    Raises:
        GateError: the files are not what the contract says, or a check found a fault.
    """
    _check_schema(inputs.generated)
    inputs.scratch.mkdir(parents=True, exist_ok=True)
    with _engine_errors(inputs), duckdb.connect() as connection:
        connection.execute(f"SET temp_directory = {sql_text(inputs.scratch)}")
        connection.execute("SET TimeZone = 'UTC'")
        _open(connection, inputs)
        n_sellable = _one(connection, "SELECT count(*) FROM sellable")
        required = [field.name for field in _schema() if not field.nullable]
        words = {
            "k": inputs.k,
            "spares": inputs.spares,
            "valid_until": inputs.valid_until.isoformat(),
            "exclude_owned": inputs.exclude_owned,
            "n_sellable": n_sellable,
            "null_value": " OR ".join(f"{name} IS NULL" for name in required),
        }
        faults = [
            fault for check in CHECKS if (fault := _fault(connection, check, words)) is not None
        ]
        rows = _one(connection, "SELECT count(*) FROM generated")
        if rows != inputs.generated.rows:
            faults.append(f"rows: the manifest says {inputs.generated.rows}, the files hold {rows}")
        if not rows:
            faults.append("rows: there is not a single one")
        if faults:
            raise GateError(
                f"the lists of {inputs.generated.run_date} are not fit to be published; nothing "
                f"was published. Found in {inputs.generated.path}:\n  " + "\n  ".join(faults)
            )
        return _counts(connection) | {"due": _one(connection, "SELECT count(*) FROM due")}


@contextmanager
def _engine_errors(inputs: Inputs) -> Iterator[None]:
    """What DuckDB says of the disk or of memory, as ours."""
    try:
        yield
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise StorageError(
            f"cannot check the lists in {inputs.generated.path}: {error}; see to the file, "
            f"or make room in {inputs.scratch}, then run the same date again"
        ) from error


def _schema() -> pa.Schema:
    return arrow_schema(load_contract(RECOMMENDATIONS))


def _check_schema(generated: Partition) -> None:
    """Every file has the contract's columns, in its order and of its types, and no others.

    Whether a column may be null is looked at in the values: not every writer says it in the file.
    """
    wanted = [(field.name, field.type) for field in _schema()]
    for file in generated.files:
        try:
            found = [(field.name, field.type) for field in schema_of(file)]
        except pa.ArrowInvalid as error:
            raise GateError(
                f"{file} cannot be read as Parquet ({error}); nothing was published. Run generate "
                "again"
            ) from None
        if found != wanted:
            names = dict(found)
            wrong = [
                *(f"missing {name}" for name, _ in wanted if name not in names),
                *(f"extra {name}" for name, _ in found if name not in dict(wanted)),
                *(
                    f"{name} is {names[name]}, expected {kind}"
                    for name, kind in wanted
                    if name in names and names[name] != kind
                ),
            ]
            raise GateError(
                f"{file} does not have the columns of recommendations.v1: "
                f"{'; '.join(wrong) or 'their order differs'}. Nothing was published"
            )


def _open(connection: duckdb.DuckDBPyConnection, inputs: Inputs) -> None:
    """Give the datasets their names."""
    datasets = {
        "generated": [inputs.generated],
        "histories": [inputs.histories],
        "catalogue": [inputs.catalogue],
        "users": list(inputs.users),
    }
    for name, partitions in datasets.items():
        files = [file for partition in partitions for file in partition.files]
        if name == "users" and not files:
            select = "SELECT '' AS user_id, false AS consent, '' AS run_date WHERE false"
        else:
            # A view cannot hold a prepared parameter; paths are quoted as literals.
            select = f"FROM {parquet_source(files, 'hive_partitioning = true')}"
        connection.execute(bring(connection, f"CREATE VIEW {name} AS {select}"))
    for name, select in VIEWS.items():
        connection.execute(f"CREATE VIEW {name} AS {select}")


def _fault(
    connection: duckdb.DuckDBPyConnection, check: Check, words: dict[str, Any]
) -> str | None:
    """What a check found, in one line; none if it holds."""
    faults = check.faults.format_map(words)
    # The count and the examples come from one pass; the smallest are the same in every run.
    found = connection.execute(
        f"SELECT count(*), min(what::VARCHAR, {EXAMPLES}) FROM ({faults}) AS fault(what)"  # noqa: S608
    ).fetchone()
    assert found is not None, "an aggregate without groups has one row"
    number, examples = found
    if not number:
        return None
    meaning = check.meaning.format_map(words)
    return f"{check.name}: {meaning}: {number} times, such as {', '.join(examples)}"


def _counts(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    methods = connection.execute(
        "SELECT method, count(*) FROM generated GROUP BY method ORDER BY method"
    ).fetchall()
    reasons = connection.execute(
        f"SELECT fallback_reason, count(*) FROM generated WHERE {IS_FALLBACK} "  # noqa: S608
        "GROUP BY fallback_reason ORDER BY fallback_reason"
    ).fetchall()
    versions = connection.execute(
        "SELECT DISTINCT model_version FROM generated ORDER BY model_version"
    ).fetchall()
    return {
        "users": _one(connection, "SELECT count(*) FROM generated"),
        "items_recommended": _one(connection, "SELECT count(DISTINCT item_id) FROM listed"),
        "short_lists": _one(
            connection,
            "SELECT count(*) FROM generated WHERE n_items < (SELECT max(n_items) FROM generated)",
        ),
        "methods": dict(methods),
        "fallback_reasons": dict(reasons),
        "reasons_written": _one(connection, "SELECT count(reason) FROM generated"),
        "model_versions": [version for (version,) in versions],
    }


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    assert row is not None, "an aggregate without groups has one row"
    return int(row[0])
