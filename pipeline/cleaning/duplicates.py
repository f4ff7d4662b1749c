"""Of rows with the same key, one wins.

A loser that says what the winner says (of events and reviews the contract's columns, of items and
users the whole raw row) is removed as `duplicate`. One that differs is removed
as `superseded` where the source says which row is the latest, and else quarantined as
`<key>_conflict`. The winner is the latest by the source's own order, else the earliest; then the
smaller hash of the row.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.cleaning.tagging import (
    BUCKET,
    CONTENT,
    FATE,
    ORDER,
    OUT,
    OWN_DAY,
    QUARANTINED,
    RAW,
    REASON,
    REMOVED,
    Rules,
)
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import quoted
from pipeline.sources.readers import DAY
from pipeline.sources.source import KEY_COLUMN, TIME_COLUMN, SourceDataset


def judge_keys(frame: DataFrame, rules: Rules) -> DataFrame:
    """Items and users: one row per key and delivery day."""
    key = KEY_COLUMN[rules.dataset.name]
    return without_duplicates(frame, rules, (key, OWN_DAY, BUCKET, DAY))


def without_duplicates(
    frame: DataFrame,
    rules: Rules,
    group: Sequence[str],
    order_of_winners: Sequence[Column] | None = None,
) -> DataFrame:
    """The same columns; rows with another fate already are left as they are.

    Args:
        frame: as `tagging.tag_rows` gives it.
        rules: whose dataset says what the key is.
        group: the columns that rows with the same key share.
        order_of_winners: the winner first; by default `winner_first`.
    """
    dataset = rules.dataset
    competes = F.col(FATE) == OUT
    order = Window.partitionBy(*group).orderBy(*(order_of_winners or winner_first(dataset)))
    loses = competes & (F.row_number().over(order) > 1)
    # By rows: a range of the same order would be asked of each row how far it goes.
    so_far = order.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    copies = F.col(CONTENT) == F.first(CONTENT).over(so_far)
    differs = (
        (F.lit(REMOVED), F.lit("superseded"))
        if dataset.latest_by
        else (F.lit(QUARANTINED), F.lit(f"{KEY_COLUMN[dataset.name]}_conflict"))
    )
    ranked = frame.withColumns({"__loses": loses, "__copies": copies})
    fate = F.when(F.col("__copies"), F.lit(REMOVED)).otherwise(differs[0])
    reason = F.when(F.col("__copies"), F.lit("duplicate")).otherwise(differs[1])
    cleaned = load_contract(f"cleaned_{dataset.name}").column_names
    # A row that loses was good: what is kept of it is what it was cleaned to.
    as_cleaned = F.to_json(F.struct(*(F.col(quoted(name)) for name in cleaned)))
    judged = {
        FATE: F.when(F.col("__loses"), fate).otherwise(F.col(FATE)),
        REASON: F.when(F.col("__loses"), reason).otherwise(F.col(REASON)),
        RAW: F.when(F.col("__loses") & ~F.col("__copies"), as_cleaned).otherwise(F.col(RAW)),
    }
    return ranked.select(*(judged.get(name, F.col(name)).alias(name) for name in frame.columns))


def winner_first(dataset: SourceDataset) -> list[Column]:
    """Of two answers about one user of which neither is known to be the later, the refusal wins."""
    order = []
    if dataset.latest_by:
        order.append(F.col(ORDER).desc_nulls_last())
    elif dataset.name in TIME_COLUMN:
        order.append(F.col(TIME_COLUMN[dataset.name]).asc())
    if dataset.name == "users":
        order.append(F.col("consent").asc())
    return [*order, F.col(CONTENT).asc()]
