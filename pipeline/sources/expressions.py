"""A source's Spark SQL over a frame of raw strings: values, rules, days, and what is wrong with it.

Pure: builds column expressions and asks Spark to analyse them; starts no job.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from pyspark.errors import AnalysisException, ParseException, PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import quoted, spark_schema, sql_string
from pipeline.sources.allowed_sql import named_expressions, refused_sql
from pipeline.sources.event_types import event_type_sql
from pipeline.sources.instants import instant_sql
from pipeline.sources.layouts import is_of
from pipeline.sources.numbers import KINDS, number_sql
from pipeline.sources.source import SourceDataset, SourceRule
from pipeline.sources.time_formats import DEFAULT_FORMATS, WORDS

FIRST_DAY, LAST_DAY = dt.date(1900, 1, 1), dt.date(2199, 12, 31)
CONSENT, EVENT_TYPE = "consent", "event_type"


def mapped_values(raw: DataFrame, dataset: SourceDataset) -> tuple[dict[str, Column], Column]:
    """The raw contract's columns, and why a value is not of its type.

    A value that is text where the contract wants a number, a time or a boolean is cast by
    `try_cast`. Text that does not cast gives null and the reason `<column>_unparsable`, which
    distinguishes it from no text at all.

    A user's consent is the exception: an answer that is missing or does not cast is false. If the
    row were quarantined, an older yes of that user would stay in force. A value that is too long
    beside a refusal becomes null, so that it does not get the refusal quarantined.
    """
    if dataset.layouts:
        return _of_layouts(raw, dataset)
    values: dict[str, Column] = {}
    unparsable = [F.lit(None).cast("string")]
    contract = load_contract(f"raw_{dataset.name}")
    for field in spark_schema(contract):
        sql = dataset.mapping.get(field.name)
        kind = field.dataType.simpleString()
        if sql is None:
            values[field.name] = F.lit(None).cast(field.dataType)
            continue
        if field.name == EVENT_TYPE and dataset.event_types:
            sql = event_type_sql(sql, dataset.event_types)
        cast = f"try_cast(({sql}) AS {kind})"
        if kind == "timestamp":
            formats = dataset.times.get(field.name, DEFAULT_FORMATS)
            cast = instant_sql(sql, formats, dataset.timezone)
        is_text = raw.select(F.expr(sql)).schema[0].dataType.simpleString() == "string"
        if is_text and kind in KINDS:
            cast = number_sql(sql, kind, dataset.numbers.get(field.name, ""))
        values[field.name] = F.expr(cast)
        if field.name == CONSENT:
            values[CONSENT] = F.coalesce(values[CONSENT], F.lit(False))
            continue
        if is_text and kind != "string":
            lost = F.expr(f"({sql}) IS NOT NULL AND {cast} IS NULL")
            unparsable.append(F.when(lost, F.lit(f"{field.name}_unparsable")))
    if CONSENT in dataset.mapping:
        for column in contract.columns:
            if column.nullable and column.max_length:
                value = values[column.name]
                fits = values[CONSENT] | (F.length(value) <= column.max_length)
                values[column.name] = F.when(fits, value)
    return values, F.coalesce(*unparsable)


def _of_layouts(raw: DataFrame, dataset: SourceDataset) -> tuple[dict[str, Column], Column]:
    """The values of each row by its own layout's expressions, times and numbers."""
    made = [mapped_values(raw, one) for one in dataset.layouts]
    tests = [F.expr(is_of(n)) for n in range(1, len(made) + 1)]
    values = {
        name: F.coalesce(
            *(F.when(test, of[name]) for test, (of, _) in zip(tests, made, strict=True))
        )
        for name in made[0][0]
    }
    whys = [F.when(test, why) for test, (_, why) in zip(tests, made, strict=True)]
    return values, F.coalesce(*whys)


def consent_unread(dataset: SourceDataset) -> Column:
    """Whether a row of users has no readable answer on consent; false for other rows."""
    sql = dataset.mapping.get(CONSENT)
    return F.lit(False) if sql is None else F.expr(f"try_cast(({sql}) AS boolean) IS NULL")


def first_true(rules: Sequence[SourceRule]) -> Column:
    """The name of the first rule whose condition is true of a row, or null."""
    if not rules:
        return F.lit(None).cast("string")
    cases = " ".join(
        f"WHEN coalesce(boolean({rule.when}), false) THEN {sql_string(rule.name)}" for rule in rules
    )
    return F.expr(f"CASE {cases} END")


def own_day(dataset: SourceDataset, timezone: str) -> Column:
    """The calendar day, in the shop's zone, of a dump's row; null where it has no time.

    A day before 1900 or after 2199 stands for none, as 0001-01-01 and 9999-12-31 do; the calendar
    of Python and of a manifest ends at the year 9999.
    """
    if dataset.layouts:
        days = [
            F.when(F.expr(is_of(n)), own_day(one, timezone))
            for n, one in enumerate(dataset.layouts, 1)
            if one.own_time
        ]
        return F.coalesce(*days)
    time = F.expr(instant_sql(dataset.own_time, dataset.own_time_formats, dataset.timezone))
    day = F.to_date(F.from_utc_timestamp(time, timezone))
    return F.when(day.between(F.lit(FIRST_DAY), F.lit(LAST_DAY)), day)


def expression_faults(raw: DataFrame, dataset: SourceDataset) -> list[str]:
    """What is wrong with a source's SQL, one line an expression; empty where all of it works."""
    refused = refused_sql(raw.sparkSession, dataset)
    if refused:
        return refused  # analysing it would look up what it names
    columns = raw.select(*(F.col(quoted(name)) for name in dataset.columns))
    faults = [
        f"layouts {n}: {fault}"
        for n, one in enumerate(dataset.layouts, 1)
        for fault in expression_faults(raw, one)
    ]
    if faults:
        return faults
    for what, sql in named_expressions(dataset).items():
        is_rule = what.startswith(("remove: ", "quarantine: "))
        try:
            columns.select(F.expr(f"boolean({sql})" if is_rule else sql))
        except (AnalysisException, ParseException) as error:
            message = " ".join(str(error).split("SQLSTATE")[0].split())
            faults.append(f"{what}: {sql!r} is not Spark SQL over the raw columns: {message}")
    return faults + [
        f"times: {column}: {pattern!r} is no pattern that Spark can read by"
        for column, formats in dataset.times.items()
        for pattern in formats
        if pattern not in WORDS and not _can_read_by(raw.sparkSession, pattern)
    ]


def _can_read_by(spark: SparkSession, pattern: str) -> bool:
    """Whether Spark accepts a pattern; it checks one at the first read, without rows and a job."""
    try:
        spark.sql(f"SELECT try_to_timestamp('', {sql_string(pattern)})").collect()
    except PySparkException:
        return False
    return True
