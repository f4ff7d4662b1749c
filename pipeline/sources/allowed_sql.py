"""What a source's Spark SQL may say: an allow-list over the tree that Spark itself parses.

A source YAML is data that a retailer's analyst writes, but Spark SQL can call Java by reflection,
read any file by a subquery and put environment variables into text. So an expression may consist of
columns of its dataset, literals, operators and the functions of `allowed_functions`, and of nothing
else: every node of the tree has to be one that is named here, so what a later Spark adds is refused
until somebody has looked at it. Comments, backquotes, letter case and nesting make no difference,
because the tree has none of them.

Reads the expressions only, never a file; runs no job. Gives up: an expression may still be slow or
need much memory (`repeat`, `sequence`, a regular expression that backtracks).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from typing import Any

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from pipeline.errors import ContractError
from pipeline.sources.allowed_functions import (
    ALLOWED_FUNCTIONS,
    FEWEST_ARGUMENTS,
    FUNCTIONS_BY_KIND,
    TYPE_ARGUMENT,
)
from pipeline.sources.source import Source, SourceDataset

_CATALYST = "org.apache.spark.sql.catalyst."
_FUNCTION = "analysis.UnresolvedFunction"
_COLUMN = "analysis.UnresolvedAttribute"
_LITERAL = "expressions.Literal"
_LAMBDA, _VARIABLE = "expressions.LambdaFunction", "expressions.UnresolvedNamedLambdaVariable"
_STRUCT, _ALIAS = "expressions.CreateNamedStruct", "expressions.Alias"
_PATTERNS = {f"expressions.{name}" for name in ("Like", "ILike", "RLike", "LikeAll", "LikeAny")}

# Whatever else the parser makes of operators and of SQL's own notations. None of them has a part
# that is not among its children.
_OPERATORS = {f"expressions.{name}" for name in ["Add", "Subtract", "Multiply", "Divide", "IntegralDivide", "Remainder", "UnaryMinus", "UnaryPositive", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "ShiftLeft", "ShiftRight", "ShiftRightUnsigned", "And", "Or", "Not", "EqualTo", "EqualNullSafe", "GreaterThan", "GreaterThanOrEqual", "LessThan", "LessThanOrEqual", "In", "IsNull", "IsNotNull", "NotLikeAll", "NotLikeAny", "CaseWhen", "Cast", "Concat", "CreateNamedStruct", "Substring", "StringTrim", "StringTrimLeft", "StringTrimRight", "StringLocate", "Overlay", "TimestampAdd", "TimestampDiff", "NamedArgumentExpression"]} | {
    "analysis.UnresolvedExtractValue"
}  # fmt: skip

_SAID_AS = {
    "ScalarSubquery": "a subquery",
    "Exists": "a subquery",
    "ListQuery": "a subquery",
    "InSubquery": "a subquery",
    "UnresolvedStar": "a star (all columns)",
    "UnresolvedRegex": "columns by a regular expression",
    "ExpressionWithUnresolvedIdentifier": "IDENTIFIER(…), a name made of text",
    "NamedParameter": "a parameter",
    "PosParameter": "a parameter",
    "WindowExpression": "a window",
    "UnresolvedWindowExpression": "a window",
    "AggregateExpression": "an aggregate",
    "Alias": "a name for a value (AS)",
    "MultiAlias": "names for values (AS)",
    "SemiStructuredExtract": "a path behind a colon",
    "Collate": "a collation",
}

# Spark takes these texts for the moment of the run wherever it wants a time.
_CLOCK_WORDS = ("now", "today", "tomorrow", "yesterday")
# A typed literal that begins with a digit: DATE '2026-03-01', but not DATE 'today'.
_WRITTEN_OUT = re.compile(r"\w+\s*['\"]\s*[+-]?\d")

ALLOWED = (
    "allowed are the dataset's columns, literals, operators and the functions of one row that "
    f"docs/sources.md lists ({', '.join(FUNCTIONS_BY_KIND)})"
)


def named_expressions(dataset: SourceDataset) -> dict[str, str]:
    """Every expression that the source has for a dataset, by where it stands in the YAML."""
    expressions = {
        **{f"map: {column}": sql for column, sql in dataset.mapping.items()},
        **{f"remove: {rule.name}": rule.when for rule in dataset.remove},
        **{f"quarantine: {rule.name}": rule.when for rule in dataset.quarantine},
        "row_time": dataset.row_time,
        "latest_by": dataset.latest_by,
        "explode": dataset.explode.array if dataset.explode else "",
        **{
            f"with: {join.name}: on {n}": ours
            for join in dataset.joins
            for n, (ours, _) in enumerate(join.keys, 1)
        },
    }
    return {what: sql for what, sql in expressions.items() if sql}


def check_sql(spark: SparkSession, source: Source) -> None:
    """Refuse a source that has an expression with anything that is not allowed.

    Asked before the first expression is used, because a dump's rows are dated by one before its
    files are even counted.

    Raises:
        ContractError: names the file, each field, its expression and what of it is refused.
    """
    faults = [
        f"{dataset.where}: {fault}"
        for dataset in source.datasets.values()
        for fault in refused_sql(spark, dataset)
    ]
    if faults:
        raise ContractError("; ".join(faults))


def refused_sql(spark: SparkSession, dataset: SourceDataset) -> list[str]:
    """What of a dataset's expressions is not allowed, one line an expression."""
    if dataset.layouts:
        return [
            f"layouts {n}: {fault}"
            for n, one in enumerate(dataset.layouts, 1)
            for fault in refused_sql(spark, one)
        ]
    parser = spark._jsparkSession.sessionState().sqlParser()
    asked = [(what, sql, dataset.columns) for what, sql in named_expressions(dataset).items()]
    for join in dataset.joins:
        place, columns = f"with: {join.name}", join.table.columns
        asked += [(f"{place}: on", theirs, columns) for _, theirs in join.keys]
        if join.table.latest_by:
            asked.append((f"{place}: latest_by", join.table.latest_by, columns))
    faults = []
    for what, sql, names in asked:
        refused = list(dict.fromkeys(_refused(parser, sql, names)))
        if refused:
            faults.append(f"{what}: {sql!r} is refused: {'; '.join(refused)}; {ALLOWED}")
    return faults


