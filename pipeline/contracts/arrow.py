"""A contract in Arrow: its schema, and the check of a table against it.

The types are the ones that Arrow reads from the Parquet files that Spark writes with
`spark.sql.parquet.outputTimestampType=TIMESTAMP_MICROS` (`pipeline.spark_session` sets it):
instants are microseconds in UTC. Pure; reads and writes nothing.
"""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from pipeline.contracts.contract import Contract
from pipeline.contracts.types import Array, Map, Scalar, Type, parse_type
from pipeline.errors import ContractError

_SCALARS: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


def arrow_schema(contract: Contract) -> pa.Schema:
    """The contract's columns as an Arrow schema, in the contract's order."""
    return pa.schema(
        [
            pa.field(column.name, arrow_type(parse_type(column.type)), column.nullable)
            for column in contract.columns
        ]
    )


def arrow_type(kind: Type) -> pa.DataType:
    """The Arrow type of a contract type; everything inside a nested type may be null."""
    if isinstance(kind, Scalar):
        return _SCALARS[kind.name]
    if isinstance(kind, Array):
        return pa.list_(pa.field("element", arrow_type(kind.element)))
    if isinstance(kind, Map):
        return pa.map_(arrow_type(kind.key), arrow_type(kind.value))
    return pa.struct([pa.field(name, arrow_type(inner)) for name, inner in kind.fields])


def check_table(table: pa.Table, contract: Contract) -> pa.Table:
    """The table itself, if it has the contract's columns and no others, in order, with its types.

    A column that must have a value is looked at for nulls; the other row rules are Spark's and
    Great Expectations' to check.

    Raises:
        ContractError: every fault, by column.
    """
    wanted = {field.name: field for field in arrow_schema(contract)}
    found = {field.name: field for field in table.schema}
    twice = {name: n for name, n in Counter(table.column_names).items() if n > 1}
    faults = [
        *(f"extra column {name}" for name in found if name not in wanted),
        *(f"missing column {name}" for name in wanted if name not in found),
        *(f"column {name} {n} times" for name, n in twice.items()),
        *(
            f"column {name} is {found[name].type}, expected {field.type}"
            for name, field in wanted.items()
            if name in found and found[name].type != field.type
        ),
        *(
            f"column {name} has {table.column(name).null_count} nulls, expected none"
            for name, field in wanted.items()
            if name in found
            and name not in twice
            and not field.nullable
            and table.column(name).null_count
        ),
    ]
    if not faults and table.column_names != list(wanted):
        faults = [f"columns are in the order {', '.join(found)}, expected {', '.join(wanted)}"]
    if faults:
        raise ContractError(f"{contract.dataset}.v{contract.version}: {'; '.join(faults)}")
    return table
