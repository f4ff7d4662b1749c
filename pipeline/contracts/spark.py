"""A contract in Spark: its schema, the predicates of its rows, and the select that conforms.

Pure: builds schemas and column expressions, reads and writes nothing, starts no Spark job.
Nullability of a frame's columns is not compared, because Spark reads every Parquet column as
nullable; that a value is there is what the row rules check.
"""

from __future__ import annotations

from collections import Counter

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.contracts.contract import Contract
from pipeline.contracts.row_checks import NOT_BLANK, ColumnCheck, column_checks
from pipeline.contracts.sql_text import quoted as quoted  # noqa: PLC0414 - for those who import it from here
from pipeline.contracts.sql_text import sql_string as sql_string  # noqa: PLC0414
from pipeline.contracts.types import Array, Map, Scalar, Type, parse_type
from pipeline.errors import ContractError

_SCALARS: dict[str, T.DataType] = {
    "string": T.StringType(),
    "int": T.IntegerType(),
    "bigint": T.LongType(),
    "double": T.DoubleType(),
    "boolean": T.BooleanType(),
    "date": T.DateType(),
    "timestamp": T.TimestampType(),
}


def spark_schema(contract: Contract) -> T.StructType:
    """The contract's columns as a Spark schema, in the contract's order."""
    return T.StructType(
        [
            T.StructField(column.name, spark_type(parse_type(column.type)), column.nullable)
            for column in contract.columns
        ]
    )


def spark_type(kind: Type) -> T.DataType:
    """The Spark type of a contract type; everything inside a nested type may be null."""
    if isinstance(kind, Scalar):
        return _SCALARS[kind.name]
    if isinstance(kind, Array):
        return T.ArrayType(spark_type(kind.element), True)
    if isinstance(kind, Map):
        return T.MapType(spark_type(kind.key), spark_type(kind.value), True)
    return T.StructType([T.StructField(name, spark_type(inner)) for name, inner in kind.fields])


def row_rules(contract: Contract) -> list[tuple[str, str]]:
    """`(reason, predicate)` for every check of a row, most telling first.

    A predicate is Spark SQL, true for a good row; false and null mean broken. Predicates may use
    the contract's `context` columns.
    """
    rules = [(check.reason, _predicate(check)) for check in column_checks(contract)]
    return rules + [(rule.name, rule.predicate) for rule in contract.rules]


def first_broken_rule(contract: Contract) -> SparkColumn:
    """The reason of the first rule that a row breaks, or null for a good row.

    One CASE expression: predicates behind the first broken one are not evaluated.
    """
    rules = row_rules(contract)
    if not rules:
        return F.lit(None).cast("string")
    cases = " ".join(
        f"WHEN NOT coalesce(({predicate}), false) THEN {sql_string(reason)}"
        for reason, predicate in rules
    )
    return F.expr(f"CASE {cases} END")


def conform(frame: DataFrame, contract: Contract) -> DataFrame:
    """Exactly the contract's columns, in its order, cast to its types; others are left behind.

    Raises:
        ContractError: a column of the contract is not in the frame.
    """
    missing = [name for name in contract.column_names if name not in frame.columns]
    if missing:
        raise ContractError(
            f"{contract.dataset}.v{contract.version}: missing column {', '.join(missing)}; "
            f"found {', '.join(frame.columns)}"
        )
    return frame.select(
        *(
            F.col(quoted(field.name)).cast(field.dataType).alias(field.name)
            for field in spark_schema(contract)
        )
    )


def check_columns(frame: DataFrame, contract: Contract) -> DataFrame:
    """The frame itself, if it has the contract's columns and no others, with its types.

    Raises:
        ContractError: every extra, missing, repeated and wrongly typed column, by name.
    """
    wanted = {field.name: field.dataType.simpleString() for field in spark_schema(contract)}
    found = {field.name: field.dataType.simpleString() for field in frame.schema}
    faults = [
        *(f"extra column {name}" for name in found if name not in wanted),
        *(f"missing column {name}" for name in wanted if name not in found),
        *(f"column {name} {n} times" for name, n in Counter(frame.columns).items() if n > 1),
        *(
            f"column {name} is {found[name]}, expected {kind}"
            for name, kind in wanted.items()
            if name in found and found[name] != kind
        ),
    ]
    if faults:
        raise ContractError(f"{contract.dataset}.v{contract.version}: {'; '.join(faults)}")
    return frame


def not_blank(name: str) -> str:
    """SQL that is true of a text with any character that is not white space.

    A comparison of bytes answers for a text that begins with a printing character of ASCII: a
    regular expression over each row's ids cost as much as parsing them.
    """
    return f"({name} BETWEEN '!' AND '~' OR {name} RLIKE {sql_string(NOT_BLANK)})"


def at_most(name: str, characters: int) -> str:
    """SQL that is true of a text of so many characters or fewer.

    A text has no more characters than bytes, and the number of bytes is known.
    """
    return f"(octet_length({name}) <= {characters} OR length({name}) <= {characters})"


def _matches(name: str, regex: str) -> str:
    return not_blank(name) if regex == NOT_BLANK else f"{name} RLIKE {sql_string(regex)}"


def _predicate(check: ColumnCheck) -> str:
    name = quoted(check.column.name)
    parts = [_matches(name, regex) for regex in check.regexes]
    if check.kind == "unknown_value":
        parts.append(f"{name} IN ({', '.join(sql_string(v) for v in check.column.values)})")
    if check.min is not None:
        sign = ">" if check.column.exclusive_min and check.min == check.column.min else ">="
        parts.append(f"{name} {sign} {check.min!r}")
    if check.max is not None:
        parts.append(f"{name} <= {check.max!r}")
    if check.min_length is not None:
        # A text with a byte has a character.
        length = "octet_length" if check.min_length == 1 else "length"
        parts.append(f"{length}({name}) >= {check.min_length}")
    if check.max_length is not None:
        parts.append(at_most(name, check.max_length))
    if check.kind == "missing":
        return " AND ".join([f"{name} IS NOT NULL", *parts])
    # Only the missing check refuses a null.
    return f"{name} IS NULL OR ({' AND '.join(parts)})"
