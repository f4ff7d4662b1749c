"""A source's expressions are an allow-list over Spark's own tree: attacks, and what must pass."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from pyspark.errors import ParseException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.cleaning.night import clean_night
from pipeline.errors import ContractError
from pipeline.lake import Lake, Run
from pipeline.settings import Settings
from pipeline.sources.allowed_functions import ALLOWED_FUNCTIONS, FUNCTIONS_BY_KIND
from pipeline.sources.allowed_sql import check_sql, refused_sql
from pipeline.sources.check import check_source
from pipeline.sources.source import Source, SourceRule
from pipeline.sources.source_yaml import load_source, parse_source, shipped_sources

SHOP = """
source: shop
description: A shop.
datasets:
  events:
    files: "{date}.csv"
    format: csv
    columns: [at, who, what, user, "it's/odd", many]
    map: {event_time: at, event_type: "'purchase'", user_id: who, item_id: what}
"""

# What an expression holds, and what the refusal has to name.
ATTACKS = {
    "java_method('java.lang.System', 'getenv', 'HOME')": "the function java_method",
    "JAVA_Method('java.lang.System', 'getenv', 'HOME')": "the function JAVA_Method",
    "`java_method`('java.lang.System', 'getenv', 'HOME')": "the function java_method",
    "reflect('java.lang.System', 'getProperty', 'user.home')": "the function reflect",
    "try_reflect('java.lang.System', 'getProperty', 'user.home')": "the function try_reflect",
    "java_method/* upper */('java.lang.System', 'getenv', what)": "the function java_method",
    "upper(coalesce(nullif(what, ''), java_method('a', 'b')))": "the function java_method",
    "CASE WHEN what = 'a' THEN who ELSE reflect('a', 'b') END": "the function reflect",
    "CAST(reflect('a', 'b') AS int) IN (1, 2)": "the function reflect",
    "what[reflect('a', 'b')]": "the function reflect",
    "struct(what, reflect('a', 'b') AS b).b": "the function reflect",
    "element_at(transform(split(what, ','), x -> reflect('a', x)), 1)": "the function reflect",
    "aggregate(split(what, ','), '', (a, b) -> a || b, a -> reflect('a', a))": "reflect",
    "mask(what, upperChar => reflect('a', 'b'))": "the function reflect",
    "what LIKE concat('a', reflect('a', 'b'))": "the function reflect",
    "reflect('a', 'b') LIKE ANY ('a', 'b')": "the function reflect",
    "timestampadd(DAY, reflect('a', 'b'), at)": "the function reflect",
    "substring(reflect('a', 'b') FROM 1 FOR 2)": "the function reflect",
    "trim(BOTH reflect('a', 'b') FROM what)": "the function reflect",
    "extract(YEAR FROM reflect('a', 'b'))": "the function reflect",
    "system.builtin.java_method('a', 'b')": "the function system.builtin.java_method",
    "spark_catalog.default.mine(what)": "the function spark_catalog.default.mine",
    "mine(what)": "the function mine",
    "IDENTIFIER('java_method')('a', 'b')": "IDENTIFIER",
    "IDENTIFIER('what')": "IDENTIFIER",
    "(SELECT first(value) FROM text.`/etc/passwd`)": "a subquery",
    "EXISTS (SELECT 1 FROM text.`/etc/passwd`)": "a subquery",
    "what IN (SELECT value FROM text.`/etc/passwd`)": "a subquery",
    "(WITH t AS (SELECT 1 AS a) SELECT a FROM t)": "a subquery",
    "coalesce(what, (SELECT max(value) FROM csv.`/etc/passwd`))": "a subquery",
    "(SELECT TRANSFORM (1) USING 'cat' AS (a) FROM range(1))": "a subquery",
    "*": "a star",
    "count(*)": "the function count",
    "struct(*)": "a star",
    "_metadata.file_path": "'_metadata' is no column",
    "__line": "'__line' is no column",
    "current_user": "'current_user' is no column",
    "current_timestamp": "'current_timestamp' is no column",
    "session_user()": "the function session_user",
    "current_catalog()": "the function current_catalog",
    "input_file_name()": "the function input_file_name",
    "version()": "the function version",
    "uuid()": "the function uuid",
    "now()": "the function now",
    "unix_timestamp()": "the clock",
    "TIMESTAMP 'now'": "written in digits",
    "DATE /* a comment */ 'today'": "written in digits",
    r"DATE '\164oday'": "written in digits",
    "CAST('now' AS timestamp)": "the clock",
    "date(at) = ' Today '": "the clock",
    "max(what)": "the function max",
    "sum(many) FILTER (WHERE many > 1)": "the function sum",
    "first(what)": "an aggregate",
    "row_number() OVER (PARTITION BY who ORDER BY at)": "a window",
    "sum(many) OVER w": "a window",
    "explode(split(what, ','))": "the function explode",
    "raise_error(what)": "the function raise_error",
    "assert_true(what = 'a')": "the function assert_true",
    "from_xml(what, 'a INT')": "the function from_xml",
    "xpath_string(what, 'a')": "the function xpath_string",
    "from_avro(what, '{}')": "the function from_avro",
    """from_json(what, '{"type":"udt","class":"java.util.Date","sqlType":"string"}')""": "the type",
    "from_json(what, concat('a ', 'INT'))": "the type",
    "from_json(what, schema_of_json('{}'))": "the type",
    "what AS item": "a name for a value",
    "what item": "a name for a value",
    "'${env:HOME}'": "${…}",
    "'${system:user.home}'": "${…}",
    "'${spark.app.name}'": "${…}",
    ":name": "a parameter",
    "?": "a parameter",
    "what -- and": "no whole expression",
    "what /* and": "no whole expression",
    "what) OR (who": "no whole expression",
    "what, who": "no whole expression",
    "what; SELECT 1": "no whole expression",
    "SELECT 1": "no whole expression",
    "": "",
}

FINE = (
    "what",
    "WHAT",
    "user",
    "`it's/odd`",
    "-- the first of them\nwhat /* or */ -- its end\n",
    "'java_method(''a'') and (SELECT 1)'",
    "'-- no comment'",
    "nullif(trim(what), '') IS NOT NULL AND NOT what RLIKE '^test'",
    "CASE WHEN many LIKE 'C%' OR try_cast(many AS int) < 0 THEN 'return' ELSE 'purchase' END",
    "CASE what WHEN 'a' THEN 1 WHEN 'b' THEN 2 END",
    "transform(split(what, ','), (x, i) -> x || i || who)[0]",
    "aggregate(transform(split(many, ','), x -> int(x)), 0, (a, x) -> a + x, a -> a * 2)",
    "exists(split(what, ','), x -> exists(split(x, ' '), y -> y = x AND y = what))",
    "struct(try_cast(many AS int) > 0 AS p, to_timestamp(at, 'yyyy'), what)",
    "from_json(what, 'sku STRING, n INT').sku",
    "variant_get(parse_json(what), '$.a', 'int')",
    "get_json_object(what, '$.sku')",
    "DATE '2026-03-01' < date(at) AND TIMESTAMP'2026-03-01 10:00:00' < timestamp(at)",
    "'😀' <> what AND DATE '2026-03-01' < date(at)",
    "what LIKE 'now'",
    "unix_timestamp(at) + 1 - 2 * 3 / 4 % 5 DIV 6",
    "date(at) + INTERVAL 1 DAY",
    "many BETWEEN 1 AND 3 OR many NOT IN (7, 8) OR many <=> NULL OR many IS DISTINCT FROM who",
    "what ILIKE 'a%' OR what LIKE ALL ('a', 'b') OR what NOT LIKE ANY ('a', 'b')",
    "1 & 2 | 3 ^ ~4 << 1 >> 2 >>> 3",
    "extract(YEAR FROM date(at)) + position('a' IN what) + timestampdiff(DAY, at, at)",
    "trim(LEADING '0' FROM what) || overlay(what PLACING 'b' FROM 1) || substring(what FROM 2)",
    "many::int",
    "mask(what, upperChar => 'X')",
    "if(many = '1', what, who)",
)

# Every other function of this Spark, and why a source may not call it.
REFUSED_FUNCTIONS = {
    "operators are written as such": "! != % & * + - / < << <= <=> <> = == > >= >> >>> ^ | || ~ "
    "and case cast div in not or",
    "reach beyond the row": "current_catalog current_database current_schema current_timezone "
    "current_user input_file_block_length input_file_block_start input_file_name java_method "
    "reflect session_user spark_partition_id try_reflect user version",
    "differ from run to run": "curdate current_date current_time current_timestamp localtimestamp "
    "monotonically_increasing_id now rand randn random randstr shuffle uniform uuid",
    "end the night": "assert_true raise_error",
    "keys": "aes_decrypt aes_encrypt try_aes_decrypt",
    "read schemas from files, or entities": "from_avro from_protobuf from_xml schema_of_avro "
    "schema_of_xml to_avro to_protobuf to_xml xpath xpath_boolean xpath_double xpath_float "
    "xpath_int xpath_long xpath_number xpath_short xpath_string",
    "make a type of a value": "schema_of_csv schema_of_json schema_of_variant",
    "change how texts compare": "collate collation",
    "tables": "collations python_worker_logs range sql_keywords variant_explode "
    "variant_explode_outer",
}
REFUSED_GROUPS = {"agg_funcs", "window_funcs", "generator_funcs", "st_funcs"}
REFUSED_FAMILIES = re.compile(r"(bitmap|hll|kll|theta|approx_top_k|schema_of_variant_agg)(_|$)")
REFUSED_SINGLE = {"session_window", "window", "window_time", "json_tuple"}


def source(**changed: str) -> Source:
    """The shop, with other expressions for some columns."""
    whole = parse_source(SHOP, "shop.yaml")
    events = whole.datasets["events"]
    events = replace(events, mapping={**events.mapping, **changed})
    return replace(whole, datasets={"events": events})


def refusals(spark: SparkSession, sql: str) -> str:
    """What is refused of one expression, as text."""
    dataset = source().datasets["events"]
    return "\n".join(refused_sql(spark, replace(dataset, mapping={"item_id": sql})))


@pytest.mark.parametrize("sql", ATTACKS)
def test_an_attack_is_refused_by_name(spark: SparkSession, sql: str) -> None:
    """The line has the field, the expression, what is refused, and what is allowed."""
    refused = refusals(spark, sql)
    if not sql:
        assert refused == ""  # not mapped at all
        return
    assert refused.startswith(f"map: item_id: {sql!r} is refused: ")
    assert ATTACKS[sql] in refused
    assert "docs/sources.md" in refused


@pytest.mark.parametrize("sql", FINE)
def test_an_honest_expression_passes(spark: SparkSession, sql: str) -> None:
    """Operators, lambdas, comments, quoted names and text that looks like code."""
    assert refusals(spark, sql) == ""


def test_a_comment_cannot_uncover_what_a_literal_of_the_next_rule_holds(
    spark: SparkSession,
) -> None:
    """Rules are put into one CASE: each is parsed alone, and must mean the same in there."""
    rules = (
        SourceRule("first", "true --", "…"),
        SourceRule("second", 'what = "\\n), false) THEN reflect(1, 2) END -- "', "…"),
    )
    dataset = replace(source().datasets["events"], remove=rules)
    (refused,) = refused_sql(spark, dataset)
    assert refused.startswith("remove: first: 'true --' is refused: it is no whole expression")


def test_every_place_of_an_expression_is_looked_at(spark: SparkSession) -> None:
    """Rules, `row_time`, `latest_by` and the rule that internal users make."""
    bad = "uuid()"
    dataset = replace(
        source(item_id=bad).datasets["events"],
        remove=(SourceRule("r", bad, "…"),),
        quarantine=(SourceRule("q", bad, "…"),),
        row_time=bad,
        latest_by=bad,
    )
    places = [line.partition(" 'uuid()'")[0] for line in refused_sql(spark, dataset)]
    assert places == ["map: item_id:", "remove: r:", "quarantine: q:", "row_time:", "latest_by:"]
    internal = SHOP.replace("datasets:", "internal_users: {ids: [a]}\ndatasets:", 1)
    internal = internal.replace("user_id: who", "user_id: uuid()")
    refused = refused_sql(spark, parse_source(internal, "shop.yaml").datasets["events"])
    assert [line.split(": ")[0] for line in refused] == ["map", "remove"]


@pytest.mark.parametrize("name", shipped_sources())
def test_a_shipped_source_passes(spark: SparkSession, name: str) -> None:
    """All expressions of all datasets."""
    check_sql(spark, load_source(name))


def test_every_function_of_this_spark_is_allowed_or_refused(spark: SparkSession) -> None:
    """A function that a new Spark brings fails this test, until somebody decides on it."""
    catalog = spark._jsparkSession.sessionState().catalog()
    refused = {name for names in REFUSED_FUNCTIONS.values() for name in names.split()}
    undecided, wrong = [], []
    for row in spark.sql("SHOW FUNCTIONS").collect():
        name = row["function"]
        found = catalog.lookupBuiltinOrTempFunction(name)
        group = str(found.get().getGroup()) if found.isDefined() else ""
        is_refused = (
            name in refused
            or group in REFUSED_GROUPS
            or name in REFUSED_SINGLE
            or REFUSED_FAMILIES.match(name) is not None
        )
        if is_refused == (name in ALLOWED_FUNCTIONS):
            undecided.append(name)
        # Asked by its name, as an expression: what the list says is what happens. Whatever has
        # letters can be called; operators are refused as functions, too.
        try:
            passes = not refusals(spark, f"`{name}`(what, 'a INT', 'INT')")
        except ParseException:
            passes = False
        if passes != (name in ALLOWED_FUNCTIONS):
            wrong.append(name)
    assert (undecided, wrong) == ([], [])


def test_no_allowed_function_is_more_than_a_function_of_one_row(spark: SparkSession) -> None:
    """Asked of Spark's own classes: it exists, is deterministic, and is no other kind."""
    jvm = spark._jvm
    assert jvm is not None
    root = "org.apache.spark.sql.catalyst.expressions."
    kinds = [
        jvm.java.lang.Class.forName(root + name)
        for name in (
            "aggregate.AggregateFunction",
            "Generator",
            "Nondeterministic",
            "WindowFunction",
            "CallMethodViaReflection",
            "UserDefinedExpression",
            "CurrentTimestampLike",
            "Unevaluable",
        )
    ]
    rewritten = {"Extract", "ParseToDate"}  # replaced when the query is analysed
    catalog = spark._jsparkSession.sessionState().catalog()
    for name in sorted(ALLOWED_FUNCTIONS):
        found = catalog.lookupBuiltinOrTempFunction(name)
        assert found.isDefined(), name
        made = jvm.java.lang.Class.forName(found.get().getClassName())
        bad = [str(kind.getName()) for kind in kinds if kind.isAssignableFrom(made)]
        assert not bad or made.getSimpleName() in rewritten, (name, bad)


