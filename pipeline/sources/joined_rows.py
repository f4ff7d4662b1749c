"""Rows of a dataset with what stands in other files, and with the elements of an array as rows.

First the array: a row for each of its elements, or one row without any. Then the joins, in their
order: to each row at most one row of the other file, so no row is ever multiplied, and none is
dropped. Keys are compared as texts, as they were delivered (after `ids: {strip_decimal: true}`,
where it is written). A row that may not stay as it is carries the reason:

    __no_element  the rule that removes a row whose array is empty, or null
    __broken      why a row is to be quarantined: an array that is none, no partner, several
    __found_<n>   whether the row found its partner: found, unmatched, without_key, ambiguous;
                  null for a row that needed none any more

Several rows of one key are one if they are equal in the columns that are read; `latest_by` chooses
among them; else they are ambiguous. Of files with a date in their names, a row sees the newest row
of its key up to its own delivery day, and where there is none, the first that came later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from pipeline.contracts.spark import quoted, sql_string
from pipeline.errors import ContractError
from pipeline.sources.allowed_sql import named_expressions
from pipeline.sources.reader_columns import BROKEN, DAY, LINE, NO_ELEMENT, found_column
from pipeline.sources.source import Explode, Join, SourceDataset, columns_read

FOUND, UNMATCHED, WITHOUT_KEY, AMBIGUOUS = "found", "unmatched", "without_key", "ambiguous"
_STATUSES = (FOUND, UNMATCHED, WITHOUT_KEY, AMBIGUOUS)
_COUNTS = (
    "rows",
    "raw_rows",
    "with_elements",
    "no_element",
    "unreadable_arrays",
    "unreadable_lines",
)


@dataclass(frozen=True)
class LookUpCounts:
    """What became of some rows as they were joined and their arrays were taken apart.

    `found` is by join and status; `digest` is of the rows with all that was joined, where asked.
    """

    rows: int
    found: Mapping[str, Mapping[str, int]]
    raw_rows: int
    with_elements: int  # raw rows that stay as rows
    no_element: int
    unreadable_arrays: int
    unreadable_lines: int
    digest: str = ""


def look_up_counts(rows: DataFrame, dataset: SourceDataset) -> LookUpCounts:
    """The counts of rows as `combined_rows` gives them."""
    return counts_in(rows.agg(*counts_of(dataset)).collect()[0], dataset)


def counts_in(row: Row, dataset: SourceDataset) -> LookUpCounts:
    """The counts in a row of the aggregates that `counts_of` gives."""
    of = row.asDict()
    found = {
        join.name: {status: of[f"{join.name} {status}"] for status in _STATUSES}
        for join in dataset.joins
    }
    return LookUpCounts(
        found=found, digest=str(of.get("digest", "")), **{name: of[name] for name in _COUNTS}
    )


def counts_of(dataset: SourceDataset) -> list[Column]:
    """Aggregates over rows as `combined_rows` gives them."""
    columns = [
        F.count_if(F.col(quoted(found_column(join.name))) == status).alias(f"{join.name} {status}")
        for join in dataset.joins
        for status in _STATUSES
    ]
    is_first = stays = F.lit(True)
    no_element = unreadable = F.lit(False)
    if dataset.explode:
        position = F.col(quoted(dataset.explode.columns[1]))
        unreadable = F.coalesce(F.col(BROKEN) == dataset.explode.unreadable, F.lit(False))
        no_element = F.col(NO_ELEMENT).isNotNull()
        stays = ~unreadable & ~no_element
        is_first = position.isNull() | (position == "1")
    return [
        *columns,
        F.count("*").alias("rows"),
        F.count_if(is_first).alias("raw_rows"),
        F.count_if(is_first & stays & F.col(LINE).isNull()).alias("with_elements"),
        F.count_if(no_element).alias("no_element"),
        F.count_if(unreadable).alias("unreadable_arrays"),
        F.count_if(F.col(LINE).isNotNull()).alias("unreadable_lines"),
    ]


def combined_rows(
    own: DataFrame, dataset: SourceDataset, tables: dict[str, DataFrame]
) -> DataFrame:
    """All raw columns of the dataset, the reader's columns, and those of the module's docstring.

    Args:
        own: the rows of the dataset's own files.
        dataset: whose.
        tables: the rows of each joined file, by its name.

    Raises:
        ContractError: an expression is no SQL over the columns that it may read.
    """
    rows = own.withColumns({NO_ELEMENT: _no_text(), BROKEN: _no_text()})
    if dataset.explode:
        rows = _exploded(rows, dataset.explode, dataset)
    for join in dataset.joins:
        rows = _joined(rows, join, tables[join.name], dataset)
    beside = [name for name in own.columns if name not in dataset.own_columns]
    found = [found_column(join.name) for join in dataset.joins]
    columns = [*dataset.columns, *beside, NO_ELEMENT, BROKEN, *found]
    return rows.select(*(F.col(quoted(name)) for name in columns))


def _exploded(rows: DataFrame, explode: Explode, dataset: SourceDataset) -> DataFrame:
    text = _sql(rows, explode.array, f"{dataset.where}: explode").cast("string")
    # The outer array makes Spark see what follows the inner one.
    parsed = F.from_json(
        F.concat(F.lit("["), text, F.lit("]")),
        "array<array<string>>",
        {"allowSingleQuotes": "false"},
    )
    is_there = F.coalesce(text.rlike(r"[^\x00-\x20]") & (F.trim(text) != "null"), F.lit(False))
    elements = F.when(is_there & (F.size(parsed) == 1), F.get(parsed, F.lit(0)))
    rows = rows.withColumns({"__is_there": is_there, "__elements": elements})
    is_row, has_any = F.col(LINE).isNull(), F.size("__elements") > 0
    is_array = F.col("__elements").isNotNull()
    removes = explode.empty == "remove"
    is_empty = ~F.col("__is_there") | (is_array & ~has_any)
    array = _plain_array(dataset)
    state = {
        # Else each refused element would bring all of its array along.
        **({array: F.when(~is_array, F.col(quoted(array)))} if array else {}),
        NO_ELEMENT: F.when(is_row & is_empty & F.lit(removes), F.lit(explode.none)),
        BROKEN: F.when(is_row & F.col("__is_there") & ~is_array, F.lit(explode.unreadable)),
    }
    names = [name for name in rows.columns if name not in ("__is_there", "__elements", *state)]
    position, element = explode.element + "_position", F.col(quoted(explode.element))
    rows = rows.select(
        *(F.col(quoted(name)) for name in names),
        *(value.alias(name) for name, value in state.items()),
        F.posexplode_outer("__elements").alias("__at", explode.element),
    )
    return rows.withColumns(
        {
            position: (F.col("__at") + 1).cast("string"),
            **{
                f"{explode.element}.{name}": F.get_json_object(element, _path(name))
                for name in explode.fields
            },
        }
    ).drop("__at")


def _plain_array(dataset: SourceDataset) -> str:
    """The array's own column, if no expression reads it but `explode`."""
    expressions = named_expressions(dataset)
    array = expressions.pop("explode")
    names = [name for name in dataset.own_columns if array == quoted(name)]
    read = columns_read(" ".join(expressions.values()), names)
    return "" if read else "".join(names)


