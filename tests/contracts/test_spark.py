"""Spark's side of a contract: the select that conforms, the columns, the order of reasons."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.contracts.contract import Column, Contract, RowRule, load_contract
from pipeline.contracts.spark import check_columns, conform, first_broken_rule, row_rules
from pipeline.errors import ContractError

USERS = load_contract("cleaned_users")


def contract_of(*columns: Column, rules: tuple[RowRule, ...] = ()) -> Contract:
    return Contract("d", 1, "", (), columns, rules, ())


def test_conform_keeps_exactly_the_contracts_columns_in_its_order(spark: SparkSession) -> None:
    frame = spark.range(1).selectExpr(
        "'x' AS extra", "'s' AS source", "true AS consent", "1 AS region",
        "CAST(null AS string) AS language", "'u' AS user_id",
    )  # fmt: skip
    conformed = conform(frame, USERS)
    assert conformed.columns == list(USERS.column_names)
    assert check_columns(conformed, USERS) is conformed
    assert conformed.collect()[0].asDict() == {
        "user_id": "u", "consent": True, "language": None, "region": "1", "source": "s",
    }  # fmt: skip


def test_conform_names_the_missing_column(spark: SparkSession) -> None:
    with pytest.raises(ContractError, match="cleaned_users.v1: missing column consent, source;"):
        conform(spark.range(1).selectExpr("'u' user_id", "'' language", "'' region"), USERS)


def test_check_columns_names_every_fault(spark: SparkSession) -> None:
    frame = spark.range(1).selectExpr(
        "'u' user_id", "'yes' consent", "'' language", "'' source", "1 phone", "2 phone"
    )
    with pytest.raises(ContractError) as caught:
        check_columns(frame, USERS)
    for fault in (
        "extra column phone",
        "missing column region",
        "column phone 2 times",
        "column consent is string, expected boolean",
    ):
        assert fault in str(caught.value)


def test_a_nested_type_is_compared_to_its_leaves(spark: SparkSession) -> None:
    contract = contract_of(Column("a", "array<struct<x:int>>", ""))
    check_columns(spark.range(1).selectExpr("array(named_struct('x', 1)) a"), contract)
    with pytest.raises(ContractError, match="column a is array<struct<x:string>>"):
        check_columns(spark.range(1).selectExpr("array(named_struct('x', '1')) a"), contract)


def test_reasons_are_asked_in_the_contracts_order() -> None:
    contract = contract_of(
        Column("b", "string", "", nullable=False, values=("x",), pattern="x", min_length=2,
               max_length=3),
        Column("a", "int", "", nullable=False, min=0),
        rules=(RowRule("z", "true", ""), RowRule("c", "true", "")),
    )  # fmt: skip
    assert [reason for reason, _ in row_rules(contract)] == [
        "b_missing", "b_unknown_value", "b_malformed", "b_too_short", "b_too_long",
        "a_missing", "a_out_of_range", "z", "c",
    ]  # fmt: skip


def test_a_rule_that_answers_null_is_broken_and_no_rule_breaks_nothing(spark: SparkSession) -> None:
    row = spark.range(1).selectExpr("CAST(null AS int) AS a")
    a = Column("a", "int", "", min=1)
    rule = RowRule("positive", "a > 0", "")
    assert row.select(first_broken_rule(contract_of(a, rules=(rule,)))).first() == ("positive",)
    assert row.select(first_broken_rule(contract_of(a))).first() == (None,)
    assert row.select(first_broken_rule(contract_of(Column("a", "int", "")))).first() == (None,)


def test_values_and_patterns_with_quotes_and_backslashes_mean_themselves(
    spark: SparkSession,
) -> None:
    values = ("it's", 'say "x"', r"back\slash", "new\nline", "$1", "{}", "手机")
    contract = contract_of(Column("a", "string", "", values=values))
    good = spark.createDataFrame([(value,) for value in values], "a string")
    assert good.where(first_broken_rule(contract).isNotNull()).count() == 0
    dots = contract_of(Column("a", "string", "", pattern=r"\d+\.\d+"))
    frame = spark.createDataFrame([("1.5",), ("1x5",), ("1.5\n",), ("a1.5",)], "a string")
    assert [row.a for row in frame.where(first_broken_rule(dots).isNull()).collect()] == ["1.5"]


def test_length_counts_characters_not_bytes(spark: SparkSession) -> None:
    contract = contract_of(Column("a", "string", "", max_length=3))
    frame = spark.createDataFrame([("手机壳",), ("😀😀😀",), ("abcd",)], "a string")
    reasons = frame.select(F.coalesce(first_broken_rule(contract), F.lit("good"))).collect()
    assert [reason for (reason,) in reasons] == ["good", "good", "a_too_long"]
