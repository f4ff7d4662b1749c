"""Spark and Arrow read each other's Parquet files of every contract, with equal schemas."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.contracts.arrow import arrow_schema, check_table
from pipeline.contracts.contract import Contract, contract_files, load_contract
from pipeline.contracts.spark import check_columns, spark_schema
from pipeline.contracts.types import Array, Map, Scalar, Type, parse_type
from pipeline.errors import ContractError

DATASETS = [name.removesuffix(".v1.yaml") for name in contract_files()]
NOON = dt.datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=dt.UTC)
VALUES: dict[str, Any] = {
    "string": "手机 é",
    "int": 2**31 - 1,
    "bigint": 2**63 - 1,
    "double": 0.1,
    "boolean": True,
    "date": dt.date(2026, 3, 1),
    "timestamp": NOON,
}


def value_of(kind: Type) -> Any:
    """A value of a type that loses something if the type is not kept."""
    if isinstance(kind, Scalar):
        return VALUES[kind.name]
    if isinstance(kind, Array):
        return [value_of(kind.element)]
    if isinstance(kind, Map):
        return {value_of(kind.key): value_of(kind.value)}
    return {name: value_of(inner) for name, inner in kind.fields}


def row_of(contract: Contract) -> dict[str, Any]:
    return {column.name: value_of(parse_type(column.type)) for column in contract.columns}


def plain(value: Any) -> Any:
    """Arrow gives maps back as pairs."""
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return dict(value)
    return value


@pytest.mark.parametrize("dataset", DATASETS)
def test_arrow_reads_what_spark_writes(spark: SparkSession, tmp_path: Path, dataset: str) -> None:
    contract = load_contract(dataset)
    row = row_of(contract)
    frame = spark.createDataFrame([row], spark_schema(contract))
    frame.coalesce(1).write.parquet(str(tmp_path / "spark"))

    table = pq.read_table(next((tmp_path / "spark").glob("*.parquet")))

    assert table.schema.equals(arrow_schema(contract))
    check_table(table, contract)
    assert {name: plain(value) for name, value in table.to_pylist()[0].items()} == row


@pytest.mark.parametrize("dataset", DATASETS)
def test_spark_reads_what_arrow_writes(spark: SparkSession, tmp_path: Path, dataset: str) -> None:
    contract = load_contract(dataset)
    row = row_of(contract)
    path = tmp_path / "arrow.parquet"
    pq.write_table(pa.Table.from_pylist([row], schema=arrow_schema(contract)), path)

    frame = check_columns(spark.read.parquet(str(path)), contract)

    assert frame.columns == list(contract.column_names)
    read = frame.collect()[0].asDict(recursive=True)
    for column in contract.columns:
        if column.type == "timestamp":  # Spark gives naive values in the machine's zone
            read[column.name] = read[column.name].astimezone(dt.UTC)
        elif column.type == "array<timestamp>":
            read[column.name] = [value.astimezone(dt.UTC) for value in read[column.name]]
    assert read == row


def test_every_fault_of_a_table_is_named() -> None:
    contract = load_contract("cleaned_users")
    table = pa.Table.from_pylist([row_of(contract)], schema=arrow_schema(contract))
    assert check_table(table, contract) is table

    faulty = (
        table.drop_columns(["region"])
        .append_column("phone", pa.array(["1"]))
        .set_column(1, "consent", pa.array(["yes"]))
        .set_column(2, "language", pa.array([1]))
    )
    with pytest.raises(ContractError) as caught:
        check_table(faulty, contract)
    for fault in (
        "cleaned_users.v1",
        "extra column phone",
        "missing column region",
        "column consent is string, expected bool",
        "column language is int64, expected string",
    ):
        assert fault in str(caught.value)


def test_a_null_where_a_value_must_be_is_counted() -> None:
    contract = load_contract("cleaned_users")
    good = pa.Table.from_pylist([row_of(contract)] * 3, schema=arrow_schema(contract))
    nulls = good.set_column(1, "consent", pa.array([None, None, True]))
    with pytest.raises(ContractError, match="consent has 2 nulls"):
        check_table(nulls, contract)


def test_the_order_of_columns_is_part_of_the_contract() -> None:
    contract = load_contract("cleaned_users")
    good = pa.Table.from_pylist([row_of(contract)], schema=arrow_schema(contract))
    with pytest.raises(ContractError, match="columns are in the order source, "):
        check_table(good.select(good.column_names[::-1]), contract)


def test_a_column_twice_is_refused() -> None:
    contract = load_contract("cleaned_users")
    good = pa.Table.from_pylist([row_of(contract)], schema=arrow_schema(contract))
    with pytest.raises(ContractError, match="column source 2 times"):
        check_table(good.append_column("source", pa.array(["x"])), contract)