def _refused(parser: Any, sql: str, columns: Collection[str]) -> list[str]:
    """What is not allowed in one expression."""
    if "${" in sql:
        # Spark's variables are replaced before the text is parsed; the tree has the value only.
        return ["${…} stands for a variable of the environment or the session"]
    try:
        tree = parser.parseExpression(sql)
        refused = [*_of_tree(tree, {name.lower() for name in columns}, "")]
        # It is put into parentheses where it is used: a comment that has no end would take in
        # what comes behind, and uncover what a literal of the next rule holds.
        if not refused and _said(tree) != _said(parser.parseExpression(f"({sql})")):
            refused.append("it means something else in parentheses")
    except (PySparkException, Py4JJavaError) as error:
        message = " ".join(str(error).split("SQLSTATE")[0].split())[:300]
        return [f"it is no whole expression of Spark SQL, also within parentheses: {message}"]
    return refused


def _said(tree: Any) -> str:
    """A tree as text, without the numbers that each parse gives to names in a struct."""
    return re.sub(r"#\d+", "#", str(tree.toString()))


def _of_tree(node: Any, names: Collection[str], parent: str) -> Iterator[str]:
    """What is not allowed of a node and of all below it.

    Args:
        node: of Spark's tree, by way of Py4J.
        names: columns and lambda variables that are known here, in lower case.
        parent: the kind of the node above.
    """
    full = node.getClass().getName()
    kind = full.removeprefix(_CATALYST)
    children = _items(node.children())
    if kind == _FUNCTION:
        yield from _of_call(node, children)
    elif kind in (_COLUMN, _VARIABLE):
        name = str(node.nameParts().head())
        if name.lower() not in names:
            yield f"{name!r} is no column of the dataset{_near(name, names)}"
    elif kind == _LITERAL:
        yield from _of_literal(node, parent)
    elif kind == _LAMBDA:
        # The body, then the variables that it is given.
        names = {*names, *(str(child.nameParts().head()).lower() for child in children[1:])}
    elif kind not in _OPERATORS | _PATTERNS and not (kind == _ALIAS and parent == _STRUCT):
        name = full.rpartition(".")[2].rstrip("$")
        yield f"{_SAID_AS.get(name, f'what Spark calls {name}')} is not allowed"
        return  # what is below it is of no interest, and of a subquery there is no end
    for child in children:
        yield from _of_tree(child, names, kind)


def _of_call(node: Any, children: list[Any]) -> Iterator[str]:
    parts = [str(part) for part in _items(node.nameParts())]
    name = parts[-1].lower()
    if len(parts) > 1 or name not in ALLOWED_FUNCTIONS:
        near = "" if len(parts) > 1 else _near(name, ALLOWED_FUNCTIONS)
        yield f"the function {'.'.join(parts)} is not allowed{near}"
    elif (
        node.isDistinct()
        or node.ignoreNulls()
        or node.isInternal()
        or node.filter().isDefined()
        or node.orderingWithinGroup().size()
    ):
        yield f"DISTINCT, FILTER, IGNORE NULLS and WITHIN GROUP are not allowed ({name})"
    elif len(children) < FEWEST_ARGUMENTS.get(name, 0):
        yield f"the function {name} without an argument is the clock of the run"
    elif name in TYPE_ARGUMENT:
        for given in children[TYPE_ARGUMENT[name] : TYPE_ARGUMENT[name] + 1]:
            if not _is_ddl(given):
                yield f"the type that {name} is given has to be a literal such as 'sku STRING'"


def _is_ddl(node: Any) -> bool:
    """Whether a type is written out as DDL, which has no braces; JSON may name a Java class."""
    is_literal = node.getClass().getName() == _CATALYST + _LITERAL
    return is_literal and "{" not in str(node.toString())


def _of_literal(node: Any, parent: str) -> Iterator[str]:
    text, written = str(node.toString()), str(node.dataType().typeName())
    if written == "string":
        if text.strip().lower() in _CLOCK_WORDS and parent not in _PATTERNS:
            yield f"Spark takes the text {text!r} for the clock of the run (LIKE {text!r} is fine)"
    elif written in ("date", "timestamp", "timestamp_ntz") and not _is_written_out(node):
        yield "a date or time has to be written in digits, not by a word for the clock of the run"


def _is_written_out(node: Any) -> bool:
    origin = node.origin()
    if origin.sqlText().isEmpty() or origin.startIndex().isEmpty():
        return False
    text = str(origin.sqlText().get())[int(origin.startIndex().get()) :]
    return _WRITTEN_OUT.match(text) is not None


def _near(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name.lower(), sorted(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _items(sequence: Any) -> list[Any]:
    """A Scala sequence as a list."""
    return [sequence.apply(i) for i in range(sequence.size())]