def _path(field: str) -> str:
    return "$" + "".join(f"['{name}']" for name in field.split("."))


def _joined(rows: DataFrame, join: Join, table: DataFrame, dataset: SourceDataset) -> DataFrame:
    where = f"{dataset.where}: with: {join.name}: on"
    ours = [f"__our_{n}" for n in range(len(join.keys))]
    theirs = [f"__their_{n}" for n in range(len(join.keys))]
    keys = {
        name: _sql(rows, sql, where).cast("string")
        for name, (sql, _) in zip(ours, join.keys, strict=True)
    }
    partners = _partners(table, join, theirs, where)
    is_equal = [F.col(our) == F.col(their) for our, their in zip(ours, theirs, strict=True)]
    both = rows.withColumns(keys).join(
        partners, reduce(lambda one, other: one & other, is_equal), "left"
    )
    partner = _version(join)
    has_key = reduce(lambda one, other: one & other, (F.col(our).isNotNull() for our in ours))
    needs_one = F.col(LINE).isNull() & F.col(NO_ELEMENT).isNull() & F.col(BROKEN).isNull()
    both = both.withColumn("__partner", partner)
    found = (
        F.when(~needs_one, _no_text())
        .when(F.col("__partner.ambiguous"), F.lit(AMBIGUOUS))
        .when(F.col("__partner").isNotNull(), F.lit(FOUND))
        .when(has_key, F.lit(UNMATCHED))
        .otherwise(F.lit(WITHOUT_KEY))
    )
    status = F.col(quoted(found_column(join.name)))
    broken = F.when(status == AMBIGUOUS, F.lit(join.ambiguous))
    if join.kind == "inner":
        broken = broken.when(status.isin(UNMATCHED, WITHOUT_KEY), F.lit(join.unmatched))
    both = both.withColumn(found_column(join.name), found)
    values = {
        flat: F.when(status == FOUND, F.col("__partner.values").getField(_field(n)))
        for n, flat in enumerate(join.columns)
    }
    return both.withColumns({**values, BROKEN: F.coalesce(F.col(BROKEN), broken)}).drop(
        *ours, *theirs, "__partner", "__versions"
    )


