"""Expectations of our own over a Spark frame: a row rule's predicate, and a key.

Great Expectations' own would do the same at a price: `UnexpectedRowsExpectation` runs two Spark
jobs per rule, while map conditions are all aggregated in one pass; its uniqueness sorts all rows.
Importing this module registers these with Great Expectations; it does nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from great_expectations.execution_engine import SparkDFExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation, ColumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider import (
    ColumnMapMetricProvider,
    column_condition_partial,
)
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from pyspark.sql import Column as SparkColumn
from pyspark.sql import functions as F

from pipeline.contracts.sql_text import quoted

_SOME_KEYS = 5


class RowsSatisfyPredicate(ColumnMapMetricProvider):  # type: ignore[misc]  # GX is untyped
    """Counts rows for which a Spark SQL predicate is not true, in the shared aggregation."""

    condition_metric_name = "column_values.row_satisfies_predicate"
    condition_value_keys = ("predicate",)
    filter_column_isnull = False

    @column_condition_partial(engine=SparkDFExecutionEngine)  # type: ignore[untyped-decorator]
    def _spark(cls, _column: SparkColumn, predicate: str, **_: Any) -> SparkColumn:  # noqa: N805
        return F.expr(f"coalesce(({predicate}), false)")


class ExpectRowsToSatisfy(ColumnMapExpectation):  # type: ignore[misc]  # GX is untyped
    """Expect a Spark SQL predicate over the row's columns to be true; null counts as broken.

    `column` is the one whose values stand for the row in counts and samples.
    """

    predicate: str

    map_metric: ClassVar[str] = "column_values.row_satisfies_predicate"
    success_keys: ClassVar[tuple[str, ...]] = ("predicate", "mostly")
    args_keys: ClassVar[tuple[str, ...]] = ("column", "predicate")


class RepeatedKeys(TableMetricProvider):  # type: ignore[misc]  # GX is untyped
    """Rows whose key another row has too, and a few of those keys.

    Great Expectations' own metric sorts all rows by the key in a window: of 10 M events it was
    half of the gate's time. Here eight bytes of every key are shuffled, and the keys themselves
    only where two of those are alike.
    """

    metric_name = "table.repeated_keys"
    value_keys = ("key",)

    @metric_value(engine=SparkDFExecutionEngine)  # type: ignore[untyped-decorator]
    def _spark(
        cls,  # noqa: N805
        execution_engine: SparkDFExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        **_: Any,
    ) -> dict[str, Any]:
        frame = execution_engine.get_domain_records(domain_kwargs=metric_domain_kwargs)
        key = [F.col(quoted(name)) for name in metric_value_kwargs["key"]]
        hashes = frame.select(F.xxhash64(*key).alias("hash")).groupBy("hash").count()
        if hashes.where("count > 1").isEmpty():
            return {"rows": 0, "keys": []}
        repeated = frame.groupBy(*key).count().where("count > 1")
        rows = repeated.agg(F.sum("count")).first()
        some = repeated.orderBy(*key).limit(_SOME_KEYS).collect()
        return {"rows": rows[0] or 0, "keys": [" / ".join(map(str, row[:-1])) for row in some]}


class ExpectKeyToBeUnique(BatchExpectation):  # type: ignore[misc]  # GX is untyped
    """Expect no two rows to have the same values in all columns of the key."""

    key: list[str]

    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.repeated_keys", "table.row_count")
    success_keys: ClassVar[tuple[str, ...]] = ("key",)

    def _validate(self, metrics: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        found = metrics["table.repeated_keys"]
        observed = f"{found['rows']:,} of {metrics['table.row_count']:,} rows share their key"
        if found["rows"] and not (self.meta or {}).get("personal"):
            observed += f", such as {', '.join(f'{key!r:.60}' for key in found['keys'])}"
        return {"success": not found["rows"], "result": {"observed_value": observed}}