def test_sql_replaces_no_variables(spark: SparkSession) -> None:
    """Words of a source that are put into SQL as text stay text, as in `event_types`."""
    (row,) = spark.range(1).select(F.expr("'${env:HOME}${system:user.home}'").alias("a")).collect()
    assert row["a"] == "${env:HOME}${system:user.home}"


def test_the_documentation_lists_what_is_allowed() -> None:
    """Every kind with its functions, as docs/sources.md has them."""
    text = (Path(__file__).parents[2] / "docs/sources.md").read_text(encoding="utf-8")
    for kind, names in FUNCTIONS_BY_KIND.items():
        assert f"| {kind} | {' '.join(names)} |" in text


def test_a_night_and_a_check_refuse_before_they_use_any_expression(
    spark: SparkSession, settings: Settings, lake: Lake, tmp_path: Path
) -> None:
    """A dump's rows are dated by an expression before anything else is done with them."""
    marker = tmp_path / "was_run"
    shop = yaml.safe_load(SHOP)
    evil = f"java_method('java.io.RandomAccessFile', '<init>', '{marker}', 'rw')"
    shop["datasets"]["events"] |= {
        "files": "all.csv",
        "delivery": "dump",
        "row_time": "coalesce((SELECT first(value) FROM text.`/etc/passwd`), at)",
    }
    shop["datasets"]["events"]["map"]["query"] = evil
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(shop), encoding="utf-8")
    raw = Path(settings.paths.raw)
    raw.mkdir(parents=True)
    (raw / "all.csv").write_text(
        "at,who,what,user,it's/odd,many\n2026-03-01 10:00:00,u,i,x,y,1\n", encoding="utf-8"
    )
    named = [
        f"{path}: events: map: query: ",
        "the function java_method is not allowed",
        "row_time: ",
        "a subquery is not allowed",
    ]
    settings = replace(settings, shop=replace(settings.shop, source=str(path)))
    with pytest.raises(ContractError) as caught:
        clean_night(spark, settings, lake, Run(dt.date(2026, 3, 1), "r1"))
    assert [part for part in named if part not in str(caught.value)] == []
    assert not Path(settings.paths.lake).exists()
    (check,) = check_source(spark, path, raw)
    assert [part for part in named if part not in "\n".join(check.faults)] == []
    assert check.rows == []
    assert not marker.exists()