def _partners(table: DataFrame, join: Join, keys: list[str], where: str) -> DataFrame:
    """The keys, and under `__versions` what a row of each may see: by day, oldest first."""
    named = {
        name: _sql(table, sql, where).cast("string")
        for name, (_, sql) in zip(keys, join.keys, strict=True)
    }
    values = F.struct(
        F.lit(1).alias("is_there"),
        *(
            F.col(quoted(flat.partition(".")[2])).alias(_field(n))
            for n, flat in enumerate(join.columns)
        ),
    )
    order = join.table.latest_by
    has_key = reduce(
        lambda one, other: one & other, (F.col(name).isNotNull() for name in keys), F.lit(True)
    )
    rows = (
        table.where(F.col(LINE).isNull())
        .select(
            *(value.alias(name) for name, value in named.items()),
            F.col(DAY).alias("day"),
            values.alias("values"),
            (_sql(table, order, where) if order else F.lit(None).cast("string")).alias("order"),
        )
        .where(has_key)
    )
    if order:
        newest = Window.partitionBy(*keys, "day").orderBy(F.desc_nulls_last("order"))
        rows = rows.withColumn("rank", F.rank().over(newest)).where("rank = 1")
    one_a_day = rows.groupBy(*keys, "day").agg(
        F.min("values").alias("low"), F.max("values").alias("values")
    )
    version = F.struct(
        "day", "values", (~F.col("low").eqNullSafe(F.col("values"))).alias("ambiguous")
    )
    versions = one_a_day.select(*keys, version.alias("version"))
    if join.table.delivery == "dump":
        return versions.select(*keys, F.array("version").alias("__versions"))
    # A file that is delivered whole every day says the same of most keys.
    by_day = Window.partitionBy(*keys).orderBy("version.day")
    said = F.struct("version.values", "version.ambiguous")
    is_new = ~said.eqNullSafe(F.lag(said).over(by_day))
    changes = versions.withColumn("is_new", is_new).where("is_new")
    return changes.groupBy(*keys).agg(F.array_sort(F.collect_list("version")).alias("__versions"))


def _version(join: Join) -> Column:
    versions = F.col("__versions")
    if join.table.delivery == "dump":
        return F.get(versions, F.lit(0))
    upto = F.filter(versions, lambda one: one["day"] <= F.col(DAY))
    newest = F.try_element_at(versions, F.lit(-1))
    seen = F.coalesce(F.try_element_at(upto, F.lit(-1)), F.get(versions, F.lit(0)))
    return F.when(F.col(DAY).isNull(), newest).otherwise(seen)


def _sql(frame: DataFrame, sql: str, where: str) -> Column:
    try:
        frame.select(F.expr(sql))
    except (AnalysisException, ParseException) as error:
        message = " ".join(str(error).split("SQLSTATE")[0].split())
        raise ContractError(
            f"{where}: {sql_string(sql)} is not Spark SQL over the columns: {message}"
        ) from None
    return F.expr(sql)


def _field(number: int) -> str:
    return f"v{number}"


def _no_text() -> Column:
    return F.lit(None).cast("string")
