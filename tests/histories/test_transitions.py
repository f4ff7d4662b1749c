"""Transitions counted by Spark: by hand, and the same prior as from histories in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import check_columns
from pipeline.histories.transitions import transitions
from pipeline.model.transitions import TransitionShape, counts_by_distance, transition_counts

HISTORY = "item_ids array<string>, holdout_index int, consent boolean"
Row = tuple[Sequence[str], int | None, bool]


def counted(spark: SparkSession, rows: Sequence[Row], window: int) -> DataFrame:
    return transitions(spark.createDataFrame(list(rows), HISTORY), window=window)


def test_by_hand(spark: SparkSession) -> None:
    rows: list[Row] = [
        (["a", "b", "c"], None, True),
        (["a", "b", "x", "y"], 2, True),  # x is held out, y comes after it
        (["b", "b", "a"], None, True),  # an item never follows itself
        (["a", "c"], None, False),  # no consent
        (["a"], None, True),
        ([], None, True),
        (["a", "z"], 0, True),  # nothing is known of this one
    ]
    made = counted(spark, rows, 2)
    check_columns(made, load_contract("transitions"))
    assert {tuple(row) for row in made.collect()} == {
        ("a", "b", 1, 2),
        ("b", "c", 1, 1),
        ("a", "c", 2, 1),
        ("b", "a", 1, 1),
        ("b", "a", 2, 1),
    }


@pytest.mark.parametrize("shape", [TransitionShape(), TransitionShape(3, 0.7)])
def test_the_counts_are_those_of_histories_in_memory(
    spark: SparkSession, shape: TransitionShape
) -> None:
    random = np.random.default_rng(3)
    histories = [random.integers(0, 9, random.integers(0, 16)).tolist() for _ in range(40)]
    rows: list[Row] = [([f"i{item}" for item in row], None, True) for row in histories]
    found = counted(spark, rows, 10).toPandas()
    made = counts_by_distance(
        found["item_id"].str[1:].astype(int).to_numpy(),
        found["next_item_id"].str[1:].astype(int).to_numpy(),
        found["distance"].to_numpy(),
        found["n"].to_numpy(),
        9,
        shape,
    )
    expected = transition_counts(histories, 9, shape)
    np.testing.assert_allclose(made.toarray(), expected.toarray())
